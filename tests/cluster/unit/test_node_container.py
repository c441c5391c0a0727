"""Real containers under bubblewrap, without a cluster: walls, exit codes, and adoption by another agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import spawn
from localcluster.api.asynchronous import Api
from localcluster.api.identity import Identity
from localcluster.images import hostbase
from localcluster.node.life.executing import end, execute
from localcluster.node.pod import volumes
from localcluster.node.pod.objects import ObjectReader
from localcluster.node.pod.pods import RunningContainer
from localcluster.node.process import container, held, holder, processes, sandbox, unboxed
from localcluster.node.process.container import Place, Run
from localcluster.node.process.mounting import Astray
from localcluster.node.process.sandbox import Mount, Sandbox
from localcluster.toolchain.locate import bwrap


def usable() -> bool:
    return spawn.run([bwrap(), "--unshare-user", "--ro-bind", "/", "/", "true"]).returncode == 0


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
    return await container.start(described, Place(folder / "0", folder / "0.log", folder))


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


def test_no_line_is_added_for_a_user_that_the_image_does_not_know(rootfs: Path, tmp_path: Path) -> None:
    ask = "import os, pwd; print(os.getuid(), len([p for p in pwd.getpwall() if p.pw_uid == os.getuid()]))"
    assert ran(box(rootfs, tmp_path, "python3", "-c", ask), tmp_path)[:2] == (0, "1000 0\n")


ODD = {"model.name": "tiny", "max-num-seqs": "8", "9lives": "yes", "my key": "x", "HF_HOME": "/hf"}


@pytest.mark.parametrize("program", ["python", "python3", "env"])
def test_names_that_no_shell_could_write_reach_the_process(
    rootfs: Path, tmp_path: Path, program: str
) -> None:
    show = ["-c", "import os; [print(f'{k}={v}') for k, v in os.environ.items()]"]
    plain = box(rootfs, tmp_path, program, *(show if program != "env" else ()))
    code, log, _ = ran(replace(plain, env=plain.env | ODD), tmp_path)
    assert code == 0
    assert {f"{key}={value}" for key, value in ODD.items()} <= set(log.splitlines())


def test_the_same_holds_without_walls(rootfs: Path, tmp_path: Path) -> None:
    plain = box(rootfs, tmp_path, "env")
    described = unboxed.translate(replace(plain, env=plain.env | ODD))

    async def scenario() -> container.Ended:
        run = await unboxed.start(described, Place(tmp_path / "0", tmp_path / "0.log", tmp_path))
        return await run.wait()

    assert asyncio.run(scenario()).exit_code == 0
    lines = (tmp_path / "0.log").read_text().splitlines()
    assert {f"{key}={value}" for key, value in ODD.items()} <= set(lines)


def test_a_venv_made_with_the_stand_in_python_finds_its_library(rootfs: Path, tmp_path: Path) -> None:
    made = "import ssl, sys, encodings; print(sys.prefix, sys.version_info[:2])"
    script = (
        "set -e; python3 -m venv --without-pip /opt/v; "
        f"/opt/v/bin/python -c '{made}'; readlink -f /usr/local/bin/python3; pip --version"
    )
    code, log, _ = ran(box(rootfs, tmp_path, "sh", "-c", script), tmp_path)
    lines = log.splitlines()
    assert (code, lines[0]) == (0, f"/opt/v {sys.version_info[:2]}")
    assert lines[1] == str(hostbase.host().python.resolve())


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


def test_a_container_on_its_way_when_the_agent_died_is_ended(tmp_path: Path) -> None:
    own = tmp_path.name
    env = {"PATH": sandbox.DEFAULT_PATH, container.ID_VARIABLE: own}
    nascent = spawn.popen(["sleep", "999"], log=tmp_path / "0.log", env=env)
    (tmp_path / "0").mkdir()
    assert container.adopt(tmp_path / "0", tmp_path / "0.log", own) is None
    assert nascent.wait() == -signal.SIGKILL


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
        return await (await unboxed.start(described, Place(folder, log, tmp_path))).wait()

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
    (volume / "..data_tmp").symlink_to("..gone")  # an agent was killed before it had swapped the link
    volumes.publish(volume, {"d": (b"4", 0o644)})
    assert (volume / "d").read_text() == "4"


def test_files_of_a_volume_that_collide_are_a_failed_mount(tmp_path: Path) -> None:
    name = {"fieldRef": {"fieldPath": "metadata.name"}}
    items = [{"path": "a", **name}, {"path": "a/b", **name}]
    spec = {"volumes": [{"name": "v", "downwardAPI": {"items": items}}], "containers": [{"name": "c"}]}

    async def set_up() -> None:
        api = Api(Identity("https://127.0.0.1:9", ssl.create_default_context()))
        try:
            await volumes.Volumes(tmp_path, ObjectReader(api)).set_up(
                {"metadata": {"name": "n"}, "spec": spec}
            )
        finally:
            await api.close()

    with pytest.raises(volumes.MountFailure, match=r'volume "v" : .*File exists'):
        asyncio.run(set_up())


def test_a_command_that_has_just_ended_can_be_ended() -> None:
    async def scenario() -> int | None:
        child = await spawn.start(["true"], env={}, stderr=asyncio.subprocess.STDOUT, pass_fds=())
        await child.wait()
        await end(child, reaped=True)
        return child.returncode

    assert asyncio.run(scenario()) == 0


def test_containers_share_a_volume_in_memory_that_outlives_each_of_them(rootfs: Path, tmp_path: Path) -> None:
    place, disk = tmp_path / "volumes" / "shm", tmp_path / "volumes" / "disk"
    place.mkdir(parents=True)
    disk.mkdir()

    def sharing(holding: int, folder: str, script: str) -> Sandbox:
        at = held.inside(holding, place)
        mounts = (Mount(at, "/dev/shm", within=at), Mount(disk, "/disk", within=disk))  # noqa: S108 - the container's
        (tmp_path / folder).mkdir()
        return replace(box(rootfs, tmp_path / folder, "sh", "-c", script, mounts=mounts), holder=holding)

    async def scenario() -> int:
        holding = await holder.hold(tmp_path / "memory", {place: 2**20}, tmp_path)
        fill = "head -c 3000000 /dev/zero > /dev/shm/block; stat -c %s /dev/shm/block > /disk/size; id -u"
        look = "stat -fc %b:%S /dev/shm; stat -c %s:%u /dev/shm/block"
        for folder, script in (("one", fill), ("two", look)):
            run = await start(sharing(holding.pid, folder, script), tmp_path / folder)
            assert (await run.wait()).exit_code == 0
        adopted = holder.find(tmp_path / "memory")  # as the next agent does
        assert adopted is not None
        used = held.used(held.inside(adopted.pid, place))
        adopted.kill()
        await holding.wait()
        return used

    assert asyncio.run(scenario()) == 2**20
    assert (tmp_path / "one" / "0.log").read_text().splitlines()[-1] == "1000"
    assert (disk / "size").read_text() == "1048576\n"
    assert (tmp_path / "two" / "0.log").read_text().split() == ["256:4096", "1048576:1000"]
    assert list(place.iterdir()) == []  # nothing of it lies on disk
    assert holder.find(tmp_path / "memory") is None


@pytest.mark.parametrize("sub", ["../out", "/etc", "leaving", "loop"])
def test_a_sub_path_leads_nowhere_but_into_its_volume(tmp_path: Path, sub: str) -> None:
    (tmp_path / "leaving").symlink_to("../../etc")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(Astray, match="leads out of the volume"):
        volumes._sub_path(tmp_path, sub)


def test_a_sub_path_follows_links_of_the_volume(tmp_path: Path) -> None:
    (tmp_path / "..data" / "deep").mkdir(parents=True)
    (tmp_path / "current").symlink_to("..data")
    assert volumes._sub_path(tmp_path, "current/deep") == tmp_path / "..data" / "deep"
    assert volumes._sub_path(tmp_path, "new/folder").is_dir()
    with pytest.raises(FileNotFoundError):
        volumes._sub_path(tmp_path, "another/folder", make=False)


def inside(run: Run) -> RunningContainer:
    """A running container as probes see it."""
    env = {"PATH": sandbox.DEFAULT_PATH}
    return RunningContainer("main", "labkit://id", "image", "id", run.folder, run.log, pid=run.pid, env=env)


HANGS = {
    "one process": "exec sleep 1000",
    "with children": "sleep 1000 & sleep 1000; echo late",
    "deaf": "trap '' TERM; while :; do sleep 0.1; done",
    "daemons": "(setsid sleep 1000 &); sleep 1000",
}


@pytest.mark.parametrize("script", HANGS.values(), ids=HANGS)
def test_a_command_that_hangs_leaves_neither_process_nor_zombie(
    rootfs: Path, tmp_path: Path, script: str
) -> None:
    async def scenario() -> None:
        run = await start(box(rootfs, tmp_path, "sleep", "1000"), tmp_path)  # it reaps nobody
        try:
            began = f"touch /tmp/began; {script}"
            work = asyncio.create_task(execute(inside(run), ["sh", "-c", began], 1000))
            while (await execute(inside(run), ["test", "-e", "/tmp/began"], 1000))[0]:  # noqa: S108 - its own
                await asyncio.sleep(0.01)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            assert processes.tree(run.pid) == [run.pid]
        finally:
            run.kill()
            await run.wait()

    asyncio.run(scenario())


def test_what_a_command_leaves_is_reaped_while_it_runs(rootfs: Path, tmp_path: Path) -> None:
    script = "(sh -c 'sleep 0.1' &); sleep 0.5; cat /proc/[0-9]*/stat | grep -c ') Z'"

    async def scenario() -> tuple[int, str]:
        run = await start(box(rootfs, tmp_path, "sleep", "1000"), tmp_path)
        try:
            return await execute(inside(run), ["sh", "-c", script], 1000)
        finally:
            run.kill()
            await run.wait()

    code, said = asyncio.run(scenario())
    assert (code, said) == (1, "0\n")  # grep has found none


def test_nothing_of_the_host_is_seen_beside_a_command(rootfs: Path, tmp_path: Path) -> None:
    async def scenario() -> tuple[int, str]:
        run = await start(box(rootfs, tmp_path, "sleep", "1000"), tmp_path)
        try:
            return await execute(inside(run), ["sh", "-c", "cat /proc/[0-9]*/cmdline"], 1000)
        finally:
            run.kill()
            await run.wait()

    code, said = asyncio.run(scenario())
    assert code == 0
    assert "sleep" in said
    assert "enter.py" not in said
