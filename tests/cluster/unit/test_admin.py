"""The lab's own requests: a look at an API server that gives no answer is one request, and is over."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localcluster.api.client import Api
from localcluster.background import Background
from localcluster.embedded import admin


class Mute:
    """Listens on the loopback, and closes each connection without an answer."""

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.asked = 0

    def serve(self, _: object) -> None:
        while True:
            try:
                connection, _peer = self._server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                self.asked += 1

    @property
    def url(self) -> str:
        host, port = self._server.getsockname()
        return f"http://{host}:{port}"


@pytest.fixture
def mute() -> Iterator[Mute]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        mute = Mute(server)
        Background(mute.serve, name="mute").start()
        yield mute
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def api(mute: Mute, tmp_path: Path) -> Api:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
        "clusters": [{"name": "lab", "cluster": {"server": mute.url}}],
        "users": [{"name": "admin", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Api(path)


def test_a_look_without_an_answer_is_none_after_one_request(api: Api, mute: Mute) -> None:
    assert admin.get(api, "/api/v1/nodes") is None
    assert mute.asked == 1


def test_each_look_asks_again(api: Api, mute: Mute) -> None:
    assert [admin.get(api, "/readyz") for _ in range(3)] == [None] * 3
    assert mute.asked == 3
