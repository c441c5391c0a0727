"""The ledger on the stored logs of a real run: the lesson's crowd at CLOCK=5 (tests/golden/audit)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from course.hpa import audit
from course.hpa.ledger import Ledger, read
from labkit.errors import BadInput
from labkit.evidence import Series, Timeline

GOLDEN = Path(__file__).parents[2] / "golden" / "audit"
CLOCK = 5


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return read(GOLDEN, clock=CLOCK)


def changed(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Ledger:
    """The ledger of the same logs after a change to each of their lines; None takes a line out."""
    for path in GOLDEN.glob("*.log"):
        events = (change(json.loads(line)) for line in path.read_text().splitlines())
        (folder / path.name).write_text("".join(json.dumps(e) + "\n" for e in events if e is not None))
    return read(folder, clock=CLOCK)


def test_every_decision_of_a_real_run_comes_out_again(ledger: Ledger) -> None:
    assert len(ledger.lines) == 73
    assert ledger.disagreements == ()
    assert ledger.agreement == 1.0
    assert [line.did for line in ledger.lines if line.decision.scales] == [2, 4, 8, 10, 9, 7, 4, 2]
    assert "73 syncs, 73 as computed (100.0%)" in repr(ledger)


def test_syncs_are_fifteen_lab_seconds_apart(ledger: Ledger) -> None:
    gaps = [b.at - a.at for a, b in zip(ledger.lines, ledger.lines[1:], strict=False)]
    assert ledger.lines[0].at == 0
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(15.2, abs=0.3)


def test_a_row_tells_each_stage_and_the_reason(ledger: Ledger) -> None:
    row = next(line.row() for line in ledger.lines if line.did == 8)
    assert row["saw"] == "35 over 2 pods, 2 without"
    assert (row["raw"], row["proposed"], row["stabilized"], row["limited"]) == ("14", "14", "14", "8")
    assert (row["desired"], row["did"], row[""]) == ("4 → 8", "8", "✓")
    assert row["why"] == (
        "4 → 8: vllm_request_queue_size is 35 per pod against a target of 5, which asks for 14 "
        "(2 pods without a number counted as 0); "
        "without a behavior one sync goes up to max(2 × 4, 4), which allows 8 now."
    )


def test_telling_lines_are_few_and_hold_every_change(ledger: Ledger) -> None:
    telling = ledger.telling()
    assert len(telling.lines) < len(ledger.lines) / 3
    assert [x.did for x in telling.lines if x.decision.scales] == [2, 4, 8, 10, 9, 7, 4, 2]
    assert len(telling.rows()) == len(telling.lines)


def test_a_part_of_the_ledger(ledger: Ledger) -> None:
    middle = ledger.lines[30].sync.look.at
    late = ledger.of("llm-hpa", namespace="llm-lab", since=middle)
    assert len(late.lines) == 43
    assert late.lines[0].at == 0
    assert ledger.of("another").lines == ()


def test_a_controller_that_does_something_else_is_found_out(tmp_path: Path) -> None:
    def one_more(event: dict[str, Any]) -> dict[str, Any]:
        write = event["verb"] == "update" and event["objectRef"].get("subresource") == "scale"
        if write and event["requestObject"]["spec"]["replicas"] == 8:
            event["requestObject"]["spec"]["replicas"] = 7
        return event

    found = changed(tmp_path, one_more)
    assert [(x.decision.desired, x.did) for x in found.disagreements] == [(8, 7)]
    assert found.disagreements[0].row()[""] == "✗"


def test_a_write_down_to_none_leaves_the_number_out(tmp_path: Path) -> None:
    def to_none(event: dict[str, Any]) -> dict[str, Any]:
        write = event["verb"] == "update" and event["objectRef"].get("subresource") == "scale"
        if write and event["requestObject"]["spec"]["replicas"] == 9:
            del event["requestObject"]["spec"]["replicas"]  # as Go writes a 0 that may be omitted
        return event

    assert [line.did for line in changed(tmp_path, to_none).disagreements] == [0]


def test_another_answer_of_the_adapter_gives_other_decisions(tmp_path: Path) -> None:
    def half(event: dict[str, Any]) -> dict[str, Any]:
        for item in event.get("responseObject", {}).get("items", ()):
            item["value"] = str(int(int(item["value"]) / 8))
        return event

    assert changed(tmp_path, half).agreement < 0.99


def test_pods_that_the_controllers_cache_did_not_know_yet_are_named(tmp_path: Path, ledger: Ledger) -> None:
    """18 waiting ask for 4; shared with two pods more they would be near enough to the target to stay."""
    first = next(line for line in ledger.lines if line.did == 4).sync.look.at
    just_before = datetime.fromtimestamp(first - 0.05, tz=UTC).isoformat()

    def early(event: dict[str, Any]) -> dict[str, Any]:
        done = datetime.fromisoformat(event["stageTimestamp"]).timestamp()
        created = event["objectRef"]["resource"] == "pods" and event["verb"] == "create"
        return event | {"stageTimestamp": just_before} if created and first < done < first + 1 else event

    found = changed(tmp_path, early)
    assert found.disagreements == ()
    assert [line.note for line in found.lines if line.note] == ["with the pods as they stood 50 ms before"]


def test_two_hpas_on_one_target_are_not_judged(tmp_path: Path) -> None:
    def twice(event: dict[str, Any]) -> dict[str, Any]:
        written = event["objectRef"]["resource"] == "horizontalpodautoscalers" and "responseObject" in event
        if written and event["verb"] == "patch":
            other = json.loads(json.dumps(event["responseObject"]))
            other["metadata"] |= {"name": "llm-hpa-cpu", "uid": "other"}
            event["responseObject"] = {"items": [event["responseObject"], other]}
        return event

    assert changed(tmp_path, twice).lines == ()


def test_the_ledger_of_a_recording_is_on_its_clock(ledger: Ledger) -> None:
    first = ledger.lines[0].sync.look.at
    run = Timeline(CLOCK, "test", (Series("desired", "", ((0, 2), (300, 10))),), began=first + 1)
    during = ledger.during(run)
    assert during.lines[0].at == pytest.approx((during.lines[0].sync.look.at - first - 1) * CLOCK)
    assert 0 <= during.lines[0].at < 16
    assert 285 < during.lines[-1].at <= 300
    (at, after, why) = during.sentences()[-1]
    assert (at, after) == (during.lines[-1].at, during.lines[-1].did)
    assert why == during.lines[-1].why


def test_a_sentence_does_not_hide_that_the_controller_did_something_else(ledger: Ledger) -> None:
    line = next(line for line in ledger.lines if line.did == 8)
    other = replace(line, sync=replace(line.sync, did=9))
    assert other.sentence == f"{line.why} But the controller left 9."


def test_what_no_controller_decided_has_no_ledger(ledger: Ledger) -> None:
    with pytest.raises(BadInput, match="No controller"):
        ledger.during(Timeline(1, "what if"))
    with pytest.raises(BadInput, match="no ledger of this cluster"):
        read(None, clock=1)


def test_rotated_logs_and_a_half_written_line_are_read(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    log = tmp_path / "kube-apiserver.log"
    lines = log.read_text().splitlines(keepends=True)
    (tmp_path / "kube-apiserver-2026-11-23T22-32-00.000.log").write_text("".join(lines[:100]))
    log.write_text("".join(lines[100:]) + lines[-1][: len(lines[-1]) // 2])
    assert len(audit.read(tmp_path)) == len(audit.read(GOLDEN))
    assert read(tmp_path, clock=CLOCK).agreement == 1.0


def test_without_logs_there_is_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no audit logs"):
        read(tmp_path / "audit", clock=CLOCK)
