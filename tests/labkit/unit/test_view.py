"""What learners see: tables, verdicts, short errors, plots with units and stamp."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from course.hpa import explain
from labkit.errors import BadInput
from labkit.evidence import MIME, Event, Series, Timeline, Verdict
from labkit.metrics.series import Sample
from labkit.view import cluster, plot
from labkit.view.cell_errors import error_text
from labkit.view.notebook import Place
from labkit.view.picture import SMALL, Picture, png
from labkit.view.prediction import predict
from labkit.view.table import Table
from labkit.view.verdict import Shown
from localcluster.api.objects import Table as Printed

STAMP = "embedded · simulated GPUs · lab clock 15×"


def timeline(names: list[str]) -> Timeline:
    points = ((0.0, 2.0), (60.0, 6.0), (300.0, 2.0))
    return Timeline(
        15, STAMP, tuple(Series(n, "", points, label="p95") for n in names), (Event(60, "burst"),)
    )


def test_a_table_escapes_what_it_shows() -> None:
    table = Table("pods", ["NAME"], [["<script>"]], stamp=STAMP)
    assert "<script>" not in table._repr_html_()
    assert STAMP in table._repr_html_()
    assert str(table) == "NAME\n<script>"


def test_an_empty_table_says_so() -> None:
    assert str(Table("pods", ["NAME"])) == "pods: nothing found"


@pytest.mark.parametrize(
    ("status", "ready", "marked"),
    [
        ("Running", "1/1", "#009E73"),
        ("Running", "0/1", "#E69F00"),
        ("Pending", "0/1", "#E69F00"),
        ("CrashLoopBackOff", "0/1", "#D55E00"),
    ],
)
def test_pods_are_marked_by_what_they_do(status: str, ready: str, marked: str) -> None:
    raw = Printed(("Name", "Ready", "Status", "IP"), (("a", ready, status, "10.244.1.2"),))
    table = cluster.printed(raw, title="pods", stamp=STAMP)
    assert list(table.columns) == ["NAME", "READY", "STATUS"]
    assert table.marks == {0: marked}


def test_nodes_are_counted_in_whole_gpus() -> None:
    node: dict[str, Any] = {
        "metadata": {"name": "gpu-node-1", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}},
        "spec": {},
        "status": {
            "allocatable": {"nvidia.com/gpu": "4", "cpu": "64"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    table = cluster.nodes([node], [pod("gpu-node-1"), pod("gpu-node-1", phase="Succeeded")], stamp=STAMP)
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["GPUs"], row["ASKED FOR"], row["FREE"]) == ("4", "1", "3")


def device(name: str, gpu: int, value: float, *, pod: str = "") -> Sample:
    labels = {"__name__": name, "Hostname": "gpu-node-1", "gpu": str(gpu)}
    return Sample(labels | ({"pod": pod} if pod else {}), value, 0.0)


def test_gpus_stand_side_by_side_with_who_holds_them() -> None:
    busy, used = cluster.DCGM["busy"], cluster.DCGM["used"]
    holder = "llm-inference-service-7d4b9-k2x9p"
    held = [device(busy, 0, 100, pod=holder), device(used, 0, 18022, pod=holder)]
    table = cluster.gpus([device(used, 1, 0), *held], stamp=STAMP)
    assert list(table.columns) == ["NODE", "GPU 0", "GPU 1"]
    assert table.rows == [["gpu-node-1", "k2x9p 100 % 17.6 GiB", "free"]]


def test_a_cluster_that_measures_no_gpu_says_so() -> None:
    assert "nothing exports DCGM_FI_DEV_FB_USED" in str(cluster.gpus([], stamp=STAMP))


def pod(node: str, *, phase: str = "Running") -> dict[str, Any]:
    container = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    return {"spec": {"nodeName": node, "containers": [container]}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict("05.a", passed=True, expected="e", observed="o"), "passed"),
        (Verdict("05.a", passed=False, expected="e", observed="o", hint="<h>"), "not yet"),
        (Verdict("05.a", passed=False, expected="", observed="o", inconclusive=True), "run again"),
    ],
)
def test_a_verdict_speaks_to_people_and_to_machines(verdict: Verdict, word: str) -> None:
    bundle = Shown(verdict)._repr_mimebundle_()
    assert word in bundle["text/plain"]
    assert word in bundle["text/html"]
    assert "<h>" not in bundle["text/html"]
    assert Verdict.from_json(bundle[MIME]) == verdict


def test_an_error_shows_cause_and_fix() -> None:
    shown = error_text(BadInput("What.", cause="Cause.", fix="Fix it."), line="lab.apply('x')")
    assert all(part in shown for part in ("What.", "Cause.", "Fix it.", "lab.apply('x')"))


def test_an_error_names_the_commands_of_labkit() -> None:
    shown = error_text(BadInput("What.", fix="Start it: `localcluster up`."), line="localcluster up")
    assert "Start it: `labkit up`." in shown
    assert shown.endswith("(in this cell: localcluster up)")


def test_a_place_prints_only_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    place = Place()
    for status in ("Pending", "Pending", "Running"):
        place.show(Table("pods", ["STATUS"], [[status]]))
    assert capsys.readouterr().out.count("STATUS") == 2


@pytest.mark.parametrize(
    "names", [["desired", "ready"], ["offered", "queue", "queue average", "desired", "ready", "latency"]]
)
def test_the_plot_has_units_stamp_events_and_both_clocks(names: list[str]) -> None:
    figure = plot.scale_out(timeline(names), title="Scale-out", target=5)
    axes = figure.axes
    assert all(axis.get_ylabel() for axis in axes)
    assert axes[-1].get_xlabel() == "lab time (s)"
    assert any("15×" in child.get_xlabel() for child in axes[0].child_axes)
    assert STAMP in [text.get_text() for text in figure.texts] + [figure.get_supxlabel()]
    legend = axes[-1].get_legend()
    assert legend
    assert "burst" in str([t.get_text() for t in legend.get_texts()])
    assert png(figure).startswith(b"\x89PNG")


def test_nothing_recorded_still_draws() -> None:
    assert png(plot.scale_out(Timeline(15, STAMP))).startswith(b"\x89PNG")


def test_a_picture_says_in_words_what_it_shows() -> None:
    words = "desired 2 → 6 → 2, <fast>"
    bundle, metadata = Picture(plot.scale_out(timeline(["desired", "ready"])), words)._repr_mimebundle_()
    assert bundle["text/plain"] == metadata["image/png"]["alt"] == words
    assert 'alt="desired 2 → 6 → 2, &lt;fast&gt;"' in bundle["text/html"]
    assert bundle["image/png"] in bundle["text/html"]


def test_series_are_steps() -> None:
    series = Series("desired", "", ((0, 2), (10, 2), (20, 6)))
    assert series.at(-1) is None
    assert series.at(19.9) == 2
    assert series.steps() == ((0, 2), (20, 6))
    assert series.first(lambda v: v > 2) == 20


def test_another_zero_keeps_what_stood_there() -> None:
    run = replace(timeline(["desired"]), began=1000.0).since(90)
    assert run.one("desired").points == ((0.0, 6.0), (210.0, 2.0))
    assert (run.events[0].at, run.began) == (-30, 1006)
    assert timeline(["desired"]).since(-10).one("desired").points[0] == (10.0, 2.0)


def test_series_of_one_name_add_up() -> None:
    both = Timeline(1, "", (Series("queue", "", ((0, 1), (10, 3)), "a"), Series("queue", "", ((5, 2),), "b")))
    assert both.total("queue").points == ((0, 1), (5, 3), (10, 5))


def test_a_predicted_curve_lies_over_the_replicas() -> None:
    guess = predict("Replicas?", [(0, 2), (90, 10)]).curve
    run = timeline(["desired", "ready"]).with_series([guess, predict("Replicas?", ...).curve])
    (axis,) = plot.scale_out(run).axes
    drawn = {line.get_label(): line for line in axis.get_lines()}
    assert list(np.asarray(drawn["your prediction"].get_xdata())) == [0, 90, 300]  # to the recording's end
    assert drawn["your prediction"].get_linestyle() == ":"


def test_what_was_sent_stands_on_the_plot() -> None:
    run = replace(timeline(["desired"]), load="twin of code, seed 0, time ÷ 4")
    assert "load: twin of code, seed 0, time ÷ 4" in plot.scale_out(run).get_supxlabel()


def test_decisions_are_numbered_in_the_plot_and_told_under_it() -> None:
    told = [(15.0, 2.0, "Stays at 2: all is calm."), (60.0, 6.0, "2 → 6: <b>many</b> wait.")]
    made = explain.picture(timeline(["queue", "desired"]), told, title="Why?")
    replicas = next(axis for axis in made.figure.axes if axis.get_ylabel() == "replicas")
    assert [note.get_text() for note in replicas.texts] == ["1", "2"]
    assert "60 s: 2 → 6" in str(made)
    table = explain.table(told, title="ledger", stamp=STAMP)
    assert table.rows[1] == ["2", "60", "6", "2 → 6: <b>many</b> wait."]
    assert "<b>many" not in table._repr_html_()
    assert "white-space:normal" in table._repr_html_()


def test_decisions_that_follow_close_upon_each_other_keep_their_numbers_apart() -> None:
    """Thirteen to eighteen of a scale-in, one sync apart, once covered each other."""
    run = timeline(["queue", "desired"]).with_series([Series("ready", "", ((0.0, 10.0), (845.0, 2.0)))])
    told = [(755.0 + 15 * i, max(2.0, 10.0 - 2 * i), "less") for i in range(7)]
    figure = explain.picture(run, told, title="Why?").figure
    png(figure)  # lays it out
    (axis,) = [axis for axis in figure.axes if axis.get_ylabel() == "replicas"]
    boxes = [box.get_window_extent() for note in axis.texts if (box := note.get_bbox_patch())]
    assert len(boxes) == 7
    assert {note.get_fontsize() for note in axis.texts} == {SMALL}
    assert [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)] == []
    curve = axis.transData.transform((0, 10))[1]
    assert min(box.y0 for box in boxes) > curve


def test_events_have_letters_since_decisions_have_numbers() -> None:
    run = timeline(["desired"]).with_event(200, "it leaves")
    (axis,) = plot.scale_out(run).axes
    assert [note.get_text().strip() for note in axis.texts] == ["A", "B"]
    legend = axis.get_legend()
    assert legend
    assert [t.get_text() for t in legend.get_texts()][-2:] == ["A  burst (60 s)", "B  it leaves (200 s)"]


@pytest.mark.parametrize(("pods", "looks"), [(4, 4), (5, 1)])
def test_a_queue_looks_as_the_legend_says(pods: int, looks: int) -> None:
    queues = [Series("queue", "", ((0, i), (9, i + 1)), f"pod-{i:05}") for i in range(pods)]
    (axis,) = plot.scale_out(Timeline(15, STAMP).with_series(queues)).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axis.get_lines()}) == looks
    legend = axis.get_legend()
    assert legend
    assert len(legend.get_texts()) == looks


def test_the_words_of_a_recording_begin_with_what_happened() -> None:
    words = str(plot.picture(timeline(["desired"])))
    assert "in lab seconds: burst (60 s); desired 2 (0 s) → 6 (60 s)" in words


def test_lines_of_one_panel_differ_in_more_than_colour() -> None:
    axis = plot.scale_out(timeline(["desired", "ready"])).axes[0]
    assert len({line.get_linestyle() for line in axis.get_lines()[:2]}) == 2
