"""Builds an oracle, once for each version of its sources, and asks it: a JSON object a line, in and out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.toolchain import build, golang, progress
from localcluster.toolchain.cache import Cache
from localcluster.toolchain.versions import Program, cache_root, pins

SECONDS = 60
"""For all answers to one list of questions."""

Answer = Mapping[str, Any]
"""`answer`, or `error`: the original's own message."""


@dataclass(frozen=True)
class Oracle:
    """A built program, and the folder of its module."""

    program: Path
    module: Path
    go: golang.Go

    def ask(self, questions: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """The answers, in order."""
        text = "".join(json.dumps(question) + "\n" for question in questions)
        done = spawn.run([self.program], stdin=text, seconds=SECONDS)
        assert done.returncode == 0, done.stderr
        found: list[Answer] = [json.loads(line) for line in done.stdout.split("\n") if line]
        assert len(found) == len(questions)
        return found

    def sources(self, module: str) -> Path:
        """The sources of a module that the oracle is built from, with the tests of its authors."""
        said = spawn.run(
            [self.go.path, "-C", self.module, "list", "-m", "-f", "{{.Dir}}", module],
            env=self.go.environment(),
        )
        assert said.returncode == 0, said.stderr
        return Path(said.stdout.strip())


FOLDERS = {
    "buildkit": (Path(__file__).parent / "buildkit", "./ask"),
    "keyring": (Path(__file__).parents[1] / "conformance" / "go", "./keyring"),  # of the kubelet
}
"""The Go module of each oracle, and the package in it."""


@cache
def oracle(name: str) -> Oracle:
    """Build an oracle; skip the test where Go or its modules can't be had."""
    folder, package = FOLDERS[name]
    control_plane = pins().modules["controlplane"]  # with its flags, so that what Go has compiled is shared
    module = replace(control_plane, name=f"oracle {name}", folder=folder, tags=())
    wanted = replace(pins(), modules={**pins().modules, name: module})
    built, shown = Cache(cache_root() / "oracles"), progress.on()
    try:
        with built.writing(shown):
            go = golang.find(wanted, built, shown)
            return Oracle(_program(Program(name, "1", module, package), go, built), module.folder, go)
    except ToolchainError as error:
        pytest.skip(f"the oracle {name} can't be built: {error}")


def _program(program: Program, go: golang.Go, built: Cache) -> Path:
    entry = built.find(program.key())
    if entry is None or entry.trouble():
        with built.staging() as staging:
            done = build.build(build.Job(program.module, [program], go, staging), pins(), progress.on())
            (staging / "entry").mkdir()
            done[program.name].rename(staging / "entry" / program.name)
            entry = built.add(program.key(), staging / "entry", {"name": program.name})
    return entry.folder / program.name
