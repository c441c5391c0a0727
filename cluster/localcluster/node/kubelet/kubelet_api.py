"""The HTTPS port of one simulated kubelet: logs, streams and metrics, for the API server and Prometheus only.

On the node's address, with its serving certificate; clients need a certificate of the lab's CA and must be
one of two: the API server (everything) or Prometheus (metrics).
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from localcluster.gpus import exposition
from localcluster.gpus.dcgm import GpuMetrics
from localcluster.gpus.exposition import Family
from localcluster.netns.plan import KUBELET_PORT
from localcluster.node.config import NodeSpec
from localcluster.node.kubelet import attach_stream, exec_stream, log_reader, metrics_pages, port_forward
from localcluster.node.kubelet.exec_stream import ExecOptions
from localcluster.node.kubelet.log_reader import LogOptions, LogTimes
from localcluster.node.kubelet.port_forward import PROTOCOL
from localcluster.node.kubelet.stats import Sampler
from localcluster.node.network.networks import Network
from localcluster.node.pod.pods import PodTable, RunningContainer, RunningPod
from localcluster.quantities import amount

API_SERVER = "kube-apiserver-kubelet-client"
PROMETHEUS = "prometheus"
_PUBLIC = ("/healthz",)
_METRICS = ("/metrics", "/stats/")
_LINGER_SECONDS = 1.0  # for streams that are open when the server stops

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class NodeView:
    """What the endpoints of a node show."""

    spec: NodeSpec
    pods: PodTable
    sampler: Sampler
    gpus: GpuMetrics
    log_times: LogTimes


class KubeletServer:
    """One node's port; `start` returns its number."""

    def __init__(self, view: NodeView, pki: Path, network: Network) -> None:
        self._view = view
        self._pki = pki
        self._network = network
        app = web.Application(middlewares=[_only_known_callers])
        app.add_routes(
            [
                web.get("/healthz", _healthz),
                web.get("/pods", self._pods),
                web.get("/containerLogs/{namespace}/{pod}/{container}", self._logs),
                web.get("/exec/{namespace}/{pod}/{container}", self._exec),
                web.post("/exec/{namespace}/{pod}/{container}", self._exec),
                web.route("*", "/attach/{namespace}/{pod}/{container}", self._attach),
                web.route("*", "/portForward/{namespace}/{pod}", self._port_forward),
                web.get("/stats/summary", self._summary),
                web.get("/metrics/cadvisor", self._cadvisor),
                web.get("/metrics/resource", self._resource),
                web.get("/metrics/dcgm", self._dcgm),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_LINGER_SECONDS)

    async def start(self) -> int:
        """Listen; returns the port."""
        await self._runner.setup()
        name = f"kubelet-{self._view.spec.name}"
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self._pki / "ca.crt"))
        tls.load_cert_chain(self._pki / f"{name}.crt", self._pki / f"{name}.key")
        tls.verify_mode = ssl.CERT_REQUIRED
        ip, port = self._network.node_ip(self._view.spec.index), KUBELET_PORT if self._network.own else 0
        await web.TCPSite(self._runner, ip, port, ssl_context=tls).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port and its open connections."""
        await self._runner.cleanup()

    async def _pods(self, _: web.Request) -> web.StreamResponse:
        items = [
            {
                "metadata": {**p.metadata, "name": p.name, "namespace": p.namespace, "uid": p.uid},
                "spec": p.spec,
                "status": p.status,
            }
            for p in self._view.pods.list(self._view.spec.name)
        ]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        try:
            options = LogOptions.parse(request.query)
        except ValueError as error:
            raise web.HTTPBadRequest(
                text=f"unable to decode the request for container logs: {error}"
            ) from error
        container, path = _log_file(pod, request.match_info["container"], previous=options.previous)

        def running() -> bool:
            return not options.previous and pod.runs(container)

        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # the reader has seen enough
            async for piece in log_reader.read(path, options, self._view.log_times, running=running):
                await response.write(piece)
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        container = self._running(request)
        options = ExecOptions.parse(request.query)
        if not options.command:
            raise web.HTTPBadRequest(text="you must specify at least 1 command")
        return await exec_stream.serve(request, container, options)

    async def _attach(self, request: web.Request) -> web.StreamResponse:
        container, options = self._running(request), ExecOptions.parse(request.query)
        pod, times = self._pod(request), self._view.log_times
        joined = attach_stream.joined(container.folder) or attach_stream.Log(pod, container, times)
        return await attach_stream.serve(request, joined, stdin=options.stdin)

    def _running(self, request: web.Request) -> RunningContainer:
        """The container whose streams are requested, by a client that can use them."""
        pod, name = self._pod(request), request.match_info["container"]
        container = pod.containers.get(name)
        if container is None or not container.running:
            raise web.HTTPBadRequest(text=f'container "{name}" in pod "{pod.name}" is not running')
        if request.headers.get("Upgrade", "").lower() != "websocket":
            # Only now: kubectl tries SPDY after any refusal, and shows that second error.
            raise _no_spdy("REMOTE_COMMAND")
        return container

    async def _port_forward(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        if PROTOCOL not in request.headers.get("Sec-WebSocket-Protocol", ""):
            raise _no_spdy("PORT_FORWARD")
        return await port_forward.serve(request, pod, self._network)

    def _pod(self, request: web.Request) -> RunningPod:
        name = request.match_info["pod"]
        pod = self._view.pods.get(request.match_info["namespace"], name)
        if pod is None or pod.node != self._view.spec.name:
            raise web.HTTPNotFound(text=f'pod "{name}" not found on node {self._view.spec.name}')
        return pod

    async def _summary(self, _: web.Request) -> web.StreamResponse:
        name = self._view.spec.name
        return web.json_response(metrics_pages.summary(name, self._view.sampler.node(name)))

    async def _cadvisor(self, _: web.Request) -> web.StreamResponse:
        spec = self._view.spec
        sample = self._view.sampler.node(spec.name)
        return _page(metrics_pages.cadvisor(sample, cpu=spec.cpu, memory_bytes=int(amount(spec.memory))))

    async def _resource(self, _: web.Request) -> web.StreamResponse:
        return _page(metrics_pages.resource(self._view.sampler.node(self._view.spec.name)))

    async def _dcgm(self, _: web.Request) -> web.StreamResponse:
        name = self._view.spec.name
        return _page(self._view.gpus.families(name, self._view.pods.sole_gpu_holders(name)))


def _page(families: Iterable[Family]) -> web.Response:
    headers = {"Content-Type": exposition.CONTENT_TYPE}
    return web.Response(body=exposition.render(families).encode(), headers=headers)


@web.middleware
async def _only_known_callers(request: web.Request, handler: Handler) -> web.StreamResponse:
    caller = _common_name(request)
    metrics = request.path.startswith(_METRICS) and caller == PROMETHEUS
    if caller == API_SERVER or metrics or request.path in _PUBLIC:
        return await handler(request)
    raise web.HTTPForbidden(text=f"Forbidden (user={caller}, path={request.path})")


def _common_name(request: web.Request) -> str:
    """The user of the client's certificate, which the TLS layer has verified."""
    certificate = request.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return names[0] if names else ""


def _log_file(pod: RunningPod, name: str, *, previous: bool) -> tuple[RunningContainer, Path]:
    """The requested log, or the kubelet's message if there is none."""
    container = pod.containers.get(name)
    if previous:
        if container is None or container.previous_log_path is None:
            raise web.HTTPBadRequest(
                text=f'previous terminated container "{name}" in pod "{pod.name}" not found'
            )
        path = container.previous_log_path
    elif container is None or not container.log_path.exists():
        reason = _waiting_reason(pod, name)
        raise web.HTTPBadRequest(text=f'container "{name}" in pod "{pod.name}" is waiting to start: {reason}')
    else:
        path = container.log_path
    if not path.exists():
        raise web.HTTPNotFound(text=f"the log of {name} is gone: {path.name}")
    return container, path


def _waiting_reason(pod: RunningPod, name: str) -> str:
    for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in pod.status.get(kind) or ():
            waiting = (status.get("state") or {}).get("waiting") or {}
            if status["name"] == name and waiting.get("reason"):
                return str(waiting["reason"])
    return "ContainerCreating"


async def _healthz(_: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


def _no_spdy(what: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(
        text="the simulated kubelet only accepts WebSockets (v5.channel.k8s.io, "
        "SPDY/3.1+portforward.k8s.io), "
        f"not SPDY: use kubectl 1.31 or newer without KUBECTL_{what}_WEBSOCKETS=false"
    )
