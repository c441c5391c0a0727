"""What the toolchain's tests share: a publisher on loopback that can misbehave, and processes to kill."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from localcluster import spawn
from localcluster.toolchain.cache import Cache
from localcluster.toolchain.ladder import Ladder
from localcluster.toolchain.progress import Progress, Silent
from localcluster.toolchain.versions import Pins, load

CLUSTER = Path(__file__).parent / "toolchain_data" / "cluster"
NAME = "hello"

PROGRAM = """#!/bin/sh
echo "hello v{version}"
"""


@dataclass
class Publisher:
    """Serves files by path; `cut` bytes are sent before the connection breaks, `hold` keeps it open then."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    hold: bool = False
    silent: bool = False
    ranges: bool = True
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def publishing() -> Iterator[Publisher]:
    publisher = Publisher()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(self, publisher)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield publisher
    finally:
        publisher.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(request: BaseHTTPRequestHandler, publisher: Publisher) -> None:
    wanted = request.headers.get("Range", "")
    publisher.asked.append(f"{request.path} {wanted}".strip())
    if publisher.silent:
        publisher.over.wait()
        return
    body = publisher.files.get(request.path)
    if body is None:
        request.send_error(404)
        return
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and publisher.ranges else 0
    if start and start >= len(body):
        request.send_error(416)
        return
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(body) - start))
    request.end_headers()
    _send(request, publisher, body[start:])


def _send(request: BaseHTTPRequestHandler, publisher: Publisher, body: bytes) -> None:
    cut = publisher.cut if publisher.cut is not None and len(body) > publisher.cut else None
    request.wfile.write(body[:cut])
    request.wfile.flush()
    if cut is not None:
        if publisher.hold:
            publisher.over.wait()
        else:
            publisher.cut = None  # the network is mended after the first break
        request.close_connection = True


def archive(*, version: str = "1.2.3", padding: int = 0) -> bytes:
    """What a publisher offers: a tar.gz with the program, which is a shell script here."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as tar:
        text = PROGRAM.format(version=version).encode() + b"#" * padding
        info = tarfile.TarInfo("hello-1.2.3/hello")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


def publish(publisher: Publisher, body: bytes, *, stated: bytes | None = None) -> None:
    """Put the archive and its list of sums on the server; `stated` is what the sum is taken of."""
    publisher.files["/hello.tar.gz"] = body
    digest = hashlib.sha256(stated or body).hexdigest()
    publisher.files["/SHA256SUMS"] = f"{'0' * 64}  other.tar.gz\n{digest}  hello.tar.gz\n".encode()


def pins_at(publisher: Publisher | None = None, cluster: Path = CLUSTER) -> Pins:
    """The pins of the little lab, its program published by `publisher`."""
    pins = load(cluster)
    if publisher is None:
        return pins
    program = pins.programs[NAME]
    assert program.download is not None
    download = replace(
        program.download, url=publisher.url("/hello.tar.gz"), sums=publisher.url("/SHA256SUMS")
    )
    return replace(pins, programs={NAME: replace(program, download=download)})


def ladder(
    root: Path, pins: Pins, *, downloads: bool = False, installed: bool = False
) -> tuple[Ladder, Silent]:
    """A ladder on a cache of its own, and what it says."""
    screen = Silent()
    return Ladder(pins, Cache(root), Progress(screen), installed, downloads), screen


def put_into_cache(root: Path, names: Sequence[str]) -> None:
    """Make pinned programs of the real lab be there, as a build leaves them; they do nothing."""
    cache = Cache(root / "bin")
    with cache.writing(Progress(Silent())):
        for name in names:
            program = load().programs[name]
            with cache.staging() as staging:
                (staging / "entry").mkdir()
                (staging / "entry" / name).write_text("#!/bin/sh\n")
                cache.add(program.key(), staging / "entry", {"name": name, "version": program.version})


def version(path: Path) -> str:
    return spawn.run([path, "--version"]).stdout.strip()


@dataclass
class Child:
    """A process of its own that runs Python code; its status and outputs once it is over."""

    process: spawn.Piped

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def finished(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err


@contextmanager
def child(code: str, *args: str | Path, env: dict[str, str] | None = None) -> Iterator[Child]:
    """Run Python code in a process of its own, with this module at hand as `w`."""
    head = "import sys; from pathlib import Path; from tests.cluster.unit import toolchain_world as w\n"
    with spawn.piped([sys.executable, "-c", head + code, *args], env=env) as process:
        try:
            yield Child(process)
        finally:
            process.kill()
