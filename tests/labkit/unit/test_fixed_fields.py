"""Fields that can't change once an object exists: what the API server (1.37) said, taken word for word."""

import json
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import Refused
from labkit.kube.refusals import immutable, refusal
from labkit.view.refusal import told
from localcluster.api import fixed

FILE = Path(__file__).parents[2] / "golden" / "refusals" / "fixed-fields.json"
SAID: list[dict[str, str]] = json.loads(FILE.read_text())
POD = SAID[0]["message"]


def answered(message: str) -> Refused:
    found = refusal(422, json.dumps({"message": message, "reason": "Invalid"}), what="PATCH /x")
    assert isinstance(found, Refused)
    return found


@pytest.mark.parametrize("said", SAID, ids=lambda s: f"{s['kind']}/{s['name']}")
def test_the_way_out_is_a_line_to_run(said: dict[str, str]) -> None:
    error = answered(said["message"])
    target = f"{said['kind'].lower()}/{said['name']}"
    assert "can't be changed once the object exists" in error.cause
    assert f'lab.delete("{target}"); lab.until("{target} gone")' in error.fix
    assert f"kubectl delete {target}" in error.fix
    assert "\n" not in error.what
    assert len(error.what) < 420


@pytest.mark.parametrize("said", SAID, ids=lambda s: f"{s['kind']}/{s['name']}")
def test_what_is_folded_is_kept(said: dict[str, str]) -> None:
    error = answered(said["message"])
    whole = error.details or error.what
    assert whole.strip() == said["message"].strip()
    assert error.what.split("…")[0].strip() in whole


def test_a_comparison_is_folded_in_a_notebook_and_left_out_of_text() -> None:
    shown = told(answered(POD))._repr_mimebundle_()
    assert "@@" not in shown["text/plain"]
    assert "<details>" in shown["text/html"]
    assert "&quot;Limits&quot;" in shown["text/html"]


def test_a_real_go_comparison_of_older_servers_is_folded_too() -> None:
    sentence = POD.split("\n", maxsplit=1)[0]
    old = f"{sentence}\n  core.PodSpec{{\n  \t... // 2 ignored fields\n- \tNodeName: 1,\n"
    assert "PodSpec{" not in answered(old).what


def test_another_namespace_is_named_in_the_line() -> None:
    error = immutable(POD, elsewhere="default")
    assert "kubectl delete pod/p --namespace default" in error.fix
    assert "lab.delete" not in error.fix


def test_a_service_may_leave_the_field_out() -> None:
    [said] = [s["message"] for s in SAID if s["name"] == "s"]
    assert answered(said).fix.startswith("Take the field out of your file")


@pytest.mark.parametrize(
    "message",
    [
        'Pod "x" is invalid: spec.containers[0].resources.limits[nvidia.com/gpu]: must be an integer',
        'deployments.apps "x" not found',
        'pods "x" is forbidden: exceeded quota: gpus',
        'Service "s" is invalid: spec.ipFamilies[1]: Invalid value: "IPv6": not configured on this cluster',
        'Node "n" is invalid: metadata.labels: Invalid value: "immutable!": a valid label must be …',
    ],
)
def test_other_refusals_advise_no_delete(message: str) -> None:
    assert "delete" not in answered(message).fix.lower()


@pytest.mark.parametrize(
    ("wanted", "there", "fields"),
    [
        ({"a": 1}, {"a": "1"}, []),
        ({"a": {}, "b": []}, {}, []),
        ({"containers": [{"limits": {"gpu": 1}}]}, {"containers": [{"name": "c"}]}, ["containers[0].limits"]),
        ({"secrets": [{"name": "s"}]}, {}, ["secrets"]),
        ({"a": {"b": 2}}, {"a": {"b": 1}}, ["a.b"]),
    ],
)
def test_fields_that_differ_are_named(wanted: Any, there: Any, fields: list[str]) -> None:
    assert list(fixed.changed(wanted, there)) == fields
