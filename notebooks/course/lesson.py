"""The lesson that the course teaches, row by row, and the checks that test each row.

A check names its rows itself (`Check.rows`), so the table is never written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable

from labkit.checks.check import Check

ROWS: dict[int, str] = {
    1: "A Deployment keeps its replicas, heals after a crash, and rolls out new model versions",
    2: "`llm-inference-service`: 2 replicas, `model-server`, 4 CPUs, 16Gi, one GPU, port 8000; no `:latest`",
    3: "A GPU is an extended resource from a device plugin; the scheduler needs a free one; no fractions",
    4: "For GPUs, request and limit are the same",
    5: "CPU and memory are poor signals for a GPU-bound server; queue length or latency are good ones",
    6: "`llm-hpa`: 2 to 10 replicas, `Pods` metric `vllm_request_queue_size`, `AverageValue` 5",
    7: "Exercise 1: containerize the model server, push it to a private registry, pull it with a secret",
    8: "Exercise 2: write `deployment.yaml` with the limit `nvidia.com/gpu`",
    9: "Exercise 3: an HPA on `cpu` as a placeholder, then on the queue through Prometheus",
    10: "Exercise 4: watch the pods under a locust load, and see the HPA add some",
    11: "Pitfall: cold starts, and the readiness probe that keeps traffic away until they are over",
    12: "Pitfall: GPU fragmentation; size requests by the VRAM that is used",
    13: "Pitfall: keep inference pods off CPU-only nodes: node selector, affinity, taints",
    14: "Outlook: MIG slices and pod topology",
}


def checks_of(row: int, checks: Iterable[Check]) -> list[Check]:
    """The checks that name a row, in course order."""
    return [check for check in checks if row in check.rows]


def table(checks: Iterable[Check]) -> str:
    """The lesson as Markdown: each row with its notebooks and its checks."""
    every = list(checks)
    lines = ["| # | the lesson says | notebooks | checks |", "|---|---|---|---|"]
    for row, says in ROWS.items():
        held = checks_of(row, every)
        notebooks = ", ".join(dict.fromkeys(check.notebook for check in held))
        names = ", ".join(f"`{check.id}`" for check in held)
        lines.append(f"| {row} | {says} | {notebooks} | {names} |")
    return "\n".join(lines)
