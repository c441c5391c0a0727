"""What a released notebook gives away about each argument of its checks, and what the grader reads itself."""

from types import SimpleNamespace
from typing import Any

import pytest

from labkit.evidence import Bill
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.pace import Pace
from labkit.evidence.states import Span
from labkit.grading.codec import decode, encode
from labkit.grading.paths import along, handing_over, paths
from labkit.grading.released import assignment
from labkit.grading.restore import restore
from labkit.grading.sources import Source, constants, queries, sources
from tests.unit.grading_class import ROOT, by_mark


def released(number: str) -> Any:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    return assignment(ROOT, [path]).notebooks[path.stem]


def test_an_answer_of_several_parts_is_an_answer() -> None:
    assert sources(released("06"))["06.bill"] == {"answer": Source.ANSWER, "bill": Source.RECORDED}


def test_a_figure_of_the_courses_is_the_courses_by_its_name_too() -> None:
    production = released("10")
    given = {"answer": Source.ANSWER, "watts": Source.RECORDED, "pue": Source.COURSE}
    assert sources(production)["10.carbon"] == {**given, "grams_per_kwh": Source.COURSE}
    assert constants(production)["10.carbon"] == {"pue": 1.2, "grams_per_kwh": 381}
    assert constants(production)["10.cost"] == {"usd_per_hour": 0.80}


def test_what_a_student_may_set_is_no_figure_of_the_courses() -> None:
    for cells in constants(released("08")).values():
        assert ... not in cells.values()
    assert "answer" not in constants(released("07"))["07.patience"]


def test_what_is_read_off_a_recording_the_grader_reads_itself() -> None:
    cold = released("07")
    assert paths(cold)["07.patience"] == {"start": ("total",)}
    start = ColdStart("server-1", (Span("weights", 0.0, 60.0),))
    assert along(paths(cold)["07.patience"]["start"], start) == 60.0
    handed = handing_over('lab.check("07.patience", answer=n, start=slow.total, period=5).points')
    assert handed == "lab.check('07.patience', answer=n, start=slow, period=5).points"
    for source in ('lab.check("05.hpa").points', 'lab.check("07.longest", start=starts["as it is"]).points'):
        assert handing_over(source) == source


def test_a_check_that_is_run_hands_over_whole_objects_and_the_released_one_reads_as_before() -> None:
    cold = released("07")
    run = restore(cold, (), name="07").notebook
    assert "start=slow_start," in by_mark(run, "07-patience").source
    assert "start=slow_start.total" in "".join(cell.source for cell in cold.cells)


def test_only_promql_of_the_courses_is_a_figure_that_it_asked_for() -> None:
    asked = queries(released("10"))
    assert 'sum(DCGM_FI_DEV_POWER_USAGE{namespace="llm-lab"})' in asked
    assert "vector(1)" not in asked


@pytest.mark.parametrize(
    "record",
    [
        Bill(100, 90, 2400.0, 10.0, 600.0),
        ColdStart("server-1", (Span("weights", 0.0, 60.0),)),
        Pace((0.0,), (0.1,), (0.2,)),
        b"\x00manifest",
    ],
)
def test_new_kinds_of_evidence_survive_their_file(record: Any) -> None:
    assert decode(encode(record)) == record


def test_along_no_path_is_the_thing_itself() -> None:
    thing = SimpleNamespace(run=SimpleNamespace(end=3))
    assert along((), thing) is thing
    assert along(("run", "end"), thing) == 3
