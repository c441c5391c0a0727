"""Evidence for the check of the NetworkPolicy in notebook 05: what is right, and mutants of it."""

from __future__ import annotations

from typing import Any

from localcluster.api import Json
from tests.course.mutants import Case

OURS: Json = {"podSelector": {}}
NAME = "kubernetes.io/metadata.name"
MISNAMED: Json = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
MONITORING: Json = {"namespaceSelector": {"matchLabels": {NAME: "monitoring"}}}
ADDRESSES: Json = {"ipBlock": {"cidr": "10.244.0.0/16"}}


def policy(*peers: Json, app: str = "llm-model", **more: Any) -> Json:
    spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Ingress"]}
    meta = {"name": "only-ours", "namespace": "llm-lab"}
    return {"metadata": meta, "spec": {**spec, "ingress": [{"from": list(peers)}], **more}}


def rules(*ingress: Json) -> Json:
    return policy(ingress=list(ingress))


def pod(name: str, ready: str = "True", app: str = "llm-model") -> Json:
    meta = {"name": name, "labels": {"app": app}}
    return {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


def served(*names: str) -> Json:
    return {"items": [{"describedObject": {"name": name}, "value": "0"} for name in names]}


PODS = [pod("a"), pod("b"), pod("c", ready="False"), pod("d", app="debug")]
RIGHT = policy(OURS, MONITORING)
AND: Json = {**OURS, **MONITORING}
OTHER_PORT: Json = {"from": [MONITORING], "ports": [{"port": 9090}]}


def evidence(**other: Any) -> dict[str, Any]:
    return {"answer": "scrape", "policy": RIGHT, "pods": PODS, "metric": served("a", "b"), **other}


PASSING: list[Case] = [
    ("05.policy", evidence()),
]
MUTANTS: list[Case] = [
    ("05.policy", evidence(answer="series")),
    ("05.policy", evidence(answer="metrics page")),
    ("05.policy", evidence(answer="policy")),
    ("05.policy", evidence(policy=None)),
    ("05.policy", evidence(policy=policy(OURS))),
    ("05.policy", evidence(policy=policy(MONITORING))),
    ("05.policy", evidence(policy=policy(AND))),
    ("05.policy", evidence(policy=policy(OURS, MISNAMED))),
    ("05.policy", evidence(policy=policy(OURS, {"podSelector": {"matchLabels": {"app": "prometheus"}}}))),
    ("05.policy", evidence(policy=policy(OURS, {"namespaceSelector": {}}))),
    ("05.policy", evidence(policy=policy(OURS, MONITORING, ADDRESSES))),
    ("05.policy", evidence(policy=rules({}))),
    (
        "05.policy",
        evidence(policy=rules({"from": [OURS]}, OTHER_PORT)),
    ),
    ("05.policy", evidence(policy=policy(OURS, MONITORING, app="llm"))),
    ("05.policy", evidence(policy=policy(OURS, MONITORING, policyTypes=["Egress"]))),
    ("05.policy", evidence(metric=served("a"))),
    ("05.policy", evidence(metric={"error": "the server could not find the metric"})),
]
TOO_EARLY: list[Case] = [("05.policy", evidence(pods=[pod("a", ready="False")]))]
