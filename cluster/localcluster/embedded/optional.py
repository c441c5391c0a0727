"""Parts that a running lab takes up and gives back: KWOK, KEDA, a gateway. Supervised like the others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from localcluster import polling, spawn
from localcluster.embedded import platform
from localcluster.embedded.component import Component
from localcluster.embedded.supervisor import is_ready, load_components, save_components
from localcluster.layout import Layout
from localcluster.netns import plan
from localcluster.stored import write_atomically

NAMES = ("kwok", "keda-operator", "keda-adapter", "epp", "envoy")


def add(layout: Layout, parts: Sequence[Component]) -> None:
    """Add these to what the supervisor runs; safe to repeat."""
    names = {part.name for part in parts}
    known = [each for each in load_components(layout) if each.name not in names]
    if layout.load()[0].isolated:
        parts = [platform.inside(layout, part) for part in parts]
    save_components(layout, [*known, *parts])

    def run() -> bool:
        return all(is_ready(part.ready) for part in parts) and lives(layout, names)

    what = f"{', '.join(sorted(names))} to run"
    polling.until(run, what, seconds=60, last_seen=lambda: _said(layout, parts))


def _said(layout: Layout, parts: Sequence[Component]) -> str:
    """The last line that each part which is not ready has written."""
    waiting = [part for part in parts if not is_ready(part.ready)]
    logs = {part.name: layout.log(part.name) for part in waiting}
    texts = {name: log.read_text(errors="replace").split("\n") for name, log in logs.items() if log.exists()}
    last = {
        name: next((line for line in reversed(lines) if line.strip()), "") for name, lines in texts.items()
    }
    return "; ".join(f"{name}: {line.strip():.300}" for name, line in last.items())


def remove(layout: Layout, names: Sequence[str]) -> None:
    """Remove them, and wait until they are gone; safe to repeat."""
    components = load_components(layout)
    kept = [each for each in components if each.name not in names]
    if kept == components:
        return
    save_components(layout, kept)
    gone = [f"{name} to end" for name in names]
    polling.until(lambda: not any(lives(layout, {name}) for name in names), ", ".join(gone), seconds=30)


def scrape(layout: Layout, part: str, ports: Mapping[str, int]) -> None:
    """Let Prometheus read the metrics of these programs, by port; none: no longer."""
    targets = layout.dir / "prometheus" / "targets" / f"{part}.json"
    if not ports:
        targets.unlink(missing_ok=True)
        return
    found = [
        {"targets": [f"{plan.GATEWAY}:{port}"], "labels": {"job": name, "instance": name}}
        for name, port in ports.items()
    ]
    write_atomically(targets, json.dumps(found))


def asked_for(layout: Layout) -> list[Component]:
    """Those that the lab ran before: a restarted lab has the same parts."""
    if not (layout.dir / "components.json").exists():
        return []
    return [each for each in load_components(layout) if each.name in NAMES]


def lives(layout: Layout, names: set[str]) -> bool:
    """Whether all of them have a process."""
    procs = [spawn.Proc.load(layout.record(name)) for name in names]
    return all(proc is not None and proc.alive() for proc in procs)
