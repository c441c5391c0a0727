"""What a load shows of the queue in front of the servers: who waited in vain, where, and who answered whom.

Works on the rows of a load, as users saw it; only `breakdown` asks Prometheus. All times are lab seconds.
"""

from __future__ import annotations

from bisect import bisect_right
from statistics import fmean
from typing import Any

from labkit.load.results import LoadResult

HELD = "inference_extension_flow_control_request_queue_duration_seconds"
EARLY, PATIENT = 60.0, 15.0
QUEUED, PREFILLED = "vllm:request_queue_time_seconds", "vllm:request_prefill_time_seconds"


def free_elsewhere(load: LoadResult, *, places: int) -> list[tuple[float, int]]:
    """For each answer: its time to first token, and how many places other servers had free when it came.

    `places` is how many requests a server works on at a time; a server with a queue has none free.
    """
    whole = [row for row in load.rows if row.ok]
    pods = {row.pod for row in whole}
    came = {pod: sorted(row.due for row in whole if row.pod == pod) for pod in pods}
    gone = {pod: sorted(row.end for row in whole if row.pod == pod) for pod in pods}

    def free(pod: str, at: float) -> int:
        return max(0, places - (bisect_right(came[pod], at) - bisect_right(gone[pod], at)))

    return [
        (row.ttft, sum(free(pod, row.due) for pod in came if pod != row.pod))
        for row in whole
        if row.ttft is not None
    ]


def mean_ttft(load: LoadResult) -> float:
    """The mean time to first token of all whole answers."""
    return fmean(row.ttft for row in load.rows if row.ok and row.ttft is not None)


def breakdown(lab: Any, load: LoadResult) -> dict[str, float]:
    """The mean time to first token of a load, by where it was spent; nothing else may have been running.

    The gateway's part comes from the endpoint picker, which counts in real seconds, the servers' from vLLM's
    histograms. What is left is the way there and back, and the servers' first step.
    """
    began, ended = load.started, load.started + load.seconds / load.clock
    held = _mean(lab, HELD, began, ended) * load.clock
    queued, prefilled = (_mean(lab, name, began, ended) for name in (QUEUED, PREFILLED))
    parts = {"held at the gateway": held, "in a server's queue": queued, "prefill": prefilled}
    return parts | {"all": mean_ttft(load)}


def _mean(lab: Any, histogram: str, began: float, ended: float) -> float:
    """The mean of what a histogram counted between two moments; 0 if it counted nothing."""
    added, counted = (_grown(lab, f"{histogram}_{part}", began, ended) for part in ("sum", "count"))
    return added / counted if counted else 0.0


def _grown(lab: Any, counter: str, began: float, ended: float) -> float:
    """How much a counter has grown, over all servers; one that was not there before began at 0."""
    then, now = (f"(sum({counter} @ {at:.3f}) or vector(0))" for at in (began, ended))
    return float(lab.metrics(f"{now} - {then}")[0].value)


def answered_by_new(load: LoadResult) -> int:
    """How many requests had come before the new servers, and were answered by one of them.

    A server is new if nobody got a first token from it in the first `EARLY` lab seconds. A request counts if
    it had waited for `PATIENT` lab seconds and more when the first of all new servers gave its first token.
    """
    answers = [(row.first, row.due, row.pod) for row in load.rows if row.ok and row.first is not None]
    old = {pod for first, _, pod in answers if first < EARLY}
    new = [(first, due) for first, due, pod in answers if pod not in old]
    began = min((first for first, _ in new), default=0.0)
    return sum(due < began - PATIENT for _, due in new)
