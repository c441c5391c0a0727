"""What must hold before a pod's containers start, besides its volumes: runtime, devices, sysctls, host ports.

What is missing is waited for, as the kubelet does: the pod stays Pending, and an event says why.
"""

from __future__ import annotations

from pathlib import Path

from localcluster.api.asynchronous import ApiError
from localcluster.errors import LabError
from localcluster.node import unsupported
from localcluster.node.pod.context import PodContext

RUNTIME_HANDLER = "bubblewrap"
"""The handler of a RuntimeClass that these nodes have."""


class SandboxFailure(Exception):
    """The pod can't start (yet); `reason` is that of the kubelet's event."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def make(pod: PodContext) -> None:
    """Raise `SandboxFailure` for what is missing; otherwise the pod's namespaces are as it wants them."""
    if claims := [c["name"] for c in pod.spec.get("resourceClaims") or ()]:
        said = f"no DRA driver runs on this node, which claim {', '.join(claims)} needs"
        raise SandboxFailure("FailedPrepareDynamicResources", f"Failed to prepare dynamic resources: {said}")
    try:
        if name := pod.spec.get("runtimeClassName"):
            await _check_runtime(pod, name)
        _set_sysctls(pod)
        record, machine = pod.record, pod.machine
        await machine.host_ports.open(record.uid, pod.spec, machine.ip, record.pod_ip)
    except (OSError, ValueError, ApiError, LabError) as error:
        raise SandboxFailure(
            "FailedCreatePodSandBox", f"Failed to create pod sandbox: {_what(error)}"
        ) from error


def _what(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"open {error.filename}: {(error.strerror or '').lower()}"
    return error.message if isinstance(error, ApiError) else str(error)


async def _check_runtime(pod: PodContext, name: str) -> None:
    found = await pod.machine.api.get(f"/apis/node.k8s.io/v1/runtimeclasses/{name}")
    if found["handler"] != RUNTIME_HANDLER:
        raise ValueError(f'no runtime for "{found["handler"]}" is configured, only "{RUNTIME_HANDLER}"')


def _set_sysctls(pod: PodContext) -> None:
    wanted = unsupported.sysctls(pod.spec)
    if wanted and not pod.machine.network.own:
        raise ValueError(
            "sysctls need a pod's own namespaces, which this lab is without (`--isolation none`)"
        )
    with pod.machine.network.inside(pod.record.uid):
        for name, value in wanted.items():
            path = Path("/proc/sys", name.translate(str.maketrans("./", "/.")))
            try:
                path.write_text(value)
            except OSError as error:  # of a write it names no file
                raise OSError(error.errno, error.strerror, str(path)) from error
