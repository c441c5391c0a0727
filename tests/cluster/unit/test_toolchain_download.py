"""Downloads from a real server that breaks off, lies, starts over or keeps silent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import ToolchainError
from localcluster import polling
from localcluster.toolchain import download
from localcluster.toolchain.progress import Progress, Silent, silent
from tests.cluster.unit import toolchain_world as w


@pytest.fixture
def publisher() -> Iterator[w.Publisher]:
    with w.publishing() as publisher:
        yield publisher


def _offer(publisher: w.Publisher) -> download.Offer:
    [offer] = download.offers([w.pins_at(publisher).programs[w.NAME]], silent())
    return offer


def _why_not(publisher: w.Publisher, patience: float = 4.0) -> str:
    screen = Silent()
    program = w.pins_at(publisher).programs[w.NAME]
    assert download.offers([program], Progress(screen), patience=patience) == []
    return "\n".join(screen.lines)


def test_a_download_becomes_an_entry_of_the_cache(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive())
    ladder, _ = w.ladder(tmp_path, w.pins_at(publisher), downloads=True)
    path = ladder.ensure([w.NAME])[w.NAME]
    assert w.version(path) == "hello v1.2.3"
    assert path.parent.name == ladder.pins.programs[w.NAME].key()
    publisher.files.clear()
    assert ladder.ensure([w.NAME])[w.NAME] == path
    assert "downloaded from" in ladder.cache.entries()[0].about["origin"]


def test_a_sum_may_stand_in_githubs_record_of_a_release(publisher: w.Publisher, tmp_path: Path) -> None:
    body = w.archive()
    w.publish(publisher, body)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    assets = [{"name": "other.tar.gz", "digest": None}, {"name": "hello.tar.gz", "digest": digest}]
    publisher.files["/SHA256SUMS"] = json.dumps({"tag_name": "v1.2.3", "assets": assets}).encode()
    assert download.fetch(_offer(publisher), tmp_path, silent()).is_file()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"assets": [{"name": "hello.tar.gz", "digest": None}]}, "has no checksum of hello.tar.gz"),
        ({"assets": []}, "has no checksum of hello.tar.gz"),
        ({"message": "API rate limit exceeded"}, "can't be read"),
        ({"assets": [{"name": "hello.tar.gz", "digest": "sha512:00"}]}, "sha512:00"),
    ],
)
def test_a_record_without_the_sum_is_no_download(
    publisher: w.Publisher, record: dict[str, object], reason: str
) -> None:
    w.publish(publisher, w.archive())
    publisher.files["/SHA256SUMS"] = json.dumps(record).encode()
    assert reason in _why_not(publisher)


def test_a_broken_download_goes_on_where_it_stopped(publisher: w.Publisher, tmp_path: Path) -> None:
    body = w.archive(padding=500_000)
    w.publish(publisher, body)
    publisher.cut = 300_000
    path = download.fetch(_offer(publisher), tmp_path, silent())
    assert path.read_bytes().endswith(b"#####")
    assert publisher.asked[1:] == ["/hello.tar.gz", "/hello.tar.gz bytes=300000-"]


def test_a_server_without_ranges_starts_over(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive(padding=500_000))
    publisher.cut, publisher.ranges = 300_000, False
    path = download.fetch(_offer(publisher), tmp_path, silent())
    assert path.stat().st_size > 500_000


FETCH = """
ladder, said = w.ladder(Path(sys.argv[1]), w.pins_at(w.Publisher(port=int(sys.argv[2]))), downloads=True)
print(ladder.ensure([w.NAME])[w.NAME])
"""


def test_kill_9_in_the_middle_leaves_nothing_that_is_used(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive(padding=500_000))
    publisher.cut, publisher.hold = 300_000, True
    part = _offer(publisher).part(tmp_path / ".downloads")
    with w.child(FETCH, tmp_path, str(publisher.port)) as first:
        polling.until(lambda: part.exists() and part.stat().st_size > 100_000, "half the file", seconds=30)
        first.kill()
    ladder, _ = w.ladder(tmp_path, w.pins_at(publisher), downloads=True)
    assert ladder.look([w.NAME]) == {}
    publisher.cut = None
    assert w.version(ladder.ensure([w.NAME])[w.NAME]) == "hello v1.2.3"
    assert publisher.asked[-1].startswith("/hello.tar.gz bytes=")


def test_a_wrong_sum_deletes_the_file(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive(), stated=b"something else")
    with pytest.raises(ToolchainError, match="does not have the SHA-256"):
        download.fetch(_offer(publisher), tmp_path, silent())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_of_an_earlier_run_is_not_trusted(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive(padding=5000))
    offer = _offer(publisher)
    offer.part(tmp_path).write_bytes(b"not the beginning of that file")
    with pytest.raises(ToolchainError, match="does not have the SHA-256"):
        download.fetch(offer, tmp_path, silent())
    assert w.version(_runnable(download.fetch(offer, tmp_path, silent()))) == "hello v1.2.3"


def test_a_program_of_another_version_is_not_kept(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive(version="1.2.4"))
    ladder, screen = w.ladder(tmp_path, w.pins_at(publisher), downloads=True)
    assert ladder._downloaded([ladder.pins.programs[w.NAME]]) == {}
    assert "has version 1.2.4 instead of 1.2.3" in screen.lines[0]
    assert ladder.cache.entries() == []


def test_a_pinned_sum_is_used_and_no_list_is_asked(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive())
    program = w.pins_at(publisher).programs[w.NAME]
    assert program.download is not None
    pinned = replace(program, download=replace(program.download, sha256="a" * 64))
    [offer] = download.offers([pinned], silent())
    assert publisher.asked == []
    with pytest.raises(ToolchainError, match="does not have the SHA-256"):
        download.fetch(offer, tmp_path, silent())


def test_a_refused_connection_is_told_and_passed_over() -> None:
    with w.publishing() as gone:
        pass
    assert f"no download (127.0.0.1:{gone.port}: " in _why_not(gone)


def test_a_host_that_keeps_silent_is_passed_over(publisher: w.Publisher) -> None:
    publisher.silent = True
    assert "no download (no answer within 0 s)" in _why_not(publisher, patience=0.3)


@pytest.mark.parametrize(
    ("sums", "reason"),
    [
        (None, "404"),
        (b"", "does not contain hello.tar.gz"),
        (b"<html>please log in</html>", "does not contain hello.tar.gz"),
        (b"nonsense", "no download (nonsense)"),
        (b"abc  hello.tar.gz", "no download (abc)"),
    ],
)
def test_an_unusable_list_of_sums_is_told(publisher: w.Publisher, sums: bytes | None, reason: str) -> None:
    if sums is not None:
        publisher.files["/SHA256SUMS"] = sums
    assert reason in _why_not(publisher)


def test_an_archive_without_the_program_is_told(publisher: w.Publisher, tmp_path: Path) -> None:
    w.publish(publisher, w.archive())
    offer = _offer(publisher)
    with pytest.raises(ToolchainError, match="does not contain other"):
        download.fetch(replace(offer, download=replace(offer.download, member="other")), tmp_path, silent())


def _runnable(path: Path) -> Path:
    path.chmod(0o755)
    return path
