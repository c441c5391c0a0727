"""Random pods that the API server takes: what people write, and what they shouldn't.

They need next to nothing: most of them sleep, exit or can't start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Spec = dict[str, Any]

IMAGE = "registry.lab:5000/plain:1.0"
OTHER_IMAGE = "registry.lab:5000/plain:2.0"
NO_IMAGE = "registry.lab:5000/nothing:1.0"
GATE = "example.com/gate"
NODES = ("gpu-node-1", "cpu-node-1")

rarely = st.sampled_from([False] * 7 + [True])
images = st.sampled_from([IMAGE] * 7 + [OTHER_IMAGE] * 2 + [NO_IMAGE])
codes = st.sampled_from([0, 0, 1, 42])
SLEEP = "sleep 999"
scripts = st.one_of(
    st.sampled_from(
        [
            SLEEP,
            "trap 'exit 3' TERM; sleep 999 & wait",
            "trap '' TERM; while :; do sleep 0.5; done",
            "(sleep 999 &); (sleep 999 &); sleep 999",
            "echo bye > /dev/termination-log; sleep 0.2; exit 1",
        ]
    ),
    codes.map("exit {}".format),
    codes.map("sleep 0.3; exit {}".format),
)
commands = st.one_of(
    scripts.map(lambda s: ["sh", "-c", s]), st.sampled_from([["/no/such/program"], ["nothing-of-that-name"]])
)


def shell(script: str) -> Spec:
    return {"exec": {"command": ["sh", "-c", script]}}


probes = st.sampled_from(["true", "false", "sleep 9"]).map(lambda s: shell(s) | {"failureThreshold": 2})
hooks = st.sampled_from([shell("true"), shell("false"), shell("sleep 5"), {"sleep": {"seconds": 2}}])
rules = st.builds(
    lambda operator, values: {"action": "Restart", "exitCodes": {"operator": operator, "values": values}},
    st.sampled_from(["In", "NotIn"]),
    st.lists(codes.filter(bool), min_size=1, max_size=2, unique=True),
)
ports = st.fixed_dictionaries(
    {"containerPort": st.sampled_from([80, 80, 8000, 65535])},
    optional={"protocol": st.sampled_from(["TCP", "UDP"]), "hostPort": st.sampled_from([18080, 18081])},
)
variables = st.sampled_from(
    [
        {"name": "A", "value": "$(B) a"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        {"name": "MISSING", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "no"}}},
        {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": True}}},
    ]
)
volumes = st.sampled_from(
    [
        {"name": "v", "emptyDir": {}},
        {"name": "v", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "v", "emptyDir": {"medium": "Memory"}},
        {"name": "v", "configMap": {"name": "no"}},
        {"name": "v", "configMap": {"name": "no", "optional": True}},
        {
            "name": "v",
            "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
    ]
)


@st.composite
def resources(draw: st.DrawFn) -> Spec:
    gpus = draw(st.sampled_from([0, 0, 0, 0, 1, 2, 1000]))
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    if draw(rarely):
        limits["memory"] = "64Mi"
    requests = {"cpu": draw(st.sampled_from(["10m", "100m", "64"]))} if draw(rarely) else {}
    return {"limits": limits, "requests": requests}


def some(draw: st.DrawFn, fields: Mapping[str, st.SearchStrategy[Any]]) -> Spec:
    """A few of them."""
    return {name: draw(values) for name, values in fields.items() if draw(rarely)}


SOMETIMES: Mapping[str, st.SearchStrategy[Any]] = {
    "ports": st.lists(ports, min_size=1, max_size=3),
    "env": st.lists(variables, min_size=1, max_size=3, unique_by=lambda v: str(v["name"])),
    "imagePullPolicy": st.sampled_from(["Always", "Never", "IfNotPresent"]),
    "stdin": st.just(True),
    "tty": st.booleans(),
    "securityContext": st.sampled_from(
        [{"readOnlyRootFilesystem": True}, {"runAsUser": 0}, {"runAsNonRoot": True}]
    ),
}
WHILE_IT_RUNS: Mapping[str, st.SearchStrategy[Any]] = {
    "readinessProbe": probes,
    "livenessProbe": probes,
    "startupProbe": probes,
    "lifecycle": st.dictionaries(st.sampled_from(["postStart", "preStop"]), hooks, min_size=1),
}
OF_A_POD: Mapping[str, st.SearchStrategy[Any]] = {
    "activeDeadlineSeconds": st.sampled_from([1, 20, 2**31 - 1]),
    "hostNetwork": st.just(True),
    "shareProcessNamespace": st.just(True),
    "readinessGates": st.just([{"conditionType": GATE}]),
}


@st.composite
def containers(draw: st.DrawFn, name: str, mounts: list[Spec]) -> Spec:
    """A container; those whose names begin with i come first, and half of them are sidecars."""
    found: Spec = {"name": name, "image": draw(images), "command": draw(commands), "volumeMounts": mounts}
    found |= {"resources": draw(resources())} | some(draw, SOMETIMES)
    if name.startswith("i"):
        if draw(st.booleans()):
            return found | {"command": draw(st.sampled_from([["true"], found["command"]]))}
        found["restartPolicy"] = "Always"
    elif draw(rarely):
        found["restartPolicy"] = draw(st.sampled_from(["Never", "OnFailure", "Always"]))
        if found["restartPolicy"] != "Always":
            found["restartPolicyRules"] = draw(st.lists(rules, max_size=2))
    return found | some(draw, WHILE_IT_RUNS)


@st.composite
def pods(draw: st.DrawFn) -> Spec:
    """The spec of a pod."""
    mounted = draw(st.lists(volumes, max_size=1)) if draw(rarely) else []
    mounts = [{"name": v["name"], "mountPath": "/v", "readOnly": draw(st.booleans())} for v in mounted]
    count = draw(st.sampled_from([1, 1, 1, 2, 3]))
    before = draw(st.integers(1, 2)) if draw(rarely) else 0
    spec: Spec = {
        "containers": [draw(containers(f"c{n}", mounts)) for n in range(count)],
        "initContainers": [draw(containers(f"i{n}", mounts)) for n in range(before)],
        "restartPolicy": draw(st.sampled_from(["Always", "Never", "OnFailure"])),
        "terminationGracePeriodSeconds": draw(st.sampled_from([0, 1, 5, 30, 2**31])),
        "volumes": mounted,
    }
    if draw(st.booleans()):
        spec["nodeName"] = draw(st.sampled_from(NODES))
    return spec | some(draw, OF_A_POD)
