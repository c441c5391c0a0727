"""The cache hands out what was put there, or nothing; one writer at a time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.errors import ToolchainError, WaitTimeout
from localcluster import polling
from localcluster.toolchain import disk, lock
from localcluster.toolchain.cache import MANIFEST, Cache, Entry
from localcluster.toolchain.progress import Progress, Silent, silent
from tests.cluster.unit.toolchain_world import child


def _filled(root: Path) -> tuple[Cache, Entry]:
    cache = Cache(root)
    with cache.writing(silent()), cache.staging() as staging:
        folder = staging / "entry"
        folder.mkdir()
        (folder / "prog").write_text("content")
        return cache, cache.add("key", folder, {"name": "prog"})


def test_an_entry_is_found_again(tmp_path: Path) -> None:
    cache, entry = _filled(tmp_path)
    assert cache.find("key") == entry
    assert cache.entries() == [entry]
    assert entry.trouble(full=True) == ""
    assert (entry.folder / "prog").read_text() == "content"


def test_changed_contents_are_noticed(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path)
    (entry.folder / "prog").write_text("CONTENT")
    assert "original contents" in entry.trouble()


def test_contents_changed_behind_an_old_time_are_noticed_when_asked(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path)
    path = entry.folder / "prog"
    before = path.stat()
    path.write_text("CONTENT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert entry.trouble() == ""
    assert "original contents" in entry.trouble(full=True)


def test_a_new_time_alone_does_no_harm(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path)
    os.utime(entry.folder / "prog")
    assert entry.trouble() == ""


def test_a_short_file_is_noticed(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path)
    (entry.folder / "prog").write_text("cont")
    assert "4 bytes instead of 7" in entry.trouble()


def test_a_missing_and_a_strange_file_are_noticed(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path)
    (entry.folder / "stranger").touch()
    assert "stranger does not belong there" in entry.trouble()
    (entry.folder / "stranger").unlink()
    (entry.folder / "prog").unlink()
    assert "is missing" in entry.trouble()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"about": {}, "files": {}}', '{"files": {"a": 1}}'])
def test_half_a_manifest_is_no_entry(tmp_path: Path, text: str) -> None:
    cache, entry = _filled(tmp_path)
    (entry.folder / MANIFEST).write_text(text)
    assert cache.find("key") is None


def test_a_damaged_entry_is_replaced(tmp_path: Path) -> None:
    _, entry = _filled(tmp_path)
    (entry.folder / "prog").write_text("x")
    _, entry = _filled(tmp_path)
    assert entry.trouble(full=True) == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "key"]


def test_a_writer_clears_away_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".staging-old").mkdir()
    (tmp_path / ".staging-old" / "half").touch()
    with Cache(tmp_path).writing(silent()):
        assert not (tmp_path / ".staging-old").exists()


HOLD = """
from localcluster.toolchain import lock, progress
told = progress.silent()
with lock.hold(Path(sys.argv[1]), told):
    told.note("counting sheep")
    print("held", flush=True)
    sys.stdin = open(sys.argv[2])      # a pipe: blocks until somebody opens its other end
"""


def test_who_waits_is_told_who_holds_the_lock_and_gives_up_with_a_reason(tmp_path: Path) -> None:
    path, pipe = tmp_path / "lock", tmp_path / "pipe"
    os.mkfifo(pipe)
    screen = Silent()
    with child(HOLD, path, pipe) as holder:
        assert holder.line() == "held"
        who = f"process {holder.process.pid}"
        with pytest.raises(WaitTimeout, match=who), lock.hold(path, Progress(screen), patience=0):
            pass
        assert who in screen.lines[0]
        pipe.write_text("")
        assert holder.finished()[0] == 0
    with lock.hold(path, silent(), patience=0):
        pass


def test_kill_9_of_the_holder_frees_the_lock(tmp_path: Path) -> None:
    path, pipe = tmp_path / "lock", tmp_path / "pipe"
    os.mkfifo(pipe)
    with child(HOLD, path, pipe) as holder:
        assert holder.line() == "held"
        holder.kill()
    with lock.hold(path, silent(), patience=0):
        polling.until(lambda: lock.holder(path), "our name in the lock", seconds=5)


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    cache, entry = _filled(tmp_path)
    with cache.writing(silent()):
        cache.remove(entry)
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_too_small_a_disk_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"Packing needs 1,000,000,000 MB .* are free") as told:
        disk.require(tmp_path / "not" / "yet", 1e9, "Packing")
    assert "LABKIT_CACHE" in told.value.fix


LIMITED = """
import resource
from localcluster.toolchain.cache import Cache
from localcluster.toolchain.progress import silent
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
cache = Cache(Path(sys.argv[1]))
try:
    with cache.writing(silent()), cache.staging() as staging:
        (staging / "entry").mkdir()
        (staging / "entry" / "prog").write_bytes(bytes(10000))
        cache.add("key", staging / "entry", {})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_full_disk_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with child(LIMITED, tmp_path) as limited:
        _, out, err = limited.finished()
    assert out.startswith("ToolchainError Writing to the cache stopped"), err
    assert "The disk is full" in out
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]


def test_a_folder_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ToolchainError) as told, Cache(tmp_path / "file" / "bin").writing(silent()):
        pass
    assert "is not a folder" in told.value.cause
