"""The study of notebook 06: which runs are left, what is kept of them, and who wins where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from course.study import error, journal, plan, table
from course.study.days import DAYS, TRACE
from course.study.interval import Interval
from course.study.record import Run, record
from course.study.setting import documented
from course.study.trial import Trial
from labkit.errors import BadInput
from labkit.evidence import Series, Timeline, bill
from labkit.load import LoadResult
from labkit.load.rows import Row
from localcluster import stored


def run(cell: plan.Cell, *, kept: int = 80, gpu: float = 1000.0, doubts: tuple[str, ...] = ()) -> Run:
    steps = ((0.0, 2.0), (60.0, 4.0))
    return Run(cell.policy, cell.day.name, cell.seed, cell.of, 100, kept, gpu, steps, steps, 0.1, 0.3, doubts)


CELLS = list(plan.cells())


def test_a_study_has_every_policy_under_every_load_with_five_seeds() -> None:
    assert len(CELLS) == 3 * 3 * 5
    assert {(c.policy, c.day.name) for c in CELLS[:9]} == {(p, d) for p in plan.POLICIES for d in DAYS}
    assert {c.seed for c in CELLS[:9]} == {0}


def test_a_learner_can_run_it_who_has_no_solutions() -> None:
    assert not [choice for choice in plan.POLICIES.values() if "solutions" in str(choice)]


def test_the_same_seed_brings_the_same_requests_and_another_does_not() -> None:
    for day in DAYS.values():
        assert day.arrivals(1) == day.arrivals(1)
        assert day.arrivals(1).times != day.arrivals(2).times
        assert day.arrivals(0).seconds < day.seconds


def test_a_whole_study_fits_into_half_an_hour() -> None:
    assert sum(cell.takes(15) for cell in CELLS) / 60 < 30


def test_the_trace_says_what_became_of_recorded_time() -> None:
    assert "1 recorded s in 1 lab s" in TRACE.arrivals(0).what
    assert "27% of its requests" in TRACE.arrivals(0).what


def test_what_is_done_is_not_done_again() -> None:
    made = [run(cell) for cell in CELLS[:4]]
    assert plan.left(made) == CELLS[4:]
    assert plan.current(made) == made


def test_an_inconclusive_run_is_repeated_but_not_for_ever() -> None:
    doubtful = run(CELLS[0], doubts=("requests left up to 3.0 lab s late",))
    assert plan.left([doubtful]) == [*CELLS[1:], CELLS[0]]  # when the machine may be less busy
    assert CELLS[0] not in plan.left([doubtful] * plan.TRIES)
    sure = run(CELLS[0], kept=70)
    assert plan.left([doubtful, sure]) == CELLS[1:]
    assert plan.current([doubtful, sure, doubtful]) == [sure]
    assert plan.current([doubtful, doubtful]) == [doubtful]


def test_a_starved_machine_is_no_evidence_although_the_load_went_out_in_time() -> None:
    starved = replace(run(CELLS[0]), pressure=0.9)
    assert not starved.conclusive
    assert starved.why_not == "some task waited for a CPU 90% of the time (limit 70%)"
    assert plan.left([starved])[-1] == CELLS[0]
    assert run(CELLS[0]).why_not == ""


def test_a_run_of_another_load_or_policy_does_not_count() -> None:
    assert plan.left([replace(run(CELLS[0]), of="of last week")]) == CELLS


def test_a_killed_study_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "study" / "runs.jsonl"
    assert journal.read(path) == []
    first, second = run(CELLS[0]), run(CELLS[1], doubts=("too busy",))
    journal.append(path, first)
    with path.open("a") as file:
        file.write('{"policy": "CPU", "lo')  # killed while writing
    assert journal.read(path) == [first]
    journal.append(path, second)
    assert journal.read(path) == [first, second]


def test_a_stored_study_is_read_back(tmp_path: Path) -> None:
    runs = [run(cell) for cell in CELLS[:3]]
    journal.store(tmp_path / "study.json", runs, {"command": "make study"})
    assert journal.stored(tmp_path / "study.json") == runs
    with pytest.raises(BadInput, match="no study"):
        journal.stored(tmp_path / "none.json")


def test_what_is_kept_of_a_trial_begins_with_the_load() -> None:
    desired = Series("desired", "replicas", ((0, 2), (5, 2), (50, 4), (90, 4)))
    timeline = Timeline(
        15, "test", (desired, replace(desired, name="ready"), replace(desired, name="gpus")), began=100
    )
    rows = (Row(1, 1, 1, 9, "ok", first=2), Row(2, 1, 1, 90, "ok", first=80))
    load = LoadResult(Path("none"), {"clock": 15, "shape": {}}, 102.0, rows, (), "done")
    done = Trial(timeline, load, bill(timeline, load, ttft=10, seconds=60))
    kept = record(done, policy="queue", day="burst", seed=3, of="x")
    assert kept.desired == ((0.0, 2), (20.0, 4))
    assert (kept.requests, kept.kept, kept.gpu_seconds) == (2, 1, 20 * 2 + 40 * 4)
    assert kept.replica_seconds(60) == 20 * 2 + 40 * 4
    assert stored.made(Run, stored.plain(kept)) == kept


def test_an_interval_from_few_values_is_wide() -> None:
    five = Interval.of([1, 2, 3, 4, 5])
    assert (five.mean, five.count) == (3, 5)
    assert five.half == pytest.approx(1.963, abs=0.001)
    assert Interval.of([4.0]).half == float("inf")
    assert [Interval(m, 1, 5).says for m in (2, 0.5, -2)] == [1, 0, -1]


def two(static: list[int], queue: list[int]) -> list[Run]:
    """The ramp under two policies, by the promises that each kept with each seed."""
    by = {(c.policy, c.seed): c for c in CELLS if c.day.name == "ramp"}
    kept = {"static": static, "queue": queue}
    return [run(by[policy, seed], kept=n) for policy, all_ in kept.items() for seed, n in enumerate(all_)]


def test_who_is_better_with_every_seed_wins_although_seeds_differ_more() -> None:
    runs = two([20, 60, 40, 80, 50], [25, 66, 44, 85, 56])
    assert table.winners(runs) == [
        {"load": "ramp", "most in time": "queue", "cheapest promise": "no clear winner"}
    ]
    assert table.difference(runs, "queue", "static", lambda r: r.attainment).mean == pytest.approx(0.052)


def test_a_lead_that_may_be_luck_is_no_win() -> None:
    runs = two([20, 60, 40, 80, 50], [35, 55, 44, 79, 56])
    assert table.winners(runs)[0]["most in time"] == "no clear winner"


def test_inconclusive_runs_are_counted_and_left_out() -> None:
    runs = two([50, 50, 50], [60, 60, 60])
    runs[0] = replace(runs[0], kept=0, doubts=("too busy",))
    row = table.rows(runs)[0]
    assert (row["in time"], row["runs"]) == ("50% ± 0", "2 (+ 1 inconclusive)")


def test_the_model_is_close_to_the_stored_study() -> None:
    """Replica-seconds within 10 %; the share in time, where each second of a start counts, 8 points."""
    for load, policy, (replicas, gpus, share) in error.errors(documented(), journal.stored()):
        assert abs(replicas.error) <= 0.10, (load, policy, replicas)
        assert abs(gpus.error) <= 0.10, (load, policy, gpus)
        assert abs(share.error) <= 0.08, (load, policy, share)


def test_the_stored_study_compares_every_policy_under_every_load() -> None:
    runs = [run for run in journal.stored() if run.conclusive]
    assert {(run.load, run.policy) for run in runs} == {(c.day.name, c.policy) for c in CELLS}
    assert plan.current(runs) == runs  # made with the loads and policies that stand here now


def test_the_model_is_held_against_a_run() -> None:
    cell = next(c for c in CELLS if c.policy == "static" and c.day.name == "burst")
    held = replace(run(cell, gpu=3 * 420), desired=((0.0, 3.0),), ready=((0.0, 3.0),))
    ((load, policy, figures),) = error.errors(documented(), [held])
    assert (load, policy, [f.name for f in figures]) == (
        "burst",
        "static",
        ["replica-seconds", "GPU-seconds", "in time"],
    )
    assert [f.error for f in figures[:2]] == [0, 0]
    assert (
        error.markdown(documented(), [held])
        .splitlines()[2]
        .startswith("| burst | static | 1 | 80% | 1,260 |")
    )
    assert "1,260 → 1,260 (+0.0%)" in error.rows(documented(), [held])[0]["GPU-seconds"]
