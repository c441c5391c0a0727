"""Evidence for the checks of "Fix this cluster" in notebook 05: what is right, and a mutant of each."""

from __future__ import annotations

import copy
import json
from typing import Any

from labkit.doctor.extract import LAST_APPLIED
from localcluster.api import Json
from tests.course.mutants import Case

HASH = {"app": "llm-model", "pod-template-hash": "6c9f"}
OWNED = {"kind": "ReplicaSet", "name": "llm-inference-service-6c9f", "controller": True}


def pod(name: str, **meta: Any) -> Json:
    full = f"llm-inference-service-{HASH['pod-template-hash']}-{name}"
    return {"metadata": {"name": full, "labels": HASH, "ownerReferences": [OWNED], **meta}}


LOST = pod("c", labels={**HASH, "app": "debug"}, ownerReferences=[])


def api_service(version: str, status: str) -> Json:
    condition = {"type": "Available", "status": status, "reason": "ServiceNotFound", "message": "gone"}
    meta = {"name": f"{version}.custom.metrics.k8s.io"}
    return {"kind": "APIService", "metadata": meta, "status": {"conditions": [condition]}}


STRANGER: Json = {"metadata": {"name": "web-77-a", "labels": {"app": "web", "pod-template-hash": "77"}}}
API_SERVICES = [api_service("v1beta1", "True"), api_service("v1beta2", "True")]


def deployment(*managed: Json, applied: Json | None = None) -> Json:
    annotations = {LAST_APPLIED: json.dumps(applied)} if applied else {}
    meta = {"name": "llm-inference-service", "managedFields": list(managed), "annotations": annotations}
    spec = {"replicas": 4, "selector": {"matchLabels": {"app": "llm-model"}}}
    return {"metadata": meta, "spec": {**spec, "template": {"spec": {"containers": []}}}}


def writes_replicas(manager: str, **other: Any) -> Json:
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    return {**entry, **other}


HPA_WRITES = writes_replicas("kube-controller-manager", subresource="scale")
BY_HAND = writes_replicas("kubectl-scale", subresource="scale")


def passing(hpa: Json) -> list[Case]:
    """`hpa` is the lesson's, active."""
    return [
        ("05.label-hop", {"answer": "pods"}),
        ("05.label-mended", {"pods": [pod("a"), pod("b"), STRANGER]}),
        ("05.api-hop", {"answer": "metrics API"}),
        ("05.api-mended", {"services": API_SERVICES}),
        ("05.rule-hop", {"answer": " Adapter"}),
        ("05.sum-hop", {"answer": "HPA"}),
        ("05.sum-mended", {"hpa": hpa}),
        ("05.replicas-hop", {"answer": "scale target"}),
        ("05.replicas-mended", {"deployment": deployment(HPA_WRITES, BY_HAND, applied={"spec": {}})}),
    ]


def mutants(hpa: Json) -> list[Case]:
    """The same with one thing wrong."""
    value = copy.deepcopy(hpa)
    value["spec"]["metrics"] = [{"type": "Object", "object": {"target": {"type": "Value", "value": "5"}}}]
    silent = copy.deepcopy(hpa)
    silent["status"]["conditions"][0]["status"] = "False"
    applied = {"spec": {"replicas": 2}}
    return [
        ("05.label-hop", {"answer": "HPA"}),
        ("05.label-hop", {"answer": "scrape"}),
        ("05.label-hop", {"answer": "Prometheus"}),
        ("05.label-mended", {"pods": [pod("a"), pod("b"), LOST]}),
        (
            "05.label-mended",
            {"pods": [pod("a"), pod("b", labels={**HASH, "app": "llm"}, ownerReferences=[])]},
        ),
        ("05.label-mended", {"pods": [LOST]}),
        ("05.api-hop", {"answer": "adapter"}),
        ("05.api-hop", {"answer": "HPA"}),
        ("05.api-hop", {"answer": "apiservice"}),
        ("05.api-mended", {"services": [API_SERVICES[0], api_service("v1beta2", "False")]}),
        ("05.api-mended", {"services": [api_service("v1beta1", "False"), api_service("v1beta2", "False")]}),
        ("05.api-mended", {"services": []}),
        ("05.rule-hop", {"answer": "metrics API"}),
        ("05.rule-hop", {"answer": "series"}),
        ("05.rule-hop", {"answer": "rule"}),
        ("05.sum-hop", {"answer": "series"}),
        ("05.sum-hop", {"answer": "scale target"}),
        ("05.sum-hop", {"answer": 5}),
        ("05.sum-mended", {"hpa": value}),
        ("05.sum-mended", {"hpa": silent}),
        ("05.sum-mended", {"hpa": None}),
        ("05.replicas-hop", {"answer": "HPA"}),
        ("05.replicas-hop", {"answer": "pods"}),
        ("05.replicas-hop", {"answer": "Deployment"}),
        ("05.replicas-mended", {"deployment": deployment(HPA_WRITES, applied=applied)}),
        ("05.replicas-mended", {"deployment": deployment(writes_replicas("kubectl-client-side-apply"))}),
        ("05.replicas-mended", {"deployment": deployment(writes_replicas("kubectl-edit"), applied=applied)}),
    ]


TOO_EARLY: list[Case] = [
    ("05.label-mended", {"pods": []}),
    ("05.label-mended", {"pods": [STRANGER]}),
    ("05.replicas-mended", {"deployment": None}),
]
