"""Images for the suite's pods where its registry can't be reached: stand-ins, named as the suite names them.

Their programs are the suite's own (agnhost, resource-consumer, nonewprivs), from the same module; shell and
tools are Debian's packages. nginx, kitten and nautilus are agnhost's web server. They lie in a registry of
this machine, and the suite is told of it in its own way: a list of registries (KUBE_TEST_REPO_LIST).
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.images import blocking
from localcluster.images.build import Request, build
from localcluster.images.distribution import ENVIRONMENT
from localcluster.images.push import push
from localcluster.images.reference import parse
from localcluster.images.store import Store
from localcluster.polling import until
from localcluster.toolchain import ladder
from localcluster.toolchain.progress import Progress
from tests.conformance import programs

_TOOLS = (
    "bash",
    "busybox-static",
    "curl",
    "bind9-dnsutils",
    "netcat-openbsd",
    "iproute2",
    "iperf",
    "stress",
    "socat",
    "libc-bin",
    "wget",
)
_UNNEEDED = (
    "debconf",
    "perl",
    "python",
    "install-info",
    "base-files",
    "systemd",
    "dpkg",
    "init-system-helpers",
)
_PEOPLE = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"
    "user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n",
    "group": "root:x:0:\nuser-defined-in-image:x:1000:\n"
    "group-defined-in-image:x:50000:user-defined-in-image\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "hosts: files dns\n",
    "os-release": 'NAME="a stand-in for Alpine Linux"\n',
}
_FOLDERS = (
    "root",
    "proc",
    "dev",
    "sys",
    "run",
    "mnt",
    "home",
    "usr/local/bin",
    "var/log",
    "uploads",
    "var/registry",
)

_BASE = "FROM scratch\nCOPY base/ /\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
_AGNHOST = f'{_BASE}COPY agnhost/ /\nEXPOSE 80 8080 8081 9376 5000\nENTRYPOINT ["/agnhost"]\n'
_WEB = f'{_AGNHOST}COPY {{0}}/ /\nCMD ["test-webserver"]\n'
_FILES = {
    "agnhost": f'{_AGNHOST}CMD ["pause"]\n',
    "busybox": f'{_BASE}CMD ["sh"]\n',
    "nonroot": f"{_BASE}USER 1234\n",
    "nonewprivs": f'{_BASE}COPY nnp /usr/local/bin/nnp\nCMD ["nnp"]\n',
    "pause": f'{_AGNHOST}USER 65535:65535\nENTRYPOINT ["/agnhost", "pause"]\n',
    "nginx": f'{_AGNHOST}CMD ["netexec", "--http-port=80"]\n',
    "kitten": _WEB.format("kitten"),
    "nautilus": _WEB.format("nautilus"),
    "resource-consumer": f"{_BASE}COPY consumer /consumer\nCOPY consume-cpu /consume-cpu/consume-cpu\n"
    'EXPOSE 8080\nENTRYPOINT ["/consumer"]\n',
    "sample-apiserver": f'{_BASE}COPY sample-apiserver /\nENTRYPOINT ["/sample-apiserver"]\n',
    "etcd": f"{_BASE}COPY etcd /usr/local/bin/etcd\n",
}
_STAND_IN = {"ipc-utils": "busybox", "perl": "busybox", "glibc-dns-testing": "agnhost"}


def wanted(suite: Path) -> list[str]:
    """The images that a suite names, as in `agnhost:2.66.1`: `e2e.test --list-images` prints them."""
    done = spawn.run([suite, "--list-images"], seconds=120)
    return sorted({line.rpartition("/")[2] for line in done.stdout.split() if ":" in line})


@contextmanager
def served(built: Mapping[str, Path], work: Path, progress: Progress, address: str) -> Iterator[Path]:
    """A registry at an address of 127.0.0.1 with all stand-ins; yields the suite's list of registries.

    The list is a YAML file in the registry's folder.
    """
    work.mkdir(parents=True, exist_ok=True)
    context = _context(built, work / "context", progress)
    with tempfile.TemporaryDirectory(prefix="run-", dir=work) as run, registry(Path(run), address):
        names = [name for name in wanted(built[programs.SUITE]) if _kind(name)]
        with progress.task("Making images for the suite's pods", len(names)) as task:
            for name in names:
                _publish(f"{address}/e2e/{name}", _FILES[_kind(name)], context, Path(run))
                task.advance(1, name)
        list_file = Path(run, "registries.yaml")
        list_file.write_text(
            yaml.safe_dump({f"{kind}Registry": f"{address}/e2e" for kind in ("promoterE2e", "gc", "gcEtcd")})
        )
        yield list_file


def _kind(name: str) -> str:
    plain = name.partition(":")[0]
    plain = _STAND_IN.get(plain, plain)
    return plain if plain in _FILES else ""


def _publish(name: str, dockerfile: str, context: Path, scratch: Path) -> None:
    store = Store()
    file = scratch / "Dockerfile"
    file.write_text(dockerfile)
    ref = parse(name)
    build(Request(context, ref, file), store)
    blocking.run(push(ref, store=store))


def free_address() -> str:
    """An address of 127.0.0.1 with a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def registry(work: Path, address: str) -> Iterator[None]:
    """An anonymous registry at an address; all registries of a folder have the same images."""
    config = work / f"registry-{address}.yml"
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(work / "registry")}},
        "http": {"addr": address},
    }
    config.write_text(yaml.safe_dump(settings))
    program = ladder.ensure(["registry"])["registry"]
    child = spawn.popen(
        [program, "serve", config], log=config.with_suffix(".log"), env={**os.environ, **ENVIRONMENT}
    )
    try:
        until(lambda: _answers(address), "the registry of the suite's images", seconds=20)
        yield
    finally:
        child.terminate()
        child.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/v2/").is_success
    except httpx.HTTPError:
        return False


def _context(built: Mapping[str, Path], place: Path, progress: Progress) -> Path:
    """The build context of all images: a root folder of tools, and the suite's programs."""
    if place.is_dir():
        return place
    done, place = place, Path(tempfile.mkdtemp(prefix="context-", dir=place.parent))
    base, agnhost = place / "base", place / "agnhost"
    for folder in _FOLDERS:
        (base / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("tmp", "var/tmp"):
        (base / folder).mkdir(parents=True, exist_ok=True)
        (base / folder).chmod(0o1777)
    (base / "uploads").chmod(0o777)
    _unpack_tools(base, place / "packages", progress)
    (base / "etc").mkdir(exist_ok=True)
    for name, text in _PEOPLE.items():
        (base / "etc" / name).write_text(text)
    agnhost.mkdir()
    shutil.copy(built["agnhost"], agnhost)
    for link in ("agnhost-2", "pause"):
        (agnhost / link).symlink_to("agnhost")
    (agnhost / "index.html").write_text("<html><body>agnhost</body></html>\n")
    for name in ("localhost.crt", "localhost.key"):
        shutil.copy(programs.sources(programs.images("agnhost/porter"), progress) / name, agnhost)
    for name in ("consumer", "consume-cpu", "nnp", "sample-apiserver"):
        shutil.copy(built[name], place)
    shutil.copy(ladder.ensure(["etcd"])["etcd"], place)
    (place / "nnp").chmod(0o6755)
    root = programs.sources(programs.images("agnhost"), progress).parent
    for name in ("kitten", "nautilus"):
        shutil.copytree(root / name / "html", place / name, copy_function=shutil.copyfile)
    shutil.rmtree(place / "packages")
    try:
        place.rename(done)  # complete, or not there
    except OSError:  # another run was faster
        shutil.rmtree(place)
    return done


def _unpack_tools(base: Path, packages: Path, progress: Progress) -> None:
    """Debian's packages with all that they need, as any user; bash for `sh`, busybox for the rest."""
    packages.mkdir(parents=True, exist_ok=True)
    options = [
        f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    ]
    listed = _said(["apt-cache", "depends", "--recurse", *options, *_TOOLS]).splitlines()
    names = sorted({line for line in listed if line[:1].isalnum() and not line.startswith(_UNNEEDED)})
    with progress.task("Fetching the tools of the images (Debian's packages)"):
        _said(["apt-get", "download", "-qq", *names], packages)
        for package in sorted(packages.glob("*.deb")):
            _said(["dpkg-deb", "-x", str(package), str(base)])
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"):
        shutil.rmtree(base / folder, ignore_errors=True)
    busybox = next(path for path in (base / "bin/busybox", base / "usr/bin/busybox") if path.exists())
    (base / "usr/bin/nc").symlink_to("/bin/nc.openbsd")  # as Debian's alternatives do
    there = {
        path.name for folder in ("bin", "sbin", "usr/bin", "usr/sbin") for path in (base / folder).glob("*")
    }
    for applet in _said([str(busybox), "--list"]).split():
        if applet not in there:
            (base / "bin" / applet).symlink_to(
                busybox.name if busybox.parent.name == "bin" else "/usr/bin/busybox"
            )
    shell = base / "bin/sh"
    shell.unlink(missing_ok=True)
    shell.symlink_to("bash")  # it hands on variables whose names are no shell names, as the image's own does
    (base / "usr/bin/env").unlink(missing_ok=True)
    (base / "usr/bin/env").symlink_to("/bin/busybox")


def _said(argv: list[str], folder: Path | None = None) -> str:
    done = spawn.run(argv, cwd=folder)
    if done.returncode:
        raise ToolchainError(
            f"`{' '.join(argv[:2])}` failed: {done.stderr.strip()[-500:]}",
            cause="The images' tools are Debian's packages, which only such a system fetches.",
            fix="Use a machine with apt-get, dpkg-deb and a network.",
        )
    return done.stdout
