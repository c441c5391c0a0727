"""Lifecycle hooks: postStart and preStop, as exec, httpGet or sleep."""

from __future__ import annotations

import asyncio
from typing import Any

from labkit.node.life.executing import execute
from labkit.node.life.probes import Target, probe
from labkit.node.pod.context import PodContext
from labkit.node.pod.pods import RunningContainer

Json = dict[str, Any]

_LONGEST = 24 * 3600.0  # the caller ends a hook when the grace period is over


async def run(hook: Json, pod: PodContext, container: RunningContainer) -> str:
    """Run the hook to its end; returns what went wrong, or nothing."""
    if "sleep" in hook:
        await asyncio.sleep(pod.machine.real(float(hook["sleep"]["seconds"])))
        return ""
    if "exec" in hook:
        command = hook["exec"].get("command", ())
        code, output = await execute(container, command, _LONGEST)
        if not code:
            return ""
        return f"PostStart/PreStop command {command} exited with {code}: {output.strip()[:500]}"
    if "httpGet" in hook:
        outcome = await probe({"httpGet": hook["httpGet"], "timeoutSeconds": 30}, _target(pod, container))
        return "" if outcome.ok else outcome.message
    return ""


def _target(pod: PodContext, container: RunningContainer) -> Target:
    def address(port: int) -> tuple[str, int]:
        host, _, number = container.ports.get(port, f"127.0.0.1:{port}").rpartition(":")
        return host, int(number)

    async def no_exec(_command: Any, _seconds: float) -> tuple[int, str]:
        raise ValueError("not an exec hook")

    containers = (*pod.spec["containers"], *pod.spec.get("initContainers", ()))
    spec = next(c for c in containers if c["name"] == container.name)
    return Target(pod.record.pod_ip, spec, address, no_exec, pod.machine.config.clock)
