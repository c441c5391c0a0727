"""The Grafana dashboards that vLLM publishes show data of a lab under load: each query of every panel."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from labkit.lab import Lab
from labkit.load import Closed, Workload
from localcluster import polling
from tests.oracles import vllm

ROOT = Path(__file__).parents[3]
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
GRAFANA = {"$__rate_interval": "20s", "$__interval": "20s", "$__range": "5m"}
"""What Grafana fills in, in real seconds: the lab's Prometheus asks the servers once a second."""
CHOSEN = {"$model_name": MODEL, "$Deployment_id": MODEL}
"""What a reader of the dashboards chooses."""

pytestmark = pytest.mark.embedded


def filled(query: str) -> str:
    for name, value in (GRAFANA | CHOSEN).items():
        query = query.replace(name, value)
    assert "$" not in query, f"a variable that the test doesn't know: {query}"
    return query


def test_every_panel_has_data(lab: Lab, tmp_path: Path) -> None:
    queries = vllm.unpack(tmp_path).queries()
    assert len(queries) > 50
    lab.reset()
    lab.apply(ROOT / "manifests" / "02-deploy" / "rolling" / "4-grace")
    lab.until("deployment/llm-inference-service available", seconds=120)
    lab.until_healthy()
    prometheus, empty = lab.prometheus(), [filled(query) for query in queries]

    def missing() -> list[str]:
        """The queries that have not returned a number yet."""
        for query in list(empty):
            rows = prometheus.query(query, may_be_empty=True)
            if any(math.isfinite(row.value) for row in rows):
                empty.remove(query)
        return empty

    users = lab.load(Closed(users=20, seconds=9000), workload=Workload(input=100, output=60))
    try:
        polling.until(
            lambda: not missing(), "data for every panel", seconds=90, last_seen=lambda: "\n".join(empty)
        )
    finally:
        users.end()
