"""A class is graded on real clusters: whoever did the work has its points, and no attack earns any."""

from pathlib import Path

import pytest

from labkit_grading.judging.bundle import Bundle
from labkit_grading.judging.rubric import of
from labkit_grading.judging.sheet import Line, Sheet, grade
from tests.attacks import ANSWERS, CLUSTERED, HandIn
from tests.grading.live.grading_quiz import CHECKS, WHOLE, grade_class

pytestmark = pytest.mark.long

RUBRIC = of({"notebooks": ["05"], "points": 0, "checks": dict.fromkeys(CHECKS, 1)})
HONEST = {"ada": HandIn(ANSWERS, CHECKS), "empty": HandIn(hpa=None), "zoe": HandIn(ANSWERS, CHECKS)}
"""One who did the work comes first, and one after all attacks."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("g")
    for name, one in {**HONEST, **CLUSTERED}.items():
        one.write(made / "class" / name, WHOLE.name, WHOLE.released)
    return made


@pytest.fixture(scope="module")
def bundles(place: Path) -> dict[str, Bundle]:
    return grade_class(place, workers=2)


@pytest.fixture(scope="module")
def sheets(bundles: dict[str, Bundle]) -> dict[str, Sheet]:
    return {name: grade(bundle, RUBRIC) for name, bundle in bundles.items()}


def line(sheet: Sheet, name: str) -> Line:
    return next(one for one in sheet.lines if one.id == name)


def passed(sheet: Sheet) -> set[str]:
    return {one.id for one in sheet.lines if one.points}


@pytest.mark.parametrize("name", HONEST)
def test_whoever_did_the_work_has_its_points(sheets: dict[str, Sheet], name: str) -> None:
    assert passed(sheets[name]) == set(HONEST[name].earns)
    assert not sheets[name].flagged
    assert not sheets[name].unjudged


@pytest.mark.parametrize("name", CLUSTERED)
def test_an_attack_earns_nothing_but_its_honest_part_and_is_flagged(
    sheets: dict[str, Sheet], name: str
) -> None:
    assert passed(sheets[name]) <= set(CLUSTERED[name].earns), sheets[name]
    assert sheets[name].flagged, sheets[name]


@pytest.mark.parametrize("name", ["scale-by-hand", "forged-managed-fields"])
def test_scaling_by_hand_is_no_hpa(sheets: dict[str, Sheet], name: str) -> None:
    assert line(sheets[name], "05.scale-out").state == "forged"


@pytest.mark.parametrize("name", ["faked-queue", "fast-servers", "own-program", "faster"])
def test_what_decides_a_measurement_is_refused_at_admission(sheets: dict[str, Sheet], name: str) -> None:
    flags = [one.what for one in sheets[name].remarks if one.kind == "flagged"]
    assert any("the grader's to set" in one for one in flags), flags


def test_an_hpa_that_is_told_to_has_not_seen_a_queue(sheets: dict[str, Sheet]) -> None:
    assert "minReplicas was 8" in line(sheets["raised-minimum"], "05.scale-out").note


def test_a_process_that_ends_itself_gets_what_it_had(sheets: dict[str, Sheet]) -> None:
    assert line(sheets["quitter"], "05.names").state == "passed"
    assert line(sheets["quitter"], "05.steps").state == "not reached"


def test_a_run_that_is_repeated_runs_nobody_again(place: Path, bundles: dict[str, Bundle]) -> None:
    files = list((place / "report" / "evidence").iterdir())
    before = {path: path.stat().st_mtime_ns for path in files}
    assert grade_class(place) == bundles
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert len(files) == len(bundles)
