"""Over TLS: the lab's own authority is trusted when it is given, and nothing else is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import LoadError
from labkit.load import Closed, Load, Workload, start
from labkit.load.target import look
from localcluster.embedded import pki
from tests.labkit.unit.load_target import FaultyServer

SHAPE = Closed(users=1, seconds=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls") / "pki"
    pki.ensure(made, [pki.Identity("server", "server", hosts=pki.LOOPBACK)])
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[FaultyServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    with FaultyServer(context).running() as running:
        yield running


def test_the_labs_authority_is_trusted_when_given(server: FaultyServer, folder: Path, tmp_path: Path) -> None:
    load = Load(url=server.url("whole"), shape=SHAPE, workload=Workload(8, 5), clock=20, ca=folder / "ca.crt")
    result = start(load, tmp_path).wait()
    assert result.summary().ok > 0
    assert result.failures() == {}


def test_an_unknown_authority_is_named_with_its_fix(server: FaultyServer) -> None:
    with pytest.raises(LoadError, match="not trusted") as caught:
        look(Load(url=server.url("whole"), shape=SHAPE))
    assert "--ca" in caught.value.fix
