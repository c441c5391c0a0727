"""vLLM's own sources and dashboards, in the version that the course runs on real GPUs.

They come from the package index as the version's source distribution, which is read and never installed,
built or copied: what it is built with is no part of this.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import spawn

OVERLAY = Path(__file__).parents[2] / "manifests" / "overlays" / "gpu" / "lab" / "kustomization.yaml"
KINDS = {"_gauge_cls": "gauge", "_counter_cls": "counter", "_histogram_cls": "histogram"}


def version() -> str:
    """The version whose image the overlay for real GPUs names."""
    (image,) = yaml.safe_load(OVERLAY.read_text())["images"]
    return str(image["newTag"]).removeprefix("v")


@dataclass(frozen=True)
class Sources:
    """The unpacked source distribution."""

    folder: Path

    def metrics(self) -> dict[str, str]:
        """The metrics of the engine's Prometheus logger, whatever turns them on: name to type."""
        tree = ast.parse((self.folder / "vllm/v1/metrics/loggers.py").read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        made = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in KINDS]
        found = {}
        for call in made:
            assert isinstance(call.func, ast.Attribute)
            named = [word.value for word in call.keywords if word.arg == "name"]
            if named and isinstance(named[0], ast.Constant):
                found[str(named[0].value)] = KINDS[call.func.attr]
        return found

    def buckets(self) -> dict[str, tuple[float, ...]]:
        """The edges of each family of histograms."""
        tree = ast.parse((self.folder / "vllm/v1/metrics/buckets.py").read_text())
        given = [node for node in tree.body if isinstance(node, ast.AnnAssign) and node.value is not None]
        tables = [node for node in given if isinstance(node.value, ast.Tuple)]
        return {ast.unparse(node.target): ast.literal_eval(node.value) for node in tables if node.value}

    def queries(self) -> list[str]:
        """The PromQL of every panel of the Grafana dashboards among the examples."""
        files = sorted((self.folder / "examples").rglob("*.json"))
        boards = [json.loads(file.read_text()) for file in files if "grafana" in file.as_posix()]
        return sorted({query for board in boards for query in _expressions(board)})


def _expressions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for child in node.values():
            yield from _expressions(child)
    elif isinstance(node, list):
        for child in node:
            yield from _expressions(child)


def unpack(into: Path) -> Sources:
    """Let pip fetch and unpack them; skip the test where it can't.

    pip then asks the package for its dependencies, which needs what it is built with, and fails: by then the
    sources are there.
    """
    wanted = f"vllm=={version()}"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "download", "--quiet", "--retries", "0"]
    only = ["--no-deps", "--no-binary", "vllm", "--no-build-isolation", "--no-clean"]
    done = spawn.run(
        [*pip, *only, "--dest", into / "dest", wanted], env=os.environ | {"TMPDIR": str(into)}, seconds=120
    )
    found = [path for path in into.glob("*/vllm_*") if (path / "PKG-INFO").exists()]
    if not found:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        pytest.skip(f"{wanted} can't be had here: {said[-1] if said else 'pip said nothing'}")
    told = re.search(r"^Version: (.+)$", (found[0] / "PKG-INFO").read_text(), re.MULTILINE)
    assert told, f"{found[0]} is no source distribution"
    assert told[1] == version()
    return Sources(found[0])
