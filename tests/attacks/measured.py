"""Attacks on what decides a measurement: the capstone's server, with what is not a student's to set.

By name, the fields of its container that are changed (`pod`: fields of its pod). The verdict knows each
(tests/grading/unit/test_grading_programs.py), and the API server refuses it at admission
(tests/grading/live/test_grading_terms.py).
"""

from typing import Any

from labkit.kube import documents
from labkit_grading.verbs.contexts import THE_COURSES
from tests.attacks.attack import ROOT


def server(**changes: Any) -> dict[str, Any]:
    """The spec of a pod of the capstone's solution, with changes."""
    [made] = [
        one.obj
        for one in documents.load(ROOT / "manifests/10-production/solutions/capstone")
        if one.obj["kind"] == "Deployment"
    ]
    spec: dict[str, Any] = made["spec"]["template"]["spec"]
    [container] = spec["containers"]
    spec = {**spec, "volumes": [{"name": "x", "emptyDir": {}}]}
    inner = {**container, **{name: value for name, value in changes.items() if name != "pod"}}
    return {**spec, "containers": [inner], **changes.get("pod", {})}


CHEATS: dict[str, dict[str, Any]] = {
    "clock": {"args": ["--clock=1500"]},
    "clock as two words": {"args": ["--clock", "1500"]},
    "clock, shortened as argparse allows": {"args": ["--clo=1500"]},
    "clock put in from a variable": {"args": ["$(ANY)"], "env": [{"name": "VLLM_ANY", "value": "--clock=9"}]},
    "clock as a variable": {"env": [{"name": "LABKIT_CLOCK", "value": "1500"}]},
    "variables from elsewhere": {"envFrom": [{"configMapRef": {"name": "mine"}}]},
    "profile": {"args": ["--profile=nvidia-h200_llama-3.1-8b-instruct"]},
    "profile from a file": {"args": ["--profile=/data/mine.toml"]},
    "weights that are there already": {"args": ["--weights-from=page_cache"]},
    "another GPU": {"args": ["--simulated-gpu=NVIDIA-H200"]},
    "a smaller model": {"args": ["--model=meta-llama/Llama-3.2-1B-Instruct"]},
    "a smaller model as a word": {"args": ["meta-llama/Llama-3.2-1B-Instruct"]},
    "a smaller model as a variable": {
        "env": [{"name": "MODEL", "value": "meta-llama/Llama-3.2-1B-Instruct"}]
    },
    "own command": {"command": ["python3", "-c", "print()"]},
    "the course's program by its own command": {
        "command": ["python", "-m", "model_server"],
        "args": ["--clock=9"],
    },
    "another image": {"image": "registry.lab:5000/me/llm-inference:fast"},
    "a file over the program": {
        "volumeMounts": [{"name": "x", "mountPath": "/app/model_server/settings.py"}]
    },
    "a folder that leads back": {"volumeMounts": [{"name": "x", "mountPath": "/data/../app"}]},
    "another place to start": {"workingDir": "/data"},
    "a hook inside": {"lifecycle": {"postStart": {"exec": {"command": ["python3", "-c", "..."]}}}},
    "a probe inside": {"livenessProbe": {"exec": {"command": ["sh", "-c", "sleep 1; cp /data/x /app"]}}},
    "a hook that asks others": {
        "lifecycle": {"postStart": {"httpGet": {"host": "10.0.0.1", "path": "/", "port": 80}}}
    },
    "an identity of its own": {"env": [{"name": "POD_UID", "value": "x"}]},
    "a path of Python's": {"env": [{"name": "PYTHONPATH", "value": "/data"}]},
    "a second container": {
        "pod": {"initContainers": [{"name": "x", "image": "busybox", "restartPolicy": "Always"}]}
    },
    "one that prepares files": {
        "pod": {"initContainers": [{"name": "x", "image": THE_COURSES, "command": ["cp", "/a", "/b"]}]}
    },
    "one that is added later": {
        "pod": {"ephemeralContainers": [{"name": "x", "image": THE_COURSES, "command": ["sh"]}]}
    },
    "the node's network": {"pod": {"hostNetwork": True}},
    "shared processes": {"pod": {"shareProcessNamespace": True}},
}
