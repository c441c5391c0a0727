"""What the comparison of all notebooks takes out of a check's evidence, and what becomes of a difference."""

from __future__ import annotations

from labkit.evidence import Series, Timeline
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.states import Span, States
from tests.fidelity.difference import Explanation, compare_notebooks
from tests.fidelity.facts import facts, figures, order
from tests.fidelity.notebooks import Judged, Played

EVENT = {"involvedObject": {"kind": "Pod"}, "type": "Warning", "reason": "BackOff"}


def test_a_pull_is_one_phase_and_a_wait_after_a_crash_one_state_on_either_rung() -> None:
    embedded = order(["schedule", "download", "unpack", "weights"])
    assert embedded == order(["schedule", "pull", "weights"]) == ["schedule", "pull", "weights"]
    assert order(["Running", "Error", "CrashLoopBackOff", "Running"]) == [
        "Running",
        "CrashLoopBackOff",
        "Running",
    ]


def test_evidence_of_every_kind_becomes_words_and_numbers() -> None:
    hpa = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "llm-hpa"},
        "status": {"conditions": [{"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}]},
    }
    seen = Timeline(15, "a stamp", (Series("desired", "pods", ((0.0, 2.0), (20.0, 8.0))),))
    states = States(15, {"a": (Span("Pending", 0, 1), Span("Running", 1, 2))})
    start = ColdStart("a", (Span("pull", 0, 1), Span("weights", 1, 2)))
    evidence = {"hpa": hpa, "runs": {"queue": seen}, "states": states, "start": start, "answer": 5}
    found = facts(evidence, [EVENT])
    assert found["event"] == {"Pod Warning BackOff"}
    assert found["condition"] == {"HorizontalPodAutoscaler ScalingActive=True ValidMetricFound"}
    assert found["order"] == {"Pending → Running", "pull → weights"}
    assert figures(evidence) == {"runs.queue: most replicas": 8.0}


def test_each_difference_is_explained_or_fails() -> None:
    left = Judged("05.hpa", "passed", {"event": ["Pod Normal Pulled"]}, {"load: attainment": 0.9})
    right = Judged("05.hpa", "passed", {"event": ["Pod Warning Failed"]}, {"load: attainment": 0.7})
    runs = Played("embedded", (left,), {}), Played("kind", (right,), {"05-hpa": "WaitTimeout: …"})
    known = [Explanation("event", "Pod Warning Failed", "kind", "a reason")]
    verdicts = {(row.aspect, row.item): row.verdict for row in compare_notebooks(*runs, known)}
    assert verdicts == {
        ("cells", ""): "missed",
        ("verdict", ""): "same",
        ("figure", "load: attainment"): "unexplained",
        ("event", "Pod Normal Pulled"): "unexplained",
        ("event", "Pod Warning Failed"): "explained",
    }


def test_a_check_that_only_one_rung_has_is_missed() -> None:
    runs = Played("embedded", (Judged("09.rate", "passed"),), {}), Played("kind", (), {})
    [row] = compare_notebooks(*runs, [])
    assert (row.left, row.right, row.verdict) == ("passed", "not run", "missed")
