"""The optional parts of a lab that a notebook needs: its metadata say `"labkit": {"needs": ["keda"]}`.

A run of all notebooks leaves out those whose parts can't be started here at once, and says so; a run that
names a notebook gets what it needs first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.notebooks.strip import read
from localcluster.provider import Provider, RunsGateway, RunsKeda
from localcluster.toolchain import parts

RUNS: dict[str, type] = {"keda": RunsKeda, "gateway": RunsGateway}


@dataclass(frozen=True)
class LeftOut:
    """A notebook that a run leaves out, and why."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} is left out: {self.why}"

    def to_json(self) -> dict[str, str]:
        """For `summary.json`."""
        return {"notebook": self.name, "why": self.why}


def of(notebook: Any) -> list[str]:
    """The parts that a notebook needs; raises `BadInput` for a part that no lab has."""
    needs = list(notebook.metadata.get("labkit", {}).get("needs", []))
    for name in needs:
        parts.part(name)
    return needs


def lacking(path: Path, provider: Provider) -> str:
    """Why the notebook can't be run here at once, and what would help; empty if it can."""
    for name in of(read(path)):
        if not isinstance(provider, RUNS[name]):
            return f"a lab on {provider.name} has no {name}; use --provider embedded"
        if lack := parts.lacking(name):
            return f"{lack}; if you name the notebook ({path.stem[:2]}), that is done first"
    return ""


def ready(
    chosen: Sequence[Path], provider: Provider, *, named: Collection[Path], tell: Callable[[str], object]
) -> tuple[list[Path], list[LeftOut]]:
    """The notebooks that can run, and those that are left out, which `tell` tells of.

    Those that were `named` are never left out: what they need is fetched or built. Raises `BadInput` where
    the provider can't run it, and `ToolchainError` where it can't be had.
    """
    for path in named:
        get(path, provider)
    others = [path for path in chosen if path not in named]
    left = [LeftOut(path.stem, why) for path in others if (why := lacking(path, provider))]
    for one in left:
        tell(str(one))
    names = {one.name for one in left}
    return [path for path in chosen if path.stem not in names], left


def get(path: Path, provider: Provider) -> None:
    """Fetch or build what a notebook needs, with progress."""
    for name in of(read(path)):
        if not isinstance(provider, RUNS[name]):
            raise BadInput(
                f"{path.stem} needs {name}, and a lab on {provider.name} has none.",
                fix="Run it on the embedded cluster: --provider embedded.",
            )
        parts.get(name)
