"""Evidence for the checks of "Fix this cluster" in notebook 11: what is right, and a mutant of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcluster.api import Json
from tests.course.mutants import Case

EMPTY = (
    "error parsing prometheus metadata: cert=<empty> and key=<empty> are required when tls auth is enabled"
)
GATEWAY = "sum(inference_extension_flow_control_queue_size)"
SERVERS = 'sum(vllm:num_requests_waiting{namespace="llm-lab"})'


def said(obj: Json, status: str, message: str = "ScaledObject is defined correctly") -> Json:
    """The ScaledObject with its condition Ready."""
    return {**obj, "status": {"conditions": [{"type": "Ready", "status": status, "message": message}]}}


def down(service: Json) -> Json:
    """The APIService, as it is while what is behind it does not answer."""
    [condition] = service["status"]["conditions"]
    message = "failing or missing response from https://localhost:16443"
    gone = {**condition, "status": "False", "reason": "FailedDiscoveryCheck", "message": message}
    return {**service, "status": {"conditions": [gone]}}


def asks(obj: Json, query: str) -> Json:
    obj["spec"]["triggers"][0]["metadata"]["query"] = query
    return obj


def passing(served: list[Json], scaled: Callable[[str], Json]) -> list[Case]:
    """`served` are the APIServices with KEDA's; `scaled` reads a ScaledObject of the course."""
    return [
        ("11.api-hop", {"answer": "metrics API"}),
        ("11.api-mended", {"services": served}),
        ("11.login-hop", {"answer": "ScaledObject"}),
        ("11.login-hop", {"answer": " scaledobject"}),
        ("11.login-mended", {"scaled": said(scaled("scaledobject.yaml"), "True")}),
        ("11.empty-hop", {"answer": "query"}),
        ("11.empty-mended", {"scaled": scaled("solutions/both.yaml")}),
        (
            "11.empty-mended",
            {
                "scaled": asks(
                    scaled("solutions/both.yaml"), f"({SERVERS} or vector(0))+({GATEWAY} or vector( 0 ))"
                )
            },
        ),
    ]


def mutants(served: list[Json], wrong: list[Json], scaled: Callable[[str], Json]) -> list[Case]:
    """The same with one thing wrong."""

    def query(text: str) -> dict[str, Any]:
        return {"scaled": asks(scaled("solutions/both.yaml"), text)}

    return [
        ("11.api-hop", {"answer": "ScaledObject"}),
        ("11.api-hop", {"answer": "HPA"}),
        ("11.api-hop", {"answer": "adapter"}),
        ("11.api-mended", {"services": wrong}),
        ("11.api-mended", {"services": served[:1]}),
        ("11.api-mended", {"services": [served[0], down(served[1])]}),
        ("11.login-hop", {"answer": "query"}),
        ("11.login-hop", {"answer": "HPA"}),
        ("11.login-hop", {"answer": "Secret"}),
        ("11.login-mended", {"scaled": said(scaled("faults/no-secret.yaml"), "False", EMPTY)}),
        (
            "11.login-mended",
            {"scaled": said(scaled("scaledobject.yaml"), "False", "Triggers are not working")},
        ),
        ("11.login-mended", {"scaled": said(scaled("faults/no-secret.yaml"), "Unknown", "no such Secret")}),
        ("11.empty-hop", {"answer": "series"}),
        ("11.empty-hop", {"answer": "HPA"}),
        ("11.empty-hop", {"answer": 0}),
        ("11.empty-mended", {"scaled": scaled("faults/no-series.yaml")}),
        ("11.empty-mended", {"scaled": scaled("scaledobject.yaml")}),
        ("11.empty-mended", query(f"({GATEWAY} or vector(0)) + {SERVERS}")),
        ("11.empty-mended", query(f"{GATEWAY} + ({SERVERS} or vector(0))")),
        ("11.empty-mended", query(f"{GATEWAY} or vector(0) + {SERVERS} or vector(0)")),
        ("11.empty-mended", query(f"({GATEWAY} + {SERVERS}) or vector(0)")),
    ]


TOO_EARLY: list[Case] = [("11.login-mended", {"scaled": None}), ("11.empty-mended", {"scaled": None})]
