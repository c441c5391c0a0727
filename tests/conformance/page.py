"""docs/conformance.md: what passed of each area, and every exception by name with its reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from localcluster.cli import console
from localcluster.toolchain.versions import kubernetes
from tests.conformance import results
from tests.conformance.suite import Selection, areas

HERE = Path(__file__).parent
STORED = HERE / "results"
PAGE = HERE.parents[1] / "docs" / "conformance.md"
_EXCEPTIONS = HERE / "exceptions.toml"

_SLICE = 150.0
"""Seconds of specs, one after the other, that CI takes of each area; six run at a time."""


def slice_of_all() -> Selection:
    """What CI runs: of each area that passed, its quickest specs, as many as fit into its share of time."""
    names = []
    chosen = [name for name, selection in areas().items() if selection.ci]
    for area in filter(None, (results.load(STORED / "embedded", name) for name in chosen)):
        left = _SLICE
        for spec in sorted(area.those(results.PASSED), key=lambda spec: spec.seconds):
            left -= spec.seconds
            if left < 0:
                break
            names.append(spec.name)
    return Selection(
        "Upstream's suite: CI's selection", "!Serial && !Slow && !Disruptive", procs=6, minutes=10
    ).named(names)


_INTRODUCTION = """\
`make conformance` builds the end-to-end suite of Kubernetes {}, unpatched, from the Go module proxy, and
runs it on the embedded cluster in real time (`--clock 1`), the HPA's specs on one whose controllers look 15
times as often (`--clock 15`). `--provider kind` runs the same specs on kind.
This page is made from their results by `python -m tests.conformance --page`;
`tests/conformance/areas.toml` says which specs an area selects."""

_IMAGES = """\
`skipped` are specs that the suite itself leaves out on such a cluster. Its images are stand-ins: agnhost
and the other programs are built from the suite's own module, shell and tools are Debian's
(`tests/conformance/images.py`)."""


def reason(name: str) -> str:
    """Why a spec can't pass here; empty if nobody has said so."""
    for entry in entries():
        if re.search(entry["spec"], name):
            return str(entry["why"])
    return ""


def main(*, check: bool) -> int:
    """Write the page, or only look whether it is as it would be written; the exit status."""
    text = "\n".join(_lines()) + "\n"
    if check:
        if PAGE.read_text() == text:
            return 0
        console.report(f"{PAGE.name} is not what its data say: python -m tests.conformance --page")
        return 1
    PAGE.write_text(text)
    return 0


def entries() -> list[dict[str, str]]:
    """The exceptions: which specs, and why they can't pass."""
    return list(tomllib.loads(_EXCEPTIONS.read_text()).get("exception", []))


def _lines() -> Iterator[str]:
    yield "# Judged by Kubernetes' own tests"
    yield ""
    yield _INTRODUCTION.format(kubernetes())
    yield ""
    yield from _table()
    yield ""
    yield _IMAGES
    for provider in ("embedded", "kind"):
        yield from _exceptions(provider)


def _table() -> Iterator[str]:
    found = {p: {n: results.load(STORED / p, n) for n in areas()} for p in ("embedded", "kind")}
    yield "| area | embedded: passed of all | skipped | kind |"
    yield "|---|---|---|---|"
    sums = {"embedded": [0, 0, 0], "kind": [0, 0, 0]}
    for name, selection in areas().items():
        cells = []
        for provider, by_name in found.items():
            area = by_name[name]
            counts = _counts(area)
            sums[provider] = [a + b for a, b in zip(sums[provider], counts, strict=True)]
            cells.append(f"{counts[0]} of {counts[1]}" if area else "not run")
        skipped = _counts(found["embedded"][name])[2]
        yield f"| {selection.title} | {cells[0]} | {skipped or ''} | {cells[1]} |"
    ours, theirs = sums["embedded"], sums["kind"]
    kind = f"{theirs[0]} of {theirs[1]}" if theirs[1] else ""
    yield f"| **all** | **{ours[0]} of {ours[1]}** | {ours[2] or ''} | {kind} |"


def _counts(area: results.Area | None) -> list[int]:
    if area is None:
        return [0, 0, 0]
    passed, failed = len(area.those(results.PASSED)), len(area.those(results.FAILED))
    return [passed, passed + failed, len(area.those("skipped"))]


def _exceptions(provider: str) -> Iterator[str]:
    stored = [area for name in areas() if (area := results.load(STORED / provider, name))]
    failed = [spec for area in stored for spec in area.those(results.FAILED)]
    if not failed:
        return
    yield ""
    yield f"## What does not pass on {provider}, and why"
    by_reason: dict[str, list[str]] = {}
    for spec in failed:
        by_reason.setdefault(reason(spec.name) or "**Not explained yet.**", []).append(spec.name)
    for why, names in by_reason.items():
        yield ""
        yield why
        yield ""
        yield from (f"- {name}" for name in sorted(names))
