"""Expected refusals, predictions and recordings as cells show them."""

import pytest

from labkit.errors import BadInput, Refused, Unreachable
from labkit.evidence import Series, average_of, plainly, quantity
from labkit.view.prediction import predict
from labkit.view.refusal import Refusal
from localcluster.api.objects import KubeObject

HALF = 'spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer'


def test_an_expected_refusal_passes_and_shows_the_servers_words(capsys: pytest.CaptureFixture[str]) -> None:
    with Refusal("00.half-gpu", because="must be an integer") as refusal:
        raise Refused(HALF, reason="Invalid", fix="Ask for 1.")
    assert refusal.verdict().passed
    said = capsys.readouterr().out
    assert HALF in said
    assert "Ask for 1." in said


def test_a_refusal_for_another_reason_is_not_the_expected_one() -> None:
    with Refusal("00.half-gpu", because="must be an integer") as refusal:
        raise Refused("namespaces not found", reason="NotFound")
    assert refusal.verdict().state == "failed"


def test_what_was_accepted_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with Refusal("00.half-gpu") as refusal:
        pass
    assert refusal.verdict().state == "failed"
    assert "it was accepted" in capsys.readouterr().out


def test_input_that_never_reached_the_server_leaks_no_exception() -> None:
    with Refusal("00.half-gpu") as refusal:
        raise BadInput("x.yaml is not YAML: line 3", fix="Fix line 3.")
    assert "not sent to the server" in refusal.verdict().observed


@pytest.mark.parametrize("error", [Unreachable("no answer"), ZeroDivisionError("a bug")])
def test_what_is_no_refusal_stays_an_error(error: Exception) -> None:
    with pytest.raises(type(error)), Refusal():
        raise error


def test_a_prediction_is_held_against_what_was_seen(capsys: pytest.CaptureFixture[str]) -> None:
    predict("How many?", 8).compare(10)
    assert "That is 2 too few." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("guess", "seen", "said"),
    [
        (10, 8.0, "2 too many"),
        (0.3, 0.55, "0.25 too low"),
        (120, 90.5, "29.5 too high"),
        (4, 4.0, "Exactly"),
        ("Open", "open", "Exactly"),
        ("closed", "open", "it was open.\n"),
        (..., 10, "You made no prediction; it was 10."),
    ],
)
def test_how_far_off_is_said_in_words(
    guess: object, seen: object, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predict("How many?", guess).compare(seen)
    assert said in capsys.readouterr().out


SEEN = Series("desired", "replicas", ((0, 2), (60, 6), (120, 6)))


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([(0, 2), (60, 6)], "off by 0.0 of 4.0 replicas on average: score 100 of 100"),
        ([(60, 6), (0, 4)], "off by 1.0 of 4.0 replicas on average: score 75 of 100"),
        ([(0, 20)], "off by 16.0 of 4.0 replicas on average: score 0 of 100"),
        (..., "no curve"),
        ("2 to 6", "no curve"),
        ([2, 4, 8], "no curve"),
    ],
)
def test_a_predicted_curve_is_scored(curve: object, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    predict("Replicas over time?", curve).compare(SEEN)
    assert said in capsys.readouterr().out


def test_no_prediction_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    predict("How many?", ...).compare(10)
    said = capsys.readouterr().out
    assert "Replace the dots" in said
    assert "it was 10" in said


def test_figures_are_told_in_four_digits() -> None:
    assert plainly(390.82347654) == "390.8"
    assert plainly([0.6175017, 2.0, "open"]) == "[0.6175, 2, 'open']"
    assert plainly({"reset": 2}) == "{'reset': 2}"
    assert plainly("closed") == "closed"


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("12500m", 12.5), ("0", 0), ("1k", 1000), ("-3", -3)])
def test_quantities(text: str, value: float) -> None:
    assert quantity(text) == value


def test_the_average_that_the_hpa_saw() -> None:
    metric = {"type": "Pods", "pods": {"current": {"averageValue": "600m"}}}
    assert average_of(KubeObject({"status": {"currentMetrics": [metric]}})) == 0.6
    assert average_of(KubeObject({"status": {}})) is None
    assert average_of(None) is None
