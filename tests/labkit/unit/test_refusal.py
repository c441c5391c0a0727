"""What happens to an error inside `with lab.refused()` and `with lab.attempt()`."""

import pytest

from labkit.errors import BadInput, Refused, Unreachable, WaitTimeout
from labkit.view.refusal import Attempt, Refusal, told

NO = Refused("must be an integer", reason="Invalid", cause="whole units", fix="ask for 1")


def test_an_expected_refusal_is_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    with Refusal(because="integer") as refusal:
        raise NO
    assert refusal.verdict().passed
    assert capsys.readouterr().out.splitlines() == [
        "Refused (Invalid): must be an integer",
        "Likely cause: whole units",
        "Fix: ask for 1",
    ]


def test_nothing_refused_is_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    with Refusal() as refusal:
        pass
    assert not refusal.verdict().passed
    assert "it was accepted" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [NO, BadInput("no manifest"), WaitTimeout("pod/x running", seconds=5, last_seen="Pending")]
)
def test_an_attempt_shows_what_it_met_and_goes_on(
    error: Refused | BadInput | WaitTimeout, capsys: pytest.CaptureFixture[str]
) -> None:
    with Attempt():
        raise error
    assert error.what in capsys.readouterr().out


@pytest.mark.parametrize("manager", [Refusal, Attempt])
@pytest.mark.parametrize("error", [Unreachable("no answer"), KeyError("x"), KeyboardInterrupt()])
def test_no_answer_and_mistakes_in_the_cell_stay_errors(
    manager: type[Refusal | Attempt], error: BaseException
) -> None:
    with pytest.raises(type(error)), manager():
        raise error


def test_an_error_without_advice_has_one_line() -> None:
    assert str(told(BadInput("no manifest"))) == "no manifest"
