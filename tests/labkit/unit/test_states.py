"""What pods went through: from looks to spans, and the picture of them."""

import pytest

from labkit.evidence.states import Span, States, spans
from labkit.view import states

LOOKS = [
    (0.0, {}),
    (1.5, {"a": ("Pending", "0")}),
    (3.0, {"a": ("ErrImagePull", "0"), "b": ("Running", "0")}),
    (4.5, {"a": ("ErrImagePull", "0"), "b": ("Running", "0")}),
    (6.0, {"a": ("ImagePullBackOff", "0"), "b": ("Running", "0")}),
    (7.5, {"a": ("ErrImagePull", "0")}),
    (9.0, {"a": ("ErrImagePull", "0")}),
]


def test_spans_begin_with_a_change_and_end_with_the_next() -> None:
    found = spans(LOOKS)
    assert found["a"] == (
        Span("Pending", 1.5, 3.0),
        Span("ErrImagePull", 3.0, 6.0),
        Span("ImagePullBackOff", 6.0, 7.5),
        Span("ErrImagePull", 7.5, 9.0),
    )
    assert found["b"] == (Span("Running", 3.0, 7.5),)


def test_a_restart_between_two_looks_ends_a_span() -> None:
    pause = "CrashLoopBackOff"
    found = spans([(0.0, {"a": (pause, "1")}), (10.0, {"a": (pause, "2")}), (30.0, {"a": ("Running", "3")})])
    assert found["a"][:2] == (Span(pause, 0.0, 10.0, 1), Span(pause, 10.0, 30.0, 2))


def test_nothing_seen_is_no_span() -> None:
    assert spans([]) == {}
    assert spans([(0.0, {})]) == {}


def test_starts_are_the_moments_of_one_state() -> None:
    seen = States(15, spans(LOOKS))
    assert seen.starts("ErrImagePull") == [3.0, 7.5]
    assert seen.end() == 9.0


def test_the_picture_names_every_state_and_says_it_in_words() -> None:
    picture = states.picture(States(15, spans(LOOKS)), title="Pulls", stamp="test · lab clock 15×")
    axis = picture.figure.axes[0]
    legend = axis.get_legend()
    assert legend is not None
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["Pending", "ErrImagePull", "ImagePullBackOff", "Running"]
    assert axis.get_xlabel().startswith("lab time (s)")
    assert "a: Pending (2 s) → ErrImagePull (3 s)" in picture.words


@pytest.mark.parametrize("pods", [{}, {"x": (Span("Unheard", 0.0, 0.0),)}])
def test_little_or_unknown_still_draws(pods: dict[str, tuple[Span, ...]]) -> None:
    assert states.picture(States(15, pods), title="Pulls", stamp="test").words
