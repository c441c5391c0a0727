"""Where Services and pods of a lab answer on this machine: doors of the lab's edge.

Without isolation there is no edge: then the balancer's file and the pods' annotations say it.
"""

from __future__ import annotations

import contextlib
import json
from urllib.parse import urlsplit

from localcluster import polling
from localcluster.api import backends
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.errors import ProviderError, WaitTimeout
from localcluster.layout import Layout
from localcluster.netns import doors, enter, holder
from localcluster.node.network.ports import ADDRESS
from localcluster.node.network.service_table import ServiceTable
from localcluster.provider import Inside

FORWARDED = 2.0
"""Real seconds within which kube-proxy, or the balancer in its place, follows what the API server says."""


def of_service(layout: Layout, key: str) -> str:
    """Base URL of `namespace/service:port`; raises `ProviderError` if there is no such Service or port."""
    own = _isolated(layout)
    known = _in_the_lab(layout) if own else _on_loopback(layout)
    if key not in known:
        here = ", ".join(sorted(known))
        missing = (
            "There are no Services: run the cell that applies one, or the notebook from the top to here."
        )
        raise ProviderError(
            f"No address is known for {key}.",
            cause="The Service does not exist, or was only just created.",
            fix=f"Known: {here}. Wait for it, or correct the name and port." if here else missing,
        )
    if own:
        _until_forwarded(layout, key, known[key])
    return f"http://{_door(layout, known[key]) if own else known[key]}"


def of_pod(layout: Layout, pod: KubeObject) -> str:
    """`host:port` of the pod's first port; empty while it has none."""
    if not _isolated(layout):
        return pod.annotations.get(ADDRESS, "")
    ip = pod.at("status.podIP") or ""
    containers = (*(pod.at("spec.initContainers") or ()), *(pod.at("spec.containers") or ()))
    ports = [p for c in containers for p in c.get("ports") or () if p.get("protocol", "TCP") == "TCP"]
    return _door(layout, f"{ip}:{ports[0]['containerPort']}") if ip and ports else ""


def inside(layout: Layout, url: str) -> Inside | None:
    """What is behind one of the doors, and how to start a process that reaches it directly."""
    parts = urlsplit(url)
    for target, port in doors.known(layout.dir).items() if _isolated(layout) else ():
        if parts.netloc == f"127.0.0.1:{port}":
            within = parts._replace(netloc=target)
            with contextlib.suppress(ProcessLookupError):  # being restarted: the door works meanwhile
                return Inside(within.geturl(), enter.command(holder.pid_of(layout.dir)))
    return None


def _isolated(layout: Layout) -> bool:
    return layout.load()[0].isolated


def _door(layout: Layout, target: str) -> str:
    try:
        return doors.door(layout.dir, target)
    except OSError as error:
        name = layout.dir.name
        raise ProviderError(
            f"Lab {name!r} opens no door to {target}: {error}.",
            cause="Its edge, the process between this machine and the lab, is not running.",
            fix=f"`localcluster up --name {name}` starts what is not running.",
        ) from error


def _in_the_lab(layout: Layout) -> dict[str, str]:
    """ClusterIP and port of each Service."""
    table = ServiceTable()
    table.set_services(Api(layout.kubeconfig).get("/api/v1/services")["items"])
    return {key: f"{front.ip}:{front.port}" for key, front in table.frontends().items()}


def _until_forwarded(layout: Layout, key: str, target: str) -> None:
    """A Service that is new, or whose pods are only just ready, is forwarded a moment later.

    Whoever asks for its address then would be refused. Waits no longer than that: a Service whose pods do not
    listen on their port refuses for good, and that is to be seen.
    """
    namespace, _, name = key.partition(":")[0].partition("/")
    if backends.ready(Api(layout.kubeconfig), namespace, name):
        with contextlib.suppress(WaitTimeout):
            polling.until(lambda: _accepts(layout, target), f"{key} to be forwarded", seconds=FORWARDED)


def _accepts(layout: Layout, target: str) -> bool:
    try:
        doors.connected(layout.dir / doors.INSIDE, target).close()
    except OSError:
        return False
    return True


def _on_loopback(layout: Layout) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((layout.dir / "services.json").read_text())
    except FileNotFoundError:
        return {}
    return found
