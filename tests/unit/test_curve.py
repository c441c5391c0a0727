"""Plots of one quantity against another: units, marks, stamp and words."""

import numpy as np

from labkit.view import curve

FRAME = curve.Frame("Knee", "offered (1/s)", "TTFT (s)", "embedded", {"profile": 0.617}, {"goal": 10})


def test_a_curve_carries_title_units_marks_and_stamp() -> None:
    made = curve.picture({"one replica": [(0.8, 30.0), (0.2, 0.1)]}, FRAME)
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
    made = curve.picture({"few": [(1, 1), (2, 2)], "many": [(i, i) for i in range(40)], "none": []}, FRAME)
    assert [line.get_linestyle() for line in made.figure.axes[0].lines[:2]] == ["-", "None"]
