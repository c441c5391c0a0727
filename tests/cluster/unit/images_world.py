"""What the tests of images stand on: a build context in a folder, a store of its own, and a real registry."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from localcluster import polling, spawn
from localcluster.images import distribution
from localcluster.images.build import Event, Request, Step, build
from localcluster.images.credentials import Credentials, Login
from localcluster.images.reference import parse
from localcluster.images.registry import Mirror
from localcluster.images.store import Image, Store
from localcluster.toolchain.ladder import ensure

HOST = "registry.lab:5000"
NAME = f"{HOST}/llm-inference:v1"
DOCKERFILE = """\
FROM python:3.11-slim
WORKDIR /app
COPY requirements.txt .
RUN python -c "open('/opt/installed', 'w').write(open('/app/requirements.txt').read())"
COPY server/ server/
USER 10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "server"]
"""
FILES = {
    "Dockerfile": DOCKERFILE,
    "requirements.txt": "aiohttp\n",
    "server/__init__.py": "",
    "server/__main__.py": "print('serving')\n",
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Files below a folder, by relative path."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@dataclass
class Built:
    """An image, the steps that made it and what was said on the way."""

    image: Image
    steps: list[Step]
    lines: list[str]

    def status(self, instruction: str) -> str:
        """How the first step went that begins with these words."""
        return next(step.status for step in self.steps if step.instruction.startswith(instruction))


def built(context: Path, store: Store, name: str = NAME, **options: object) -> Built:
    """Build and keep all events."""
    events: list[Event] = []
    request = Request(context, parse(name), **options)  # type: ignore[arg-type]
    image = build(request, store, events.append)
    return Built(image, [e for e in events if isinstance(e, Step)], [e for e in events if isinstance(e, str)])


@dataclass(frozen=True)
class LabRegistry:
    """A running registry with one login."""

    root: Path
    mirror: Mirror
    login: Login

    @property
    def credentials(self) -> Credentials:
        """The right login."""
        return Credentials(((HOST, self.login),))


@contextlib.contextmanager
def registry(folder: Path) -> Iterator[LabRegistry]:
    """The lab's registry, real, on loopback with TLS and htpasswd."""
    port = _free_port()
    _certificate(folder)
    login = Login("learner", "open sesame")
    (folder / "htpasswd").write_text(distribution.htpasswd_line(login.username, login.password))
    text = distribution.config(
        root=folder / "data",
        address=f"127.0.0.1:{port}",
        cert=folder / "tls.crt",
        key=folder / "tls.key",
        htpasswd=folder / "htpasswd",
    )
    (folder / "config.yml").write_text(text)
    program = ensure(["registry"])["registry"]
    argv: list[str | Path] = [program, "serve", folder / "config.yml"]
    process = spawn.popen(argv, log=folder / "log", env={**os.environ, **distribution.ENVIRONMENT})
    mirror = Mirror(HOST, f"https://127.0.0.1:{port}", str(folder / "tls.crt"))
    try:
        polling.until(lambda: _answers(mirror), "the registry", seconds=20)
        yield LabRegistry(folder / "data", mirror, login)
    finally:
        process.terminate()
        process.wait()


def _answers(mirror: Mirror) -> bool:
    trusted = ssl.create_default_context(cafile=mirror.ca)
    try:
        return httpx.get(f"{mirror.url}/v2/", verify=trusted, trust_env=False).status_code == 401
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry.lab")])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName("registry.lab"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.key").write_bytes(pem)


class BrokenLine:
    """A TCP relay that cuts a connection once it has carried `after` bytes, once each time it is armed."""

    def __init__(self, target: Mirror, after: int) -> None:
        self._port = int(target.url.rpartition(":")[2])
        self._after, self._armed_at = after, 0
        self._armed = True
        self.carried, self.broken = 0, 0
        self.mirror = target
        self.connections: set[asyncio.Task[None]] = set()

    def rearm(self) -> None:
        """Cut one more connection, `after` bytes from now."""
        self._armed, self._armed_at = True, self.carried

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection in both directions."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ends = (writer, far_writer)
        await asyncio.gather(self._carry(reader, far_writer, ends), self._carry(far_reader, writer, ends))

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.carried += len(data)
                if self._armed and self.carried - self._armed_at > self._after:
                    self._armed = False
                    self.broken += 1
                    for end in ends:
                        end.transport.abort()
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def broken_line(target: Mirror, *, after: int) -> AsyncIterator[BrokenLine]:
    """A way to a registry that breaks."""
    line = BrokenLine(target, after)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.mirror = replace(target, url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        try:
            yield line
        finally:
            await asyncio.gather(*line.connections)
