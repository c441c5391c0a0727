"""Lifecycle hooks: postStart and preStop, as exec, httpGet or sleep.

As on a kubelet, a hook fails if its command fails or there is no answer; the status of an HTTP answer does
not matter.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from localcluster.api import Json
from localcluster.node.life import http_get
from localcluster.node.life.executing import execute
from localcluster.node.life.http_get import Question
from localcluster.node.life.probes import number
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.pods import RunningContainer

_LONGEST = 24 * 3600.0  # the caller ends a hook when the grace period is over


async def run(hook: Json, pod: PodContext, container: RunningContainer) -> str:
    """Run the hook to its end; returns what went wrong in the kubelet's words, or nothing."""
    of = f'for Container "{container.name}" in Pod "{pod.full_name}" failed - error:'
    if "sleep" in hook:
        await asyncio.sleep(pod.machine.real(float(hook["sleep"]["seconds"])))
    elif "exec" in hook:
        command = hook["exec"].get("command", ())
        code, output = await execute(container, command, _LONGEST)
        if code:
            words = " ".join(command)
            ended = f"command '{words}' exited with {code}: {output}"
            return f'Exec lifecycle hook ([{words}]) {of} {ended}, message: "{output}"'
    elif "httpGet" in hook:
        if said := await _http(hook["httpGet"], pod, container):
            return f"HTTP lifecycle hook ({hook['httpGet'].get('path', '')}) {of} {said}"
    else:
        return f"Cannot run handler: {', '.join(hook)} is not supported in a lifecycle hook"
    return ""


async def _http(spec: Json, pod: PodContext, container: RunningContainer) -> str:
    containers = (*pod.spec["containers"], *pod.spec.get("initContainers", ()))
    own = next(c for c in containers if c["name"] == container.name)
    try:
        asked = http_get.question(
            spec, host=pod.record.pod_ip, port=number(own, spec["port"]), purpose="lifecycle"
        )
        await _ask(asked, pod)
    except (ValueError, http_get.Unanswered) as error:
        return str(error)
    return ""


async def _ask(asked: Question, pod: PodContext) -> None:
    """Send the request; if HTTPS is requested but plain HTTP answers, use HTTP."""
    dial = pod.machine.network.where
    try:
        await http_get.get(asked, dial, None)
    except http_get.NoTls:
        headers = asked.headers.copy()
        headers.popall("Authorization", None)
        await http_get.get(Question(asked.url.replace("https://", "http://", 1), headers), dial, None)
        host = urlsplit(asked.url).netloc
        said = f"request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
        pod.tell("LifecycleHTTPFallback", said, warning=True)
