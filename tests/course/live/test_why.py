"""`labkit why` on a real controller, through a plain kubeconfig only, held against the ledger.

`pytest -rP tests/course/live/test_why.py` prints the share of decisions that have the ledger's reason.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from course.hpa.ledger import Line
from course.why.reasons import reason
from labkit.kube import Kube
from localcluster import clock, polling, spawn
from localcluster.embedded.provider import Embedded
from tests.cluster.live.test_metrics_pipeline import MANIFESTS, SetQueue, kube, set_queue
from tests.course.live.test_ledger import hpa, kept, scale_out_and_in

__all__ = ["kube", "set_queue"]  # fixtures of the metrics pipeline: servers whose queue a test sets

pytestmark = pytest.mark.embedded

WHY = (sys.executable, "-m", "labkit.cli", "why")
SAME = 0.95
"""The share of decisions that must have the ledger's reason; of a few, one may lack it."""
LATE = 0.5
"""Real seconds by which a look may come after the next sync began: it is made every 0.2 s, and takes time."""


def words(kube: Kube, *more: str) -> list[str]:
    return [*WHY, *more, "--kubeconfig", str(kube.kubeconfig), "-n", kube.namespace]


def asked(kube: Kube, *more: str) -> spawn.Finished:
    return spawn.run(words(kube, *more), seconds=60)


Told = Callable[[], list[dict[str, Any]]]


@contextmanager
def watching(cluster: Embedded, kube: Kube, log: Path, *, flags: bool = True) -> Iterator[Told]:
    """Follow the HPA beside the test, with or without knowing the controller's flags: what it told so far."""

    def told() -> list[dict[str, Any]]:
        lines = log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    given = " ".join(clock.flags(cluster.spec().clock).kube_controller_manager) if flags else ""
    more = ("--controller-flags", given) if flags else ()
    argv = words(kube, "hpa/llm-hpa", "--watch", "--json", "--every", "0.2", *more)
    process = spawn.popen(argv, log=log)
    try:
        polling.until(told, "the first explanation", seconds=30, last_seen=log.read_text)
        yield told
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)


@dataclass(frozen=True)
class Held:
    """How one watcher's explanations compare with the ledger's lines."""

    title: str
    syncs: int
    same: int
    numbers: int
    different: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.same / self.syncs if self.syncs else 0.0

    def __str__(self) -> str:
        return (
            f"labkit why, {self.title}: {self.same} of {self.syncs} decisions with the ledger's reason "
            f"({self.share:.1%}), {self.numbers} with its number before any limit"
        )


def held(title: str, lines: Iterable[Line], told: list[dict[str, Any]], until: float) -> Held:
    """Each of the ledger's syncs up to a moment, with the explanation in force when the next one began."""
    moments = [when(each) for each in told]
    same = numbers = 0
    different = []
    judged = [line for line in lines if line.judged and moments[0] < line.sync.look.at < until]
    for line, following in pairwise(judged):
        until_next = bisect_left(moments, following.sync.look.at)
        late = bisect_left(moments, following.sync.look.at + LATE)
        wanted = (reason(line.decision), line.decision.current, line.did)
        possible = told[until_next - 1 : late]
        found = next((t for t in possible if (t["reason"], t["from"], t["to"]) == wanted), possible[0])
        if (found["reason"], found["to"]) == (reason(line.decision), line.did):
            same += 1
        else:
            different.append(f"{line.at:.0f}: {wanted} {line.why!r}, not {found['reason']} {found['why']!r}")
        numbers += line.decision.proposed == found["proposed"]
    return Held(title, len(judged) - 1, same, numbers, tuple(different))


def when(told: dict[str, Any]) -> float:
    return datetime.fromisoformat(told["at"]).timestamp()


@pytest.mark.parametrize("flags", ["known", "unknown"])
def test_a_queue_hpa_is_explained_as_the_ledger_does(
    cluster: Embedded, kube: Kube, set_queue: SetQueue, tmp_path: Path, flags: str
) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    with watching(cluster, kube, tmp_path / "why.jsonl", flags=flags == "known") as so_far:
        scale_out_and_in(kube, set_queue, [2, 4, 8, 10])
        until, told = time.time(), so_far()
    result = held(f"queue, flags {flags}", kept(cluster, kube).lines, told, until)
    print(result, *result.different, sep="\n  ")  # noqa: T201 - the figure
    assert result.syncs > 20
    assert result.same >= min(SAME * result.syncs, result.syncs - 1), result.different
    assert {"from", "to", "reason", "why", "source", "unknown", "metrics"} <= set(told[0])


def test_a_cpu_hpa_with_a_behavior_is_explained_as_the_ledger_does(
    cluster: Embedded, kube: Kube, tmp_path: Path
) -> None:
    def target(amount: str) -> list[Any]:
        wanted = {"type": "AverageValue", "averageValue": amount}
        return [{"type": "Resource", "resource": {"name": "cpu", "target": wanted}}]

    down = {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}
    up = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 30}]}
    behavior = {"scaleUp": up, "scaleDown": down}
    kube.apply(hpa(tmp_path / "hpa.yaml", metrics=target("1m"), maxReplicas=7, behavior=behavior))
    with watching(cluster, kube, tmp_path / "why.jsonl") as so_far:
        kube.until("hpa/llm-hpa desired=7", seconds=90)
        # A change of the spec makes the controller sync at once: two syncs between two looks are one to them.
        polling.until(lambda: so_far()[-1]["to"] == 7, "the step to 7 to be explained", seconds=20)
        kube.apply(hpa(tmp_path / "hpa.yaml", metrics=target("100"), maxReplicas=7, behavior=behavior))
        kube.until("hpa/llm-hpa desired=2", seconds=90)
        until, told = time.time(), so_far()
    result = held("CPU with a behavior", kept(cluster, kube).lines, told, until)
    print(result, *result.different, sep="\n  ")  # noqa: T201 - the figure
    assert result.syncs > 10
    assert result.same >= min(SAME * result.syncs, result.syncs - 1), result.different


def test_looking_once_tells_now_and_the_past(kube: Kube, set_queue: SetQueue) -> None:
    kube.apply(MANIFESTS / "base" / "hpa.yaml")
    set_queue(8)
    kube.until("hpa/llm-hpa desired=4", seconds=30)
    found = asked(kube, "hpa/llm-hpa")
    assert found.returncode == 0, found.stderr
    assert "→ 4: pods metric vllm_request_queue_size above target" in found.stdout
    assert "vllm_request_queue_size is" in found.stdout
    assert asked(kube).stdout.splitlines()[-1:] != []  # the only HPA need not be named
