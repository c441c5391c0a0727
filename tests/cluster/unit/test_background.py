"""Work beside the caller: it begins when asked, stops when it should, and is then really over."""

from threading import Event

import pytest

from localcluster.background import Background, every


def test_work_goes_on_until_it_is_stopped() -> None:
    begun, seen = Event(), []

    def work(over: Event) -> None:
        begun.set()
        over.wait()
        seen.append("over")

    with Background(work, name="test"):
        assert begun.wait(5)
        assert seen == []
    assert seen == ["over"]


def test_stopping_twice_is_stopping_once() -> None:
    background = Background(Event.wait, name="test").start()  # type: ignore[arg-type]
    background.stop()
    background.stop()


def test_a_look_is_repeated_and_never_comes_after_the_end() -> None:
    looks: list[int] = []
    twice = Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            twice.set()

    with Background(every(0.001, look), name="test"):
        assert twice.wait(5)
    seen = len(looks)
    assert seen >= 2
    assert not Event().wait(0.02)
    assert len(looks) == seen


def test_an_error_of_the_caller_stops_the_work_too() -> None:
    background = Background(Event.wait, name="test")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="mine"), background:
        raise RuntimeError("mine")
    assert background.over.is_set()
