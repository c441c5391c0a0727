"""Builds the suite (e2e.test), its runner (ginkgo) and the programs of its images from the Go module proxy.

Compiled with the flags of the control plane, so that both share what Go has compiled. A build of the suite
takes some ten minutes on two cores; afterwards it is in the cache, beside the lab's own programs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ToolchainError
from localcluster.toolchain import build, golang
from localcluster.toolchain.cache import Cache, Entry
from localcluster.toolchain.progress import Progress
from localcluster.toolchain.versions import Module, Program, cache_root, kubernetes, pins, target

Built = Mapping[str, Path]
"""The programs by name."""

SUITE = "e2e.test"
_PACKAGE = "k8s.io/kubernetes/test/e2e"
_IMAGES = "k8s.io/kubernetes/test/images"
_PROGRAMS = {
    "ginkgo": "github.com/onsi/ginkgo/v2/ginkgo",
    "agnhost": f"{_IMAGES}/agnhost",
    "consumer": f"{_IMAGES}/resource-consumer",
    "consume-cpu": f"{_IMAGES}/resource-consumer/consume-cpu",
    "nnp": f"{_IMAGES}/nonewprivs",
    "sample-apiserver": "k8s.io/sample-apiserver",
}


def find() -> Built | None:
    """The programs by name if they were built before; None if not."""
    entry = _cache().find(_key(_module()))
    return None if entry is None or entry.trouble() else _paths(entry)


def ready(progress: Progress) -> Built:
    """The programs by name, built if they are not in the cache; raises `ToolchainError`."""
    found = find()
    if found:
        return found
    cache = _cache()
    with cache.writing(progress):
        return find() or _built(cache, progress)


def sources(package: str, progress: Progress) -> Path:
    """The folder of a package's sources, in Go's own cache."""
    cache, module = _cache(), _module()
    with cache.writing(progress):
        go = golang.find(pins(), cache, progress)
        done = spawn.run(
            [go.path, "-C", module.folder, "list", "-f", "{{.Dir}}", package], env=go.environment()
        )
    if done.returncode:
        raise ToolchainError(f"The sources of {package} could not be found:\n{done.stderr.strip()}")
    return Path(done.stdout.strip())


def images(name: str) -> str:
    """The package of one of the suite's images."""
    return f"{_IMAGES}/{name}"


def _built(cache: Cache, progress: Progress) -> Built:
    module = _module()
    programs = [Program(name, kubernetes(), module, package) for name, package in _PROGRAMS.items()]
    with cache.staging() as staging:
        job = build.Job(module, programs, golang.find(pins(), cache, progress), staging)
        files = build.build(job, pins(), progress)
        entry = staging / "entry"
        entry.mkdir()
        for name in _PROGRAMS:
            files[name].rename(entry / name)
        _compile(job, progress)
        with progress.task(f"Linking {SUITE} (a minute or two)"):
            _link(job, entry / SUITE)
        about = {"name": SUITE, "version": kubernetes(), "origin": "built from tests/conformance/go/go.mod"}
        return _paths(cache.add(_key(module), entry, about))


def _compile(job: build.Job, progress: Progress) -> None:
    """Compile what the suite imports: only `go build` says how far it is."""
    go: list[str | Path] = [job.go.path, "-C", job.module.folder]
    env = job.go.environment(job.into / "scratch")
    stale = "{{if .Stale}}{{.ImportPath}}{{end}}"
    listed = spawn.run([*go, "list", "-deps", "-f", stale, *job.module.flags(), "./suite"], env=env)
    with progress.task(f"Compiling {SUITE}", float(len(listed.stdout.split()) or 1)) as task:
        child = spawn.piped([*go, "build", "-v", *job.module.flags(), "./suite"], env=env)
        assert child.stderr is not None
        said = []
        for line in child.stderr:
            said.append(line.strip())
            task.advance(1, line.strip())
        if child.wait():
            raise ToolchainError(f"{SUITE} could not be compiled:\n" + "\n".join(said[-12:]))


def _link(job: build.Job, to: Path) -> None:
    command: list[str | Path] = [
        job.go.path,
        "-C",
        job.module.folder,
        "test",
        "-c",
        "-vet=off",
        *job.module.flags(),
    ]
    env = job.go.environment(job.into / "scratch")
    done = spawn.run([*command, "-o", to, _PACKAGE], env=env, seconds=3600)
    if done.returncode:
        raise ToolchainError(f"{SUITE} could not be linked:\n{done.stderr.strip()[-2000:]}")


def _module() -> Module:
    control_plane = pins().modules["controlplane"]
    return replace(control_plane, name="conformance", folder=Path(__file__).parent / "go", tags=())


def _cache() -> Cache:
    return Cache(cache_root() / "conformance")


def _key(module: Module) -> str:
    digest = hashlib.sha256("\0".join([*_PROGRAMS.values(), *module.flags(), target()]).encode())
    for path in [*module.inputs("./suite"), Path(__file__)]:
        digest.update(path.read_bytes())
    return f"e2e-{kubernetes()}-{target()}-{digest.hexdigest()[:12]}"


def _paths(entry: Entry) -> dict[str, Path]:
    return {name: entry.folder / name for name in entry.files}
