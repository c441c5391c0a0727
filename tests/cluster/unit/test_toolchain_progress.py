"""Progress is a few true lines on a log, and a bar on a terminal."""

from __future__ import annotations

import io

import pytest

from localcluster.toolchain import progress
from localcluster.toolchain.progress import Bar, Lines, Progress, Task


def _task(*, done: float, seconds: float, monkeypatch: pytest.MonkeyPatch) -> Task:
    now = [1000.0]
    monkeypatch.setattr("localcluster.toolchain.progress.time.monotonic", lambda: now[0])
    task = Task("Building", 100.0, lambda _: None, began=1000.0)
    now[0] += seconds
    task.advance(done, "etcd")
    return task


def test_the_time_left_follows_from_the_share_done(monkeypatch: pytest.MonkeyPatch) -> None:
    task = _task(done=25, seconds=100, monkeypatch=monkeypatch)
    assert task.status == "Building 25 %, 5 min left (etcd)"


def test_short_times_are_told_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _task(done=50, seconds=30, monkeypatch=monkeypatch).left == "30 s left"


def test_no_time_is_guessed_from_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _task(done=1, seconds=30, monkeypatch=monkeypatch).left == ""


def test_a_log_gets_a_line_now_and_then() -> None:
    stream = io.StringIO()
    tell = Progress(Lines(stream, every=3600))
    with tell.task("Building", 1000) as task:
        for _ in range(1000):
            task.advance(1)
    tell.note("done")
    assert stream.getvalue() == "  Building 0 %\ndone\n"


def test_a_log_gets_every_line_that_is_due() -> None:
    stream = io.StringIO()
    with Progress(Lines(stream, every=0)).task("Building", 2) as task:
        task.advance(1, "etcd")
    assert stream.getvalue().splitlines()[0] == "  Building 0 %"
    assert stream.getvalue().splitlines()[1].startswith("  Building 50 %")


def test_a_terminal_gets_a_bar() -> None:
    stream = io.StringIO()
    tell = Progress(Bar(stream))
    with tell.task("Building [all]", 2) as task:
        task.advance(2, "etcd")
    assert "Building [all]" in stream.getvalue()


def test_those_who_wait_are_told_the_same() -> None:
    told: list[str] = []
    tell = progress.silent()
    tell.watchers.append(told.append)
    with tell.task("Building", 4) as task:
        task.advance(1)
    assert told[0] == "Building 0 %"
    assert told[-1].startswith("Building 25 %")


def test_without_a_terminal_it_is_lines() -> None:
    stream = io.StringIO()
    progress.on(stream).note("etcd: [not] a style")
    assert stream.getvalue() == "etcd: [not] a style\n"
