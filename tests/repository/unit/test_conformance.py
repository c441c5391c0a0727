"""What came of Kubernetes' own suite: each failure has a reason, each reason a failure; the page agrees."""

import json
import re
from pathlib import Path

from tests.conformance import page, results
from tests.conformance.suite import Selection, areas


def stored(state: str) -> list[str]:
    found = [results.load(folder, name) for folder in page.STORED.iterdir() for name in areas()]
    return [spec.name for area in found if area for spec in area.those(state)]


def test_the_page_is_as_the_stored_results_say() -> None:
    assert page.main(check=True) == 0


def test_every_failure_has_a_reason() -> None:
    assert [name for name in stored(results.FAILED) if not page.reason(name)] == []


def test_every_reason_is_for_specs_that_fail() -> None:
    failed, passed = stored(results.FAILED), stored(results.PASSED)
    for entry in page.entries():
        assert any(re.search(entry["spec"], name) for name in failed), entry
        assert not [name for name in passed if re.search(entry["spec"], name)], entry


def test_ci_runs_something_of_every_area_that_runs_side_by_side() -> None:
    chosen = page.slice_of_all()
    for name, selection in areas().items():
        area = results.load(page.STORED / "embedded", name)
        if area and selection.ci and selection.procs > 1:
            names = [spec.name for spec in area.those(results.PASSED)]
            assert any(re.search(focus, f"suite {one}") for one in names for focus in chosen.focus), name


def test_a_spec_is_selected_by_its_name_alone() -> None:
    name = "[sig-node] Pods (a.b) should be updated & more [Conformance]"
    (focus,) = Selection("", "").named([name]).focus
    assert re.search(focus, f"Kubernetes e2e suite {name}")
    assert not re.search(focus, f"Kubernetes e2e suite {name} twice")


def test_a_report_of_ginkgo_is_read(tmp_path: Path) -> None:
    spec = {
        "LeafNodeType": "It",
        "ContainerHierarchyTexts": ["[sig-node] Pods"],
        "LeafNodeText": "should run",
        "State": "passed",
        "NumAttempts": 1,
        "RunTime": 2_100_000_000,
    }
    failure = {"Message": "no", "Location": {"FileName": "/m/k8s/test/e2e/pods.go", "LineNumber": 7}}
    suite = [
        spec,
        spec | {"LeafNodeText": "should fail", "State": "timedout", "Failure": failure},
        spec | {"LeafNodeText": "was left out by the suite", "State": "skipped"},
        spec | {"LeafNodeText": "was not chosen", "State": "skipped", "NumAttempts": 0},
        spec | {"LeafNodeType": "BeforeSuite", "LeafNodeText": "", "State": "failed", "Failure": failure},
    ]
    report = tmp_path / "report.json"
    report.write_text(json.dumps([{"SpecReports": suite}]))
    assert [(s.name, s.state, s.seconds, s.place) for s in results.read(report)] == [
        ("BeforeSuite", "failed", 2.1, "e2e/pods.go:7"),
        ("[sig-node] Pods should fail", "failed", 2.1, "e2e/pods.go:7"),
        ("[sig-node] Pods should run", "passed", 2.1, ""),
        ("[sig-node] Pods was left out by the suite", "skipped", 2.1, ""),
    ]
