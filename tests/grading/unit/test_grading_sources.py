"""What a released notebook gives away about each argument of its checks, and what the grader reads itself."""

import ast
from pathlib import Path
from typing import Any

import pytest

from labkit.evidence import Bill
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.pace import Pace
from labkit.evidence.states import Span
from labkit.notebooks.steps import check_of, is_check
from labkit_grading.judging.codec import decode, encode
from labkit_grading.judging.sources import Source, constants, queries, sources
from labkit_grading.submissions.released import assignment
from labkit_grading.submissions.restore import is_solution
from tests.grading.unit.grading_class import ROOT


def released(number: str) -> Any:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    return assignment(ROOT, [path]).notebooks[path.stem]


def test_an_answer_of_several_parts_is_an_answer() -> None:
    assert sources(released("06"))["06.bill"] == {"answer": Source.ANSWER, "trial": Source.RECORDED}


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


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_where_a_stub_stands_the_student_answers(path: Path) -> None:
    notebook = assignment(ROOT, [path]).notebooks[path.stem]
    stubs = {name for cell in notebook.cells if is_solution(cell) for name in _stubs(cell.source)}
    found = sources(notebook)
    nodes = [
        node
        for cell in notebook.cells
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
    ]
    for call in [node for node in nodes if isinstance(node, ast.Call) and is_check(node)]:
        for word in call.keywords:
            if isinstance(word.value, ast.Name) and word.value.id in stubs:
                assert found[check_of(call)][str(word.arg)] is Source.ANSWER, (
                    f"{check_of(call)}: another cell gives {word.value.id} a value, too"
                )


def _stubs(source: str) -> list[str]:
    lines = [
        line for line in ast.parse(source).body if isinstance(line, ast.Assign) and "..." in ast.unparse(line)
    ]
    return [name.id for line in lines for name in ast.walk(line.targets[0]) if isinstance(name, ast.Name)]


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
