"""The learner's verbs: each is described once, and by its keywords."""

import ast
import importlib
import inspect
import json
from collections.abc import Iterator

import pytest

import labkit
from labkit.lab import Lab
from labkit_grading.kernel.inside import VALUES, RemoteLab
from labkit_grading.verbs.confined import Confined
from labkit_grading.verbs.objects import OWNERS
from labkit_grading.verbs.table import VERBS
from tests.grading.unit.grading_class import NOTEBOOKS


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_verb_of_the_lab_has_one_record_and_no_other_has() -> None:
    own = {name for name, verb in VERBS.items() if "." not in name and not verb.course}
    assert own == public(Lab) | {"clock", "kube"}
    assert not {name for name, verb in VERBS.items() if verb.course} & own


def test_what_has_a_record_is_there() -> None:
    for kind, owner in OWNERS.items():
        named = {name.removeprefix(owner) for name in VERBS if owner and name.startswith(owner)}
        assert named <= public(kind) | {"clock"}, kind
    assert {name.partition(".")[0] + "." for name in VERBS if "." in name} == set(OWNERS.values()) - {""}


def test_what_is_read_is_read_in_a_students_process_too() -> None:
    assert {name.rpartition(".")[2] for name, verb in VERBS.items() if verb.value} == VALUES


def test_what_a_students_process_does_itself_it_can() -> None:
    assert {name for name, verb in VERBS.items() if verb.local or verb.course} <= public(RemoteLab)


def test_a_rule_is_one_of_those_for_arguments() -> None:
    for name, verb in VERBS.items():
        assert getattr(Confined, verb.rule.__name__) is verb.rule, name


@pytest.mark.parametrize("kind", [Lab, *OWNERS])
def test_a_verb_says_its_keywords(kind: type) -> None:
    for name in public(kind) - {"check"}:  # whose keywords are answers
        verb = getattr(kind, name)
        if callable(verb):
            kinds = {one.kind for one in inspect.signature(verb).parameters.values()}
            assert inspect.Parameter.VAR_KEYWORD not in kinds, name


def imports() -> Iterator[tuple[str, str]]:
    """Each module of labkit that a notebook imports from, with the name."""
    for notebook in NOTEBOOKS:
        cells = json.loads(notebook.read_text())["cells"]
        for cell in (one for one in cells if one["cell_type"] == "code"):
            for node in ast.walk(ast.parse("".join(cell["source"]))):
                if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "labkit":
                    yield from ((str(node.module), one.name) for one in node.names)
                if isinstance(node, ast.Import):
                    yield from ((one.name, "") for one in node.names if one.name.startswith("labkit."))


@pytest.mark.parametrize(("module", "name"), sorted(set(imports())))
def test_notebooks_import_what_labkit_names(module: str, name: str) -> None:
    assert module == "labkit" or module.split(".")[1] in labkit.__all__
    assert name in importlib.import_module(module).__all__


def test_what_labkit_names_is_there() -> None:
    for package in sorted({"labkit"} | {f"labkit.{name}" for name in labkit.__all__ if name != "connect"}):
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name) or importlib.import_module(f"{package}.{name}")
