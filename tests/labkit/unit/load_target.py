"""Model servers to aim at: one that misbehaves by path, in a thread, and the course's own, as a process."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from aiohttp import web

from localcluster import polling, spawn
from localcluster.spawn import Proc

MODEL_SERVER = Path(__file__).parents[3] / "cluster/images/model-server"


class FaultyServer:
    """`/<mode>/v1/completions`: whole, uncounted, broken, error, full (503), mute, reset, garbage."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.connections: set[object] = set()
        self.bodies: list[dict[str, object]] = []
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    def url(self, mode: str) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/{mode}"

    @contextmanager
    def running(self) -> Iterator[FaultyServer]:
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        thread.start()
        self._ready.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/{mode}/v1/models", self._models)
        app.router.add_post("/{mode}/v1/completions", self._complete)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        mode, body = request.match_info["mode"], await request.json()
        self.bodies.append(body)
        self.connections.add(request.transport)
        if mode == "full":
            return web.json_response({"error": "no room"}, status=503)
        if mode == "mute":
            await self._stop.wait()
        if mode == "reset":
            assert request.transport is not None
            request.transport.abort()
        stream = web.StreamResponse(headers={"X-Served-By": "pod-1", "X-Model-Version": "v2"})
        await stream.prepare(request)
        for event in self._events(mode, body["max_tokens"]):
            await stream.write(event)
            await asyncio.sleep(0)
        if mode == "broken":
            assert request.transport is not None
            request.transport.abort()
        return stream

    def _events(self, mode: str, tokens: int) -> Iterator[bytes]:
        for count in range(1, tokens + 1):
            chunk: dict[str, object] = {"choices": [{"text": "word "}]}
            if mode != "uncounted":
                chunk["usage"] = {"completion_tokens": count}
            event = b": ping\n\ndata: " + json.dumps(chunk).encode() + b"\n\n"
            yield event[:20]  # events arrive in pieces
            yield event[20:]
        if mode == "broken":
            return
        if mode == "error":
            yield b'data: {"error": {"message": "the engine died"}}\n\n'
        yield b"data: nonsense\n\n" if mode == "garbage" else b"data: [DONE]\n\n"


@contextmanager
def model_server(folder: Path, *, clock: float, **flags: str) -> Iterator[str]:
    """The course's model server with a GPU of its own making; its address. `flags` are its variables."""
    port = free_port()
    own = {"PYTHONPATH": str(MODEL_SERVER), "LABKIT_CLOCK": str(clock), "POD_NAME": "pod-a"}
    env = os.environ | own | flags
    argv = [sys.executable, "-m", "model_server", "--simulated-gpu", "NVIDIA-L4", "--enforce-eager"]
    size = ["--max-num-seqs", "8", "--max-model-len", "8192"]
    where = ["--host", "127.0.0.1", "--port", str(port), *size]
    log = folder / "model-server.log"
    child = spawn.popen([*argv, *where], log=log, env=env, cwd=folder)
    try:
        polling.until(lambda: _healthy(port, child), "the model server", seconds=60, last_seen=log.read_text)
        yield f"http://127.0.0.1:{port}"
    finally:
        if child.poll() is None:
            spawn.end([Proc.of(child.pid)], grace=5)
        child.wait()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _healthy(port: int, child: spawn.Child) -> bool:
    assert child.poll() is None, "the model server ended"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
