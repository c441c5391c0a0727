"""Real containers under bubblewrap, without a cluster: walls, exit codes, and adoption by another agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import _proc
from labkit.images import hostbase
from labkit.node.pod import volumes
from labkit.node.process import container, processes, sandbox, unboxed
from labkit.node.process.container import Run
from labkit.node.process.sandbox import Mount, Sandbox


def usable() -> bool:
    return _proc.run([sandbox.bwrap(), "--unshare-user", "--ro-bind", "/", "/", "true"]).returncode == 0


pytestmark = pytest.mark.skipif(not usable(), reason="this host refuses user namespaces")


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostbase.host().skeleton(tmp_path_factory.mktemp("cache"))


def box(rootfs: Path, folder: Path, *argv: str, mounts: tuple[Mount, ...] = ()) -> Sandbox:
    return Sandbox(
        rootfs=rootfs,
        scratch=folder / "0",
        argv=argv,
        env={"PATH": sandbox.DEFAULT_PATH, container.ID_VARIABLE: "id", "SECRET": "x"},
        host=tuple(hostbase.host().mounts()),
        mounts=mounts,
        uid=1000,
        gid=1000,
        hostname="web",
    )


async def start(described: Sandbox, folder: Path) -> Run:
    return await container.start(described, folder=folder / "0", log=folder / "0.log", lab_dir=folder)


def ran(described: Sandbox, folder: Path) -> tuple[int, str, str]:
    async def scenario() -> container.Ended:
        return await (await start(described, folder)).wait()

    ended = asyncio.run(scenario())
    return ended.exit_code, (folder / "0.log").read_text(), ended.message


def test_a_container_sees_itself_and_nothing_else(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken")
    mount = Mount(tmp_path / "token", "/var/run/secrets/kubernetes.io/serviceaccount/token", read_only=True)
    script = (
        "id -u; hostname; cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo; "
        f"ls -A {tmp_path} /home; ls /proc | grep -c '^[0-9]*$'; echo $$; touch /x && echo w; "
        "touch /usr/bin/x 2>/dev/null || echo ro; python3 -c 'print(1+1)'; exit 7"
    )
    code, log, _ = ran(box(rootfs, tmp_path, "sh", "-c", script, mounts=(mount,)), tmp_path)
    assert code == 7
    lines = log.splitlines()
    assert lines[:3] == ["1000", "web", "t0ken"]
    assert lines[3].endswith("No such file or directory")  # the host's folder is out of sight
    assert lines[4:5] == ["/home:"]
    assert int(lines[5]) <= 4  # sh and its pipeline
    assert lines[6:] == ["1", "w", "ro", "2"]


def test_what_is_not_there_is_told_as_runc_tells_it(rootfs: Path, tmp_path: Path) -> None:
    code, _, message = ran(box(rootfs, tmp_path, "nope"), tmp_path)
    assert code == 128
    assert 'exec: "nope": executable file not found in $PATH' in message


def _command_lines() -> Iterator[bytes]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield (folder / "cmdline").read_bytes()


def test_nothing_secret_stands_in_the_process_list(rootfs: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        run = await start(box(rootfs, tmp_path, "sleep", "60"), tmp_path)
        shown = b"".join(_command_lines())
        assert b"sleep" in shown
        assert b"SECRET" not in shown
        run.kill()
        await run.wait()

    asyncio.run(scenario())


def test_another_agent_learns_how_it_ended(rootfs: Path, tmp_path: Path) -> None:
    script = "trap 'exit 5' TERM; echo listening; while true; do sleep 0.02; done"

    async def scenario() -> None:
        run = await start(box(rootfs, tmp_path, "sh", "-c", script), tmp_path)
        adopted = container.adopt(tmp_path / "0", tmp_path / "0.log", "id")
        assert adopted is not None
        assert adopted.pid == run.pid
        while "listening" not in run.log.read_text():  # before, pid 1 would not hear the signal
            await asyncio.sleep(0.01)
        adopted.signal(signal.SIGTERM)
        assert (await adopted.wait()).exit_code == 5
        late = container.adopt(tmp_path / "0", tmp_path / "0.log", "id")
        assert late is not None
        assert (await late.wait()).exit_code == 5
        await run.wait()

    asyncio.run(scenario())


def test_a_pid_that_belongs_to_somebody_else_is_not_adopted(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status").write_text(f'{{ "child-pid": {os.getpid()} }}\n')
    adopted = container.adopt(tmp_path / "0", tmp_path / "0.log", "id")
    assert adopted is not None
    adopted.kill()  # must not reach us
    assert asyncio.run(adopted.wait()).exit_code == 137


def test_killing_the_first_process_ends_all(rootfs: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        run = await start(box(rootfs, tmp_path, "sh", "-c", "sleep 60 & sleep 60 & wait"), tmp_path)
        while len(processes.tree(run.pid)) < 3:
            await asyncio.sleep(0.01)
        family = processes.tree(run.pid)
        run.kill()
        assert (await run.wait()).exit_code == 137
        assert not [pid for pid in family if processes.started(pid)]

    asyncio.run(scenario())


def test_without_walls_paths_are_translated(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("found")
    mount = Mount(tmp_path / "data", "/data")
    plain = box(rootfs, tmp_path, "sh", "-c", "cat $F; exit 4", mounts=(mount,))
    described = unboxed.translate(replace(plain, env=plain.env | {"F": "/data/x"}))

    async def scenario() -> container.Ended:
        folder, log = tmp_path / "0", tmp_path / "0.log"
        return await (await unboxed.start(described, folder=folder, log=log, lab_dir=tmp_path)).wait()

    assert asyncio.run(scenario()).exit_code == 4
    assert (tmp_path / "0.log").read_text() == "found"


def test_volume_files_change_all_at_once(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    volumes.publish(volume, {"a": (b"1", 0o644), "deep/b": (b"2", 0o600)})
    assert (volume / "a").read_text() + (volume / "deep" / "b").read_text() == "12"
    before = (volume / "..data").resolve()
    volumes.publish(volume, {"a": (b"1", 0o644), "deep/b": (b"2", 0o600)})
    assert (volume / "..data").resolve() == before  # nothing changed, nothing is touched
    volumes.publish(volume, {"c": (b"3", 0o644)})
    assert sorted(f.name for f in volume.iterdir() if not f.name.startswith("..")) == ["c"]
    assert not before.exists()
