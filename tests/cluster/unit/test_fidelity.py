"""The fidelity report: it finds each kind of difference, lets none pass unexplained, excuses no target."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.evidence.states import Span, States
from labkit.evidence.timeline import Event, Timeline
from labkit.load import LoadResult
from labkit.metrics.series import Series
from localcluster.api.objects import KubeObject
from tests.fidelity import report
from tests.fidelity.difference import TOLERANCE, Explanation, compare, explanations
from tests.fidelity.observed import Observed, Run, conditions_of, events_of
from tests.fidelity.scenario import BEGAN, figures

QUEUE = Observed(
    policy="queue",
    steps=(2, 4, 8, 10),
    attainment=0.8,
    figures=dict.fromkeys(TOLERANCE, 10.0) | {"busiest pod, × the mean": None},
    events=("Pod Normal Started", "Pod Warning Unhealthy"),
    conditions=("Pod Ready=True",),
    states=("Pending", "Running"),
)
STATIC = replace(QUEUE, policy="static", steps=(2,), attainment=0.3)
RUN = Run("embedded", "embedded · simulated GPUs", 0, (STATIC, QUEUE))
KIND = replace(RUN, provider="kind")
PULLING = Explanation("event", "Pod Normal Pull.*", "kind", "a node pulls an image once")


def changed(**what: Any) -> Run:
    return replace(KIND, policies=(STATIC, replace(QUEUE, **what)))


def test_two_runs_that_are_alike_pass() -> None:
    rows = compare(RUN, KIND, ())
    assert rows
    assert report.bad(rows) == []


@pytest.mark.parametrize(
    ("other", "aspect"),
    [
        (changed(attainment=0.2), "rank order"),
        (changed(steps=(2, 6, 10)), "HPA steps"),
        (changed(attainment=0.64), "SLO attainment"),
        (changed(figures={**QUEUE.figures, "ttft p95": 30.0}), "figure"),
        (changed(figures={**QUEUE.figures, "crowd → first step": None}), "figure"),
        (changed(events=(*QUEUE.events, "Pod Normal Pulling")), "event"),
        (changed(events=QUEUE.events[:1]), "event"),
        (changed(conditions=("Pod Ready=False ContainersNotReady",)), "condition"),
        (changed(states=("Running",)), "state"),
        (changed(failures={"reset": 1}), "failure"),
    ],
)
def test_each_kind_of_difference_fails(other: Run, aspect: str) -> None:
    assert aspect in {row.aspect for row in report.bad(compare(RUN, other, ()))}


def test_an_explanation_covers_its_own_difference_only() -> None:
    pulls = changed(events=(*QUEUE.events, "Pod Normal Pulling"))
    assert report.bad(compare(RUN, pulls, (PULLING,))) == []
    assert report.bad(compare(pulls, RUN, (PULLING,))) == []  # whichever side kind stands on
    on_embedded = replace(RUN, policies=pulls.policies)
    assert report.bad(compare(on_embedded, KIND, (PULLING,))), "it is about kind, not about embedded"
    more = changed(events=(*QUEUE.events, "Pod Normal Pulling", "Pod Warning BackOff"))
    assert [row.item for row in report.bad(compare(RUN, more, (PULLING,)))] == ["Pod Warning BackOff"]


def test_an_explanation_may_be_about_one_policy() -> None:
    waits = changed(figures={**QUEUE.figures, "ttft p95": 30.0})
    about = Explanation("figure", "ttft p95", "kind", "new pods are later", policy="queue")
    assert report.bad(compare(RUN, waits, (about,))) == []
    assert report.bad(compare(RUN, waits, (replace(about, policy="static"),)))


def test_no_explanation_excuses_a_target() -> None:
    all_of_it = [Explanation(aspect, ".*", "any", "so it is") for aspect in report.TARGETS]
    assert report.bad(compare(RUN, changed(steps=(2, 10)), all_of_it))


def test_a_figure_may_lie_apart_as_far_as_chance_moves_it() -> None:
    near = {name: value and value + TOLERANCE[name][0] for name, value in QUEUE.figures.items()}
    assert report.bad(compare(RUN, changed(figures=near), ())) == []


def test_policies_that_serve_alike_share_a_rank() -> None:
    cpu = replace(STATIC, policy="cpu", attainment=0.32)
    assert replace(RUN, policies=(STATIC, cpu, QUEUE)).ranks == "queue > cpu = static"


def test_every_explanation_is_one_sentence_or_more_about_a_known_aspect() -> None:
    for one in explanations():
        assert one.aspect in {"event", "condition", "state", "figure", "failure"}
        assert one.on in {"embedded", "kind", "any"}
        assert one.why.endswith(".")


def test_a_run_survives_its_file(tmp_path: Path) -> None:
    assert Run.load(RUN.save(tmp_path / "run.json")) == RUN


def test_the_report_names_every_difference_and_its_reason(tmp_path: Path) -> None:
    pulls = changed(events=(*QUEUE.events, "Pod Normal Pulling"), doubts=("short of CPU",))
    path = report.write((RUN, pulls), compare(RUN, pulls, (PULLING,)), tmp_path)
    text = path.read_text()
    assert "| queue | event: Pod Normal Pulling | – | yes | explained |" in text
    assert "- a node pulls an image once" in text
    assert "Doubts about the run on kind: queue: short of CPU." in text
    assert (tmp_path / "fidelity.json").exists()


def test_events_and_conditions_are_read_as_the_api_tells_them() -> None:
    event = {"involvedObject": {"kind": "Pod", "name": "x"}, "type": "Normal", "reason": "Started"}
    assert events_of([event, event]) == ("Pod Normal Started",)
    pod = {"kind": "Pod", "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert conditions_of([KubeObject(pod)]) == ("Pod Ready=True",)


def test_figures_come_out_of_the_recording() -> None:
    desired = Series("desired", "", ((0, 2), (70, 4), (85, 8), (890, 2)))
    ready = Series("ready", "", ((0, 2), (200, 8), (900, 2)))
    seen = Timeline(15, "", (desired, ready), (Event(2.0, BEGAN),))
    late = (Span("Pending", 72, 80), Span("Running", 80, 390))
    found = figures(seen, States(15, {"first": (Span("Running", 0, 400),), "late": late}), _load())
    assert found["pod seen → Running"] == 8
    assert found["crowd → first step"] == 70 - 32
    assert found["last step → all ready"] == 200 - 85
    assert found["last step → 2 again"] == 890 - 85
    assert found["busiest pod, × the mean"] == 1.5


def _load() -> LoadResult:
    head = {"kind": "run", "plan": {"clock": 15, "shape": {"kind": "open", "what": "x"}}, "started": 0.0}
    row = {"kind": "row", "due": 0.0, "sent": 0.0, "end": 2.0, "outcome": "ok", "first": 1.0, "itl": 0.02}
    rows = [row | {"id": i, "pod": "a" if i else "b"} for i in range(4)]
    return LoadResult.of(Path("none"), [head, *rows])
