"""The workflow of a public CI: it parses, calls what exists, and holds no more rights than it needs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
WORKFLOW = yaml.safe_load(TEXT)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps() -> Iterator[dict[str, Any]]:
    for job in WORKFLOW["jobs"].values():
        yield from job["steps"]


def called() -> list[str]:
    """What stands after `make` in all of its commands."""
    commands = (line for step in steps() for line in step.get("run", "").splitlines())
    return [word for line in commands if line.startswith("make ") for word in line.split()[1:]]


def test_it_calls_make_targets_that_exist() -> None:
    assert called(), "a CI that calls no target tests nothing"
    assert set(called()) <= TARGETS


def test_both_clusters_are_tested() -> None:
    assert {"test", "test-kind"} <= set(called())


@pytest.mark.parametrize("step", [step for step in steps() if "uses" in step], ids=lambda s: s["uses"])
def test_actions_are_pinned_to_a_commit(step: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
    assert re.search(rf"{step['uses']} # v\d+\.\d+\.\d+$", TEXT, re.MULTILINE), "and the version is told"


def test_it_may_only_read_and_knows_no_secret() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in WORKFLOW["jobs"].values())
    assert "secrets." not in TEXT


def test_every_job_ends_and_keeps_its_notebooks() -> None:
    for job in WORKFLOW["jobs"].values():
        assert job["timeout-minutes"] <= 90
        assert "/**/*.ipynb" in job["steps"][-1]["with"]["path"]
        assert job["steps"][-1]["if"] == "always()"


FORMS = sorted(
    set((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) - {ROOT / ".github/ISSUE_TEMPLATE/config.yml"}
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_an_issue_form_has_what_github_asks_for(form: Path) -> None:
    asked = yaml.safe_load(form.read_text())
    assert asked["name"]
    assert asked["description"]
    fields = [field["id"] for field in asked["body"]]
    assert fields
    assert len(set(fields)) == len(fields)
    assert all(field["attributes"]["label"] for field in asked["body"])
