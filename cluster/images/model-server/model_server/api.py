"""The HTTP side: OpenAI's routes, health, metrics. One handler a route, no logic of the engine in it.

A client that goes away has its request aborted. While loading, health, metrics and requests get 503. While
draining only `/health` does: requests that still arrive are answered, and their connection is closed.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from model_server import __version__, protocol
from model_server.driver import Driver, Stream
from model_server.http_metrics import HttpMetrics
from model_server.metrics import CONTENT_TYPE, Exposition
from model_server.parameters import BadRequest
from model_server.protocol import EventWriter, Generation
from model_server.serving import Serving, State

SIMULATED = "gpu, timing, text"
EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
LARGEST_BODY = 16 * 2**20
"""Bytes: a prompt of 128k token ids takes about one MB."""


class Api:
    """Handlers bound to one server."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._exposition = Exposition(serving)
        self._headers = {
            "X-Model-Version": serving.settings.model_version,
            "X-Served-By": serving.pod(),
            "X-Labkit-Simulated": SIMULATED,
        }

    def application(self) -> web.Application:
        """Build the routes."""
        app = web.Application(middlewares=[self._errors], client_max_size=LARGEST_BODY)
        app.add_routes(
            [
                web.post("/v1/completions", self.completions),
                web.post("/v1/chat/completions", self.chat_completions),
                web.get("/v1/models", self.models),
                web.get("/health", self.health),
                web.get("/version", self.version),
                web.get("/metrics", self.metrics),
            ]
        )
        HttpMetrics(self._exposition.registry, clock=self._serving.settings.clock).watch(app)
        return app

    async def health(self, _: web.Request) -> web.Response:
        """Answer 200 when ready; 503 while loading or draining."""
        state = self._serving.state
        status = 200 if state is State.READY else 503
        reason = {"status": state.value, "phase": self._serving.startup.phase}
        return web.json_response(reason, status=status, headers=self._headers)

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer with Prometheus' text format; nothing while loading, when a vLLM does not listen yet."""
        self._require_loaded()
        return web.Response(body=self._exposition.text(), headers={"Content-Type": CONTENT_TYPE})

    async def version(self, _: web.Request) -> web.Response:
        """Say what runs here and what of it is simulated."""
        serving = self._serving
        about = {
            "version": __version__,
            "model_version": serving.settings.model_version,
            "simulated": SIMULATED,
            "gpu": serving.device.product,
            "profile": serving.profile.name,
            "profile_source": serving.profile.source,
            "clock": serving.settings.clock,
        }
        return web.json_response(about, headers=self._headers)

    async def models(self, _: web.Request) -> web.Response:
        """List the one model."""
        serving = self._serving
        card = {
            "id": serving.served.model,
            "object": "model",
            "created": 0,
            "owned_by": "labkit",
            "root": serving.settings.model,
            "max_model_len": serving.served.max_model_len,
            "version": serving.settings.model_version,
        }
        return web.json_response({"object": "list", "data": [card]}, headers=self._headers)

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Complete a prompt."""
        return await self._generate(request, chat=False)

    async def chat_completions(self, request: web.Request) -> web.StreamResponse:
        """Answer a conversation."""
        return await self._generate(request, chat=True)

    async def _generate(self, http: web.Request, *, chat: bool) -> web.StreamResponse:
        serving = self._serving
        driver = self._require_loaded()
        serving.enter()
        serving.stats.count(http.remote or "")
        try:
            generation = protocol.parse(await http.read(), chat=chat, served=serving.served)
            stream = driver.submit(generation.request, whole=not generation.stream)
            try:
                if generation.stream:
                    return await self._stream(http, generation, stream)
                await stream.progress()
                answer = web.json_response(protocol.whole(generation), headers=self._headers)
                return self._close_if_draining(answer)
            finally:
                driver.abort(generation.request)
        finally:
            serving.leave()

    def _require_loaded(self) -> Driver:
        serving = self._serving
        if serving.driver is None:
            message = f"The model is not ready yet: {serving.startup.phase}."
            raise BadRequest(message, status=503, kind="ServiceUnavailableError")
        return serving.driver

    async def _stream(self, http: web.Request, generation: Generation, stream: Stream) -> web.StreamResponse:
        headers = {**self._headers, **EVENT_STREAM}
        response = self._close_if_draining(web.StreamResponse(headers=headers))
        await response.prepare(http)
        writer = EventWriter(generation)
        opening = writer.first()
        while True:
            start, stop = await stream.progress()
            done = generation.request.done
            if stop > start:
                event = opening + writer.tokens(start, stop, last=done)
                await response.write(event + writer.end() if done else event)
                opening = b""
            if done:
                await response.write_eof()
                return response

    def _close_if_draining(self, response: web.StreamResponse) -> web.StreamResponse:
        """While draining, tell the client to come back on a new connection: to another pod."""
        if self._serving.state is State.DRAINING:
            response.force_close()
        return response

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadRequest as bad:
            body = protocol.error(str(bad), status=bad.status, kind=bad.kind, param=bad.param)
            answer = web.json_response(body, status=bad.status, headers=self._headers)
            return self._close_if_draining(answer)
        except web.HTTPClientError as refused:
            message = f"{request.method} {request.path}: {refused.reason}."
            kind = "NotFoundError" if refused.status == 404 else "BadRequestError"
            body = protocol.error(message, status=refused.status, kind=kind)
            headers = self._headers | {k: v for k, v in refused.headers.items() if k == "Allow"}
            return web.json_response(body, status=refused.status, headers=headers)
