"""The objects that a program's publisher ships with it: custom resources, roles, accounts.

Read from the pinned Go module when the program is built, as `kubectl kustomize` makes them of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.toolchain.build import Job
from localcluster.toolchain.versions import Program

FILE = "objects.json"


def rendered(program: Program, job: Job, kubectl: Path) -> str:
    """The objects of the program's `kustomization` as a JSON list; raises `ToolchainError`."""
    go, env = job.go.path, job.go.environment()
    where: list[str | Path] = [
        go,
        "-C",
        job.module.folder,
        "list",
        "-m",
        "-f",
        "{{.Dir}}",
        program.build_info,
    ]
    folder = Path(_said(where, env)) / program.kustomization
    text = _said([kubectl, "kustomize", folder], env)
    return json.dumps(list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))))


def beside(program: Path) -> list[dict[str, Any]]:
    """The objects that are kept beside a program; raises `ToolchainError` if there are none."""
    try:
        found: list[dict[str, Any]] = json.loads((program.parent / FILE).read_text())
    except (OSError, ValueError) as error:
        raise ToolchainError(
            f"{program} came without its objects: {error}.",
            cause=f"It is kept outside the cache, without the {FILE} that is made with it.",
            fix="Leave it out of LABKIT_BIN_DIR and PATH: then it is built.",
        ) from error
    return found


def _said(words: list[str | Path], env: dict[str, str]) -> str:
    done = spawn.run(words, env=env)
    if done.returncode:
        raise ToolchainError(f"{Path(words[0]).name} {words[1]}: {done.stderr.strip()}")
    return done.stdout.strip()
