"""Whole runs: locust as a process against the course's model server, and against one that misbehaves."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput, LoadError
from labkit.load import Closed, Load, LoadResult, Open, Workload, arrivals, start
from labkit.load.target import look
from localcluster import polling, spawn
from localcluster.spawn import Proc
from tests.labkit.unit.load_target import FaultyServer, free_port, model_server

CLOCK = 60.0
SHORT = Workload(input=64, output=160)


def _cell(url: str, out: Path, *, after: str) -> Any:
    """A Python process that starts a load, prints the generator's pid, and goes on with `after`."""
    script = (
        "import pathlib; from labkit.load import Closed, Load, start\n"
        f"load = Load(url={url!r}, shape=Closed(users=1, seconds=1e6), clock={CLOCK})\n"
        f"running = start(load, pathlib.Path({str(out)!r}))\n"
        f"print(running.pid, flush=True)\n{after}\n"
    )
    return spawn.piped([sys.executable, "-c", script])


def _line(cell: Any) -> str:
    return str(cell.stdout.readline()).strip()


def _end(cell: Any) -> None:
    cell.wait()
    cell.stdout.close()
    cell.stderr.close()


@pytest.fixture(scope="module")
def faulty() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> LoadResult:
    folder = tmp_path_factory.mktemp("closed")
    with model_server(folder, clock=CLOCK) as url:
        shape = Closed(users=((0, 2), (20, 6)), seconds=60)
        return start(Load(url=url, shape=shape, workload=SHORT, clock=CLOCK), folder / "load").wait()


def test_a_closed_loop_is_answered_whole(closed: LoadResult) -> None:
    summary = closed.summary()
    assert closed.complete
    assert summary.requests == summary.ok > 6
    assert all(row.tokens_out == 160 and row.tokens_in == 64 for row in closed.rows)
    assert {row.pod for row in closed.rows} == {"pod-a"}
    assert {row.version for row in closed.rows} == {"v1"}


def test_users_start_when_their_step_comes(closed: LoadResult) -> None:
    first = {user: min(row.sent for row in closed.rows if row.user == user) for user in range(6)}
    assert all(first[user] < 20 for user in (0, 1))
    assert all(first[user] >= 20 for user in (2, 3, 4, 5))


def test_a_user_never_asks_before_the_answer(closed: LoadResult) -> None:
    for user in range(6):
        own = [row for row in closed.rows if row.user == user]
        assert all(later.due >= row.end for row, later in pairwise(own))


def test_latencies_add_up(closed: LoadResult) -> None:
    for row in closed.rows:
        assert row.ttft is not None
        assert 0 < row.ttft <= row.e2e
        assert row.gap <= row.e2e


def test_a_record_is_read_back_as_it_was(closed: LoadResult, tmp_path: Path) -> None:
    again = LoadResult.load(closed.save(tmp_path / "copy.jsonl"))
    assert again.rows == closed.rows
    assert repr(again) == repr(closed)
    assert "closed loop, 2 users from 0 s, 6 users from 20 s" in repr(again)


def test_half_a_line_is_left_out(closed: LoadResult, tmp_path: Path) -> None:
    whole = closed.path.read_text()
    cut = whole[: whole.rindex('"kind":"row"') + 20]
    (tmp_path / "cut.jsonl").write_text(cut)
    again = LoadResult.load(tmp_path / "cut.jsonl")
    assert len(again.rows) == len(closed.rows) - 1
    assert "the generator was killed" in again.doubts[-1]


def test_promises_are_counted(closed: LoadResult) -> None:
    assert closed.slo(ttft=1e9).share == 1
    assert closed.slo(ttft=0.0).share == 0
    middle = closed.summary().itl.p50
    slow = sum(row.itl is not None and row.itl > middle for row in closed.rows)
    assert 0 < slow < len(closed.rows)
    assert closed.slo(ttft=1e9, itl=middle).met == len(closed.rows) - slow


def test_columns_and_windows_tell_of_every_request(closed: LoadResult) -> None:
    columns = closed.columns()
    assert {len(column) for column in columns.values()} == {len(closed.rows)}
    assert columns["ttft"][0] == closed.rows[0].ttft
    assert sum(window.offered * 10 for window in closed.windows(10)) == pytest.approx(len(closed.rows))


def test_an_open_loop_does_not_wait_for_a_mute_server(faulty: FaultyServer, tmp_path: Path) -> None:
    coming = arrivals.poisson(rate=1, seconds=40, seed=4)
    load = Load(url=faulty.url("mute"), shape=Open(coming), workload=SHORT, clock=CLOCK, drain=5)
    result = start(load, tmp_path).wait()
    assert [row.due for row in result.rows] == pytest.approx(list(coming.times), abs=1e-4)
    assert {row.outcome for row in result.rows} == {"abandoned"}
    assert all(row.sent >= row.due - 1e-4 for row in result.rows)
    assert result.slo(ttft=0.1).total > 0
    assert result.slo(ttft=0.1).met == 0


def test_arrivals_beyond_the_cap_are_counted(faulty: FaultyServer, tmp_path: Path) -> None:
    shape = Open(arrivals.even(rate=1, seconds=20), most_in_flight=5)
    result = start(Load(url=faulty.url("mute"), shape=shape, clock=CLOCK, drain=1), tmp_path).wait()
    outcomes = [row.outcome for row in result.rows]
    assert outcomes.count("not_sent") == 15
    assert any("15 arrivals were not sent" in doubt for doubt in result.doubts)


def test_a_request_that_takes_too_long_times_out(faulty: FaultyServer, tmp_path: Path) -> None:
    shape = Closed(users=2, seconds=20)
    result = start(Load(url=faulty.url("mute"), shape=shape, clock=CLOCK, timeout=6), tmp_path).wait()
    assert set(result.failures()) == {"timeout"}


def test_broken_streams_are_failures(faulty: FaultyServer, tmp_path: Path) -> None:
    shape = Closed(users=2, seconds=20)
    result = start(Load(url=faulty.url("broken"), shape=shape, workload=SHORT, clock=CLOCK), tmp_path).wait()
    assert set(result.failures()) == {"broken"}
    assert "broken" in repr(result)
    assert result.slo().share == 0


def test_stop_keeps_what_was_measured(faulty: FaultyServer, tmp_path: Path) -> None:
    running = start(Load(url=faulty.url("mute"), shape=Closed(users=3, seconds=1e6), clock=CLOCK), tmp_path)
    polling.until(lambda: running.progress().in_flight == 3, "three requests in flight", seconds=20)
    result = running.stop()
    assert [row.outcome for row in result.rows] == ["abandoned"] * 3
    assert result.ended == "stopped"
    assert not running.alive


def test_ctrl_c_in_a_cell_keeps_what_was_measured(faulty: FaultyServer, tmp_path: Path) -> None:
    cell = _cell(
        faulty.url("mute"), tmp_path, after="result = running.wait(); print(len(result.rows), result.ended)"
    )
    generator = Proc.of(int(_line(cell)))
    record = tmp_path / "requests.jsonl"
    polling.until(lambda: '"sent":1' in record.read_text(), "a request in flight", seconds=20)
    os.kill(cell.pid, signal.SIGINT)
    assert _line(cell) == "1 stopped"
    _end(cell)
    assert not generator.alive()


def test_a_killed_generator_leaves_its_rows(faulty: FaultyServer, tmp_path: Path) -> None:
    load = Load(url=faulty.url("whole"), shape=Closed(users=2, seconds=1e6), workload=SHORT, clock=CLOCK)
    running = start(load, tmp_path)
    polling.until(lambda: running.progress().ok > 10, "ten answers", seconds=20)
    os.kill(running.pid, signal.SIGKILL)
    result = running.wait()
    assert len(result.rows) > 10
    assert result.doubts[-1].endswith("the generator was killed")


def test_the_generator_dies_with_the_kernel(faulty: FaultyServer, tmp_path: Path) -> None:
    kernel = _cell(faulty.url("mute"), tmp_path, after="running.wait()")
    generator = Proc.of(int(_line(kernel)))
    kernel.kill()
    _end(kernel)
    polling.until(lambda: not generator.alive(), "the generator to end", seconds=20)
    assert LoadResult.load(tmp_path / "requests.jsonl").ended == "the process that started it is gone"


def test_somebody_elses_machine_is_no_target() -> None:
    with pytest.raises(BadInput, match="not this machine"):
        look(Load(url="http://192.0.2.1", shape=Closed(users=1, seconds=1)))


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="not the URL"):
        look(Load(url=url, shape=Closed(users=1, seconds=1)))


def test_nobody_there_is_an_error_with_a_fix() -> None:
    with pytest.raises(LoadError, match="Nothing answers"):
        look(Load(url=f"http://127.0.0.1:{free_port()}", shape=Closed(users=1, seconds=1)))


def test_another_kind_of_server_is_an_error(faulty: FaultyServer) -> None:
    with pytest.raises(LoadError, match="answered 404"):
        look(Load(url=faulty.url("whole/nowhere"), shape=Closed(users=1, seconds=1)))


def test_a_file_that_is_no_authority_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.crt"
    path.write_text("nothing")
    with pytest.raises(BadInput, match="not a CA certificate"):
        look(Load(url="https://127.0.0.1:1", shape=Closed(users=1, seconds=1), ca=path))


def test_settings_of_locust_do_not_reach_a_run(
    faulty: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCUST_USERS", "50")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    shape = Closed(users=1, seconds=10)
    result = start(Load(url=faulty.url("whole"), shape=shape, workload=SHORT, clock=CLOCK), tmp_path).wait()
    assert {row.user for row in result.rows} == {0}
