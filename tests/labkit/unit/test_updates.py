"""What became of requests during updates: counted, and drawn."""

from pathlib import Path

from labkit.evidence.outcomes import outcomes
from labkit.load import LoadResult, Row
from labkit.view import updates

ENDS = [("ok", "v1"), ("ok", "v1"), ("ok", "v2"), ("broken", "v1"), ("reset", ""), ("abandoned", "v2")]


def run(ends: list[tuple[str, str]]) -> LoadResult:
    rows = tuple(Row(i, i, i, i + 30, outcome, version=version) for i, (outcome, version) in enumerate(ends))
    return LoadResult(Path("none"), {"clock": 15}, 0.0, rows, (), "stopped")


def test_what_the_end_cut_off_neither_failed_nor_succeeded() -> None:
    assert outcomes(run(ENDS)) == {
        "requests": 5,
        "answered by v1": 2,
        "answered by v2": 1,
        "broken": 1,
        "reset": 1,
        "failed": 2,
    }


def test_a_server_that_names_no_version_is_counted_too() -> None:
    assert outcomes(run([("ok", "")])) == {"requests": 1, "answered by ?": 1, "failed": 0}


def test_a_panel_for_each_update_with_its_failures() -> None:
    made = updates.picture({"a": run(ENDS), "b": run(ENDS[:3]), "c": run([])}, title="T", stamp="test · 15×")
    shown = [axis for axis in made.figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == ["a: 2 failed", "b: 0 failed", "c: 0 failed"]
    assert str(made) == "T. a: 2 failed (1 broken, 1 reset); b: 0 failed; c: 0 failed."
    words = [text.get_text() for legend in made.figure.legends for text in legend.get_texts()]
    assert words == ["answered by v1", "answered by v2", "broken", "reset"]
    assert "test · 15×" in made.figure.get_supxlabel()


def test_no_two_groups_look_alike() -> None:
    looks = [*updates.VERSIONS, *updates.FAILURES.values(), updates.OTHER]
    assert len({marker for _, marker in looks}) == len(looks)
