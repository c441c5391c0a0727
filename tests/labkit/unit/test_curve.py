"""Plots of one quantity against another: units, marks, stamp and words."""

from typing import Any

import numpy as np
import pytest

from labkit.errors import BadInput
from labkit.evidence import Curves, Series, Timeline
from labkit.evidence.states import Span, States
from labkit.view import curve, drawing
from labkit.view.gpus import Gpu

X, Y = "offered (1/s)", "TTFT (s)"


def test_a_curve_carries_title_units_marks_and_stamp() -> None:
    curves = Curves({"one replica": [(0.8, 30.0), (0.2, 0.1)]}, X, Y, {"profile": 0.617}, {"goal": 10})
    made = curve.picture(curves, title="Knee", stamp="embedded")
    (axis,) = made.figure.axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("offered (1/s)", "TTFT (s)")
    legend = axis.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == [
        "one replica",
        "profile: 0.617",
        "goal: 10",
    ]
    assert np.asarray(axis.lines[0].get_xdata()).tolist() == [0.2, 0.8]
    assert str(made) == "Knee (TTFT (s) against offered (1/s)): one replica from (0.2, 0.1) to (0.8, 30)."


def test_many_points_are_a_cloud() -> None:
    curves = Curves({"few": [(1, 1), (2, 2)], "many": [(i, i) for i in range(40)], "none": []}, X, Y)
    made = curve.picture(curves, title="Knee", stamp="embedded")
    assert [line.get_linestyle() for line in made.figure.axes[0].lines[:2]] == ["-", "None"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (Timeline(15, "embedded", (), ()), "nothing recorded"),
        ([Series("desired", "replicas", ((0, 2), (5, 10)))], "desired: up to 10"),
        (Curves({"a": [(1, 2)]}, x="asked", y="answered"), "answered against asked"),
        (States(15, {"pod": (Span("Running", 0, 3),)}), "pod: Running (0 s)"),
        ([Gpu("gpu-node-1", 0, 0, 1024)], "gpu-node-1: 1 of 1 free"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_plot_is_drawn_by_the_type_of_what_it_shows(what: Any, words: str) -> None:
    assert words in str(drawing.picture(what, title="T", target=None, clock=15, stamp="embedded"))


@pytest.mark.parametrize("what", [..., 5, "pods", {"a": 1}, [1, 2]])
def test_what_has_no_picture_is_refused(what: Any) -> None:
    with pytest.raises(BadInput, match="Can't draw"):
        drawing.picture(what, title="T", target=None, clock=15, stamp="embedded")
