"""The table of fields: what it must say of each, and what its check finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localcluster import spawn
from localcluster.refused_fields import refused_fields
from tests.cluster.fields.answers import (
    COMPONENTS,
    HONOURED,
    MEANINGLESS,
    REFUSED,
    UPSTREAM,
    Answer,
    answers,
    faults,
    missing_tests,
)

ROOT = Path(__file__).parents[3]
OBJECT = {"x-kubernetes-group-version-kind": [{"kind": "Pod"}]}


def ref(name: str) -> dict[str, Any]:
    return {"allOf": [{"$ref": f"#/components/schemas/io.k8s.{name}"}], "description": "…"}


DOCUMENT: dict[str, Any] = {
    "io.k8s.Pod": OBJECT | {"properties": {"kind": {}, "status": {}, "spec": ref("PodSpec")}},
    "io.k8s.PodSpec": {
        "properties": {
            "containers": {"type": "array", "items": ref("Container")},
            "volumes": {"type": "array", "items": ref("Volume")},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }
    },
    "io.k8s.Container": {"properties": {"image": {}, "env": {"items": ref("Container")}}},
    "io.k8s.Volume": {"properties": {"nfs": {}}},
    "io.k8s.Other": {"properties": {"field": {}}},
}
TABLE = [
    Answer("Pod", "spec", HONOURED, "", ("t",)),
    Answer("PodSpec", "containers", HONOURED, "", ("t",)),
    Answer("PodSpec", "volumes", REFUSED, "FailedMount", ("t",)),
    Answer("PodSpec", "labels", UPSTREAM, "kube-apiserver"),
    Answer("Container", "image", HONOURED, "", ("t",)),
    Answer("Container", "env", HONOURED, "", ("t",)),
]


def test_a_table_with_a_line_for_each_field_has_no_fault() -> None:
    assert list(faults(DOCUMENT, TABLE)) == []


def test_a_field_without_a_line_is_found_wherever_it_is_reached() -> None:
    new = {**DOCUMENT, "io.k8s.Container": {"properties": {"image": {}, "env": {}, "news": {}}}}
    assert list(faults(new, TABLE)) == ["Container.news has no line"]
    assert list(faults(DOCUMENT, TABLE[:-1])) == ["Container.env has no line"]


def test_what_lies_below_a_field_that_is_not_honoured_needs_no_line_and_may_have_none() -> None:
    more = [*TABLE, Answer("Volume", "nfs", HONOURED, "", ("t",))]
    assert list(faults(DOCUMENT, more)) == [
        "Volume.nfs is no field of the API, or lies below one that is not honoured"
    ]


@pytest.mark.parametrize(
    "line", [Answer("PodSpec", "gone", MEANINGLESS, "…"), Answer("Gone", "x", MEANINGLESS, "…")]
)
def test_a_line_without_a_field_is_found(line: Answer) -> None:
    (fault,) = faults(DOCUMENT, [*TABLE, line])
    assert fault.startswith(f"{line.type}.{line.field} is no field")


def test_a_test_that_is_not_there_is_found() -> None:
    there = Answer(
        "PodSpec", "volumes", REFUSED, "", ("unit/test_fields.py::test_a_test_that_is_not_there_is_found",)
    )
    gone = Answer("PodSpec", "volumes", REFUSED, "", ("unit/test_fields.py::test_gone",))
    silent = Answer("PodSpec", "no" + "where", HONOURED, "", there.tests)
    assert list(missing_tests([there])) == []
    assert len([*missing_tests([gone]), *missing_tests([silent])]) == 2
    assert list(missing_tests([Answer("PodSpec", "volumes", HONOURED, "")])) == [
        "PodSpec.volumes: no test is named"
    ]


@pytest.mark.parametrize(
    "row", ["{ silent = 'x' }", "{ refused = 'x', off = 'y' }", "{ honoured = 'x', why = 'y' }"]
)
def test_a_line_of_another_form_is_refused(tmp_path: Path, row: str) -> None:
    table = tmp_path / "table.toml"
    table.write_text(f"[PodSpec]\nx = {row}\n")
    with pytest.raises(ValueError, match=r"PodSpec\.x: wants one of honoured"):
        answers(table)


def test_each_named_test_is_there_and_knows_the_field() -> None:
    assert list(missing_tests(answers())) == []


def test_whoever_honours_a_field_upstream_is_a_program_of_the_control_plane() -> None:
    for answer in answers():
        if answer.kind == UPSTREAM:
            assert answer.text.startswith(COMPONENTS), answer
        if answer.kind == MEANINGLESS:
            assert answer.text.endswith("."), answer


def test_whoever_asks_is_told_of_each_field_that_is_refused_and_of_those_that_are_in_part() -> None:
    listed = dict(refused_fields())
    assert {f"{a.type}.{a.field}" for a in answers() if a.kind == REFUSED} < set(listed)
    assert "HugePages is refused" in listed["EmptyDirVolumeSource.medium"]
    assert "PodSpec.containers" not in listed
    done = spawn.run(["localcluster", "fields"], seconds=60)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "." in line.split()[0]] == list(listed)


def test_the_page_and_the_list_are_as_the_table_says() -> None:
    done = spawn.run([str(ROOT / "scripts" / "fields"), "--check"], seconds=60)
    assert done.returncode == 0, done.stdout
