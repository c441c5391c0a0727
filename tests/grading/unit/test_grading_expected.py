"""What each cell of the course asks for is known from the released notebooks alone.

The other side of each comparison is a run of the same cells after somebody changed them.
"""

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.load import Closed, Open, Workload
from labkit_grading.judging.codec import Codec
from labkit_grading.judging.sources import recorded, sources
from labkit_grading.kernel.wire import SENT
from labkit_grading.student import parameters
from labkit_grading.submissions.released import assignment
from labkit_grading.submissions.restore import is_solution
from labkit_grading.verbs.expected import FREE, FREE_WORDS, Expected, expected
from labkit_grading.verbs.likeness import PLAIN, calls_of, differs
from labkit_grading.verbs.provenance import SHOWN, Provenance
from labkit_grading.verbs.unknown import Unknown
from tests.grading.unit.grading_class import NOTEBOOKS, ROOT

LOADS = {
    "00-start": ["00-08"],
    "02-deploy": ["02-30", "02-33", "02-35", "02-41", "02-47", "02-54"],
    "03-load": ["03-08", "03-08", "03-20", "03-20", "03-20", "03-20", "03-38", "03-38", "03-44"],
    "04-hpa-cpu": ["04-08", "04-34"],
    "05-hpa-queue": ["05-08", "05-12", "05-38", "05-46", "05-54", "05-54", "05-64o"],
    "07-cold-starts": ["07-22", "07-22", "07-52", "07-52", "07-58b"],
    "10-production": ["10-24", "10-44"],
    "11-keda": [
        "11-still-apply",
        "11-move-begin",
        "11-rolled-back",
        "11-twice-apply",
        "11-react",
        "11-react",
        "11-empty-plant",
    ],
    "12-gateway": [
        "12-random-predict",
        "12-epp-load",
        "12-contract-load",
        "12-valve-without",
        "12-valve-behind",
        "12-tight-run",
        "12-mended-run",
        "12-priority-load",
        "12-priority-load",
        "12-held-apply",
        "12-late-bound",
        "12-late-free",
        "12-pool",
        "12-away-load",
        "12-away-small",
    ],
}


def released(name: str) -> Any:
    [path] = ROOT.glob(f"notebooks/{name}.ipynb")
    return assignment(ROOT, [path]).notebooks[name]


def asked(name: str, changes: Mapping[str, tuple[str, str]] | None = None) -> Expected:
    """What the cells of a notebook ask for, after some were changed: by cell, a text and what replaces it."""
    notebook = nbformat.from_dict(released(name))
    for cell in notebook.cells:
        before, after = (changes or {}).get(str(cell.id), ("", ""))
        assert before in cell.source
        cell.source = cell.source.replace(before, after) if before else cell.source
    return expected(notebook, parameters())


def given(value: Any) -> Any:
    """As the grader's side reads it: what came from a call, and plain data."""
    if isinstance(value, Unknown):
        return "as the lab says" if value.made and value.made.verb in PLAIN else value.made
    if isinstance(value, dict):
        return {key: given(one) for key, one in value.items()}
    return type(value)(map(given, value)) if isinstance(value, list | tuple) else value


def doubted(course: Expected, done: Expected) -> set[str]:
    """The checks whose recordings are not the course's."""
    for one in done.calls.made:
        object.__setattr__(one, "args", given(one.args))
        object.__setattr__(one, "words", given(one.words))
    return {
        check
        for check, words in done.checks.items()
        if any(course.unlike(check, key, given(value), done.calls) for key, value in words.items())
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_load_of_every_cell_is_known_or_named_free(path: Path) -> None:
    made = expected(released(path.stem), parameters())
    loads = [one for one in made.calls.made if one.verb == "load"]
    assert [one.cell for one in loads] == LOADS.get(path.stem, [])
    for one in loads:
        [shape] = one.args
        assert isinstance(shape, Open | Closed)
        free = {key for key, value in one.words.items() if isinstance(value, Unknown)}
        assert free <= set(FREE_WORDS)
        assert isinstance(one.words.get("workload", Workload()), Workload)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_load_of_the_course_is_missing(path: Path) -> None:
    reached = {
        one.cell for one in expected(released(path.stem), parameters()).calls.made if one.verb == "load"
    }
    cells = [one for one in released(path.stem).cells if one.cell_type == "code"]
    for cell in cells:
        for line in [one for one in ast.parse(cell.source).body if "lab.load(" in ast.unparse(one)]:
            assert not is_solution(cell)
            calls = [
                str(one.id)
                for one in cells
                if isinstance(line, ast.FunctionDef) and f"{line.name}(" in one.source
            ]
            assert set(calls) - {str(cell.id)} <= reached if calls else str(cell.id) in reached


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_recording_of_every_check_is_known_or_named_free(path: Path) -> None:
    made, found = expected(released(path.stem), parameters()), sources(released(path.stem))
    wanted = [(check, key) for check, where in found.items() for key in recorded(where)]
    free = {f"{check} {key}" for check, key in wanted if not list(calls_of(made.checks[check][key]))}
    assert free == {one for one in FREE if one.startswith(path.stem[:2])}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_courses_own_run_is_doubted_nowhere(path: Path) -> None:
    last = released(path.stem).cells[-1].source
    again = asked(path.stem, {str(released(path.stem).cells[-1].id): (last, f"{last}\n# again")})
    assert again.checks
    assert doubted(asked(path.stem), again) == set()


CHANGED = {
    "a smaller crowd": (
        "02-deploy",
        {"02-26": ("(0, 10), (2, 4)", "(0, 1)")},
        {"02.variants", "02.grace", "02.zero-downtime", "02.rollback"},
    ),
    "smaller requests": (
        "07-cold-starts",
        {"07-19": ("output=20", "output=1")},
        {"07.probe"},
    ),
    "other times, for one run only": (
        "04-hpa-cpu",
        {"04-34": ("lab.load(crowd", "lab.load(Open(arrivals.even(rate=1, seconds=3))")},
        {"04.side-by-side"},
    ),
    "a longer wait for answers": (
        "04-hpa-cpu",
        {"04-08": ("drain=30", "drain=3000")},
        {"04.slept", "04.suffered", "04.knew", "04.flat", "04.side-by-side"},
    ),
    "one recording twice": (
        "05-hpa-queue",
        {"05-48-05-behavior": ("behavior=second", "behavior=run")},
        {"05.behavior"},
    ),
    "an earlier recording": ("05-hpa-queue", {"05-40-05-scale-out": ("=run", "=first")}, {"05.scale-out"}),
    "the same, the other way round": (
        "07-cold-starts",
        {"07-56-07-overshoot": ("slow=slow, fast=fast", "slow=fast, fast=slow")},
        {"07.overshoot"},
    ),
    "another start": ("07-cold-starts", {"07-67-07-mended": ("=slow_start", "=fast_start")}, {"07.mended"}),
    "kept connections where none are kept": (
        "05-hpa-queue",
        {"05-52": ("keepalive=keepalive", "keepalive=True")},
        {"05.keep-alive"},
    ),
    "nobody in the morning": (
        "10-production",
        {"10-24": ("users = lab.load(Open(morning))", "")},
        {"10.to-zero", "10.asleep"},
    ),
    "another day": ("10-production", {"10-44": ("day.arrivals()", "morning")}, {"10.capstone", "10.cost"}),
    "an easier policy": (
        "06-tuning",
        {"06-40": ("trial(lab, MINE, RAMP", "trial(lab, MINE, BURST")},
        {"06.attainment", "06.cost", "06.model", "06.bounds", "06.calm", "06.settled"},
    ),
    "other events": (
        "05-hpa-queue",
        {"05-10": ("60:", "90:")},
        {"05.scale-out", "05.scale-in", "05.steps", "05.delay", "05.behavior"},
    ),
    "a load that was ended before": (
        "05-hpa-queue",
        {"05-46": ("lab.watch(", "users.stop(); lab.watch(")},
        {"05.behavior"},
    ),
    "an update that never comes": (
        "02-deploy",
        {"02-28": ('lab.kubectl(f"set env {SERVER} MODEL_VERSION=v2")', "pass")},
        {"02.variants", "02.grace", "02.zero-downtime"},
    ),
    "no wait for an update": (
        "02-deploy",
        {"02-41": ("runs[", "settled = print\nruns[")},
        {"02.zero-downtime"},
    ),
    "another server": (
        "07-cold-starts",
        {"07-32": ("2-small-image", "3-local-weights")},
        {"07.cures"},
    ),
    "one more load in between": (
        "02-deploy",
        {"02-50": ("back = ", "lab.load(Open(crowd)); back = ")},
        {"02.rollback"},
    ),
}


@pytest.mark.parametrize(("name", "changes", "checks"), CHANGED.values(), ids=CHANGED)
def test_whatever_is_changed_its_checks_are_doubted_and_no_others(
    name: str, changes: dict[str, tuple[str, str]], checks: set[str]
) -> None:
    assert doubted(asked(name), asked(name, changes)) == checks


class Sends(Codec):
    """As a student's process encodes what it asks for; what only a lab knows goes as a text."""

    records = SENT

    def other(self, value: Any) -> Any:
        """Paths go as text."""
        return str(value) if isinstance(value, Path | Unknown) else super().other(value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_process_sends_is_read_back_the_same(path: Path) -> None:
    for one in asked(path.stem).calls.made:
        if one.verb not in SHOWN and not any(calls_of([one.args, one.words])):
            sent = json.loads(json.dumps([Sends().encode(one.args), Sends().encode(dict(one.words))]))
            args, words = map(Provenance().decode, sent)
            assert not differs((one.args, one.words), (args, words)), one
