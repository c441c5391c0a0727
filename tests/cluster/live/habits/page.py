"""docs/kubectl.md from the table: `python -m tests.cluster.live.habits.page` writes it, a test compares."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.live.habits.table import SECTIONS

PAGE = Path(__file__).parents[4] / "docs" / "kubectl.md"
_HEAD = """# kubectl on the embedded cluster

The kubectl commands that you usually type work here, or are refused with an alternative. The API server is
real, so commands that only read or write its objects behave as on any cluster; when a node has to do
something, the lab's own node agent does it. A test types every line of this page, in this order, on a
running lab (`tests/cluster/live/test_habits.py`), with the manifest `tests/cluster/live/habits/web.yaml`: a
Deployment and a Service `web`, the CronJob `nightly`, and the pods `tool`, `bare` (without programs) and
`moody` (which fails).

`kubectl` finds the lab if you set `KUBECONFIG` as `labkit up` prints it; `labkit kubectl …` always finds it.
Streams (exec, attach, port-forward) use WebSocket, so they need kubectl 1.31 or newer.
"""


def text() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, habits in SECTIONS.items():
        rows = "\n".join(habit.row for habit in habits)
        parts.append(f"## {title}\n\n| you type | here |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text())
