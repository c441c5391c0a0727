"""Whether an ended container is restarted: its own rules, its own policy, the pod's policy, in this order.

Pure. The only supported action of a rule is `Restart`; a pod with another one is not admitted.
Source: https://kep.k8s.io/5307
"""

from __future__ import annotations

from localcluster.api import Json


def should_restart(container: Json, pod_spec: Json, exit_code: int) -> bool:
    """Whether the kubelet starts it again after this exit code."""
    if "restartPolicy" in container and any(
        _matches(rule, exit_code) for rule in container.get("restartPolicyRules") or ()
    ):
        return True
    policy = _policy(container, pod_spec)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def is_restarted(container: Json, pod_spec: Json) -> bool:
    """Whether it is started again after the kubelet itself killed it, for a probe."""
    return _policy(container, pod_spec) != "Never"


def is_sidecar(container: Json) -> bool:
    """Whether this init container is a sidecar, which keeps running next to the others."""
    return bool(container.get("restartPolicy") == "Always")


def restarts_all(container: Json) -> bool:
    """Whether one of its rules restarts the whole pod, which these nodes don't do."""
    return any(r.get("action") == "RestartAllContainers" for r in container.get("restartPolicyRules") or ())


def _policy(container: Json, pod_spec: Json) -> str:
    return str(container.get("restartPolicy") or pod_spec.get("restartPolicy", "Always"))


def _matches(rule: Json, exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    within = exit_code in (codes.get("values") or ())
    return bool({"In": within, "NotIn": not within}.get(codes.get("operator", ""), False))
