"""`labkit load`: what is typed becomes the load that was meant, or an error that names the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit.cli.load import app
from labkit.errors import BadInput
from labkit.load import LoadResult
from tests.labkit.unit.load_target import FaultyServer


def labkit_load(*args: str) -> str:
    outcome = CliRunner().invoke(app, args, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_help_says_how_the_two_loops_differ() -> None:
    text = labkit_load("--help")
    assert "closed: N users" in text
    assert "open: requests arrive whether or not earlier ones were answered" in text


def test_a_run_from_the_command_line_is_kept_and_shown_again(tmp_path: Path) -> None:
    with FaultyServer().running() as server:
        shape = ("--users", "0:1,5:2", "--seconds", "10", "--tokens-out", "5", "--clock", "20")
        shown = labkit_load("closed", server.url("whole"), *shape, "--out", str(tmp_path))
    assert "closed loop, 1 users from 0 s, 2 users from 5 s" in shown
    assert {row.user for row in LoadResult.load(tmp_path / "requests.jsonl").rows} == {0, 1}
    again = labkit_load("report", str(tmp_path), "--ttft", "1000")
    assert again.splitlines()[0] == shown.splitlines()[0]
    assert "100.0% of" in again


def test_a_server_that_tells_no_tokens_is_reported_in_events(tmp_path: Path) -> None:
    with FaultyServer().running() as server:
        url = server.url("uncounted").replace("127.0.0.1", "localhost")
        shape = ("--users", "1", "--seconds", "10", "--tokens-out", "5", "--clock", "20")
        shown = labkit_load("closed", url, *shape, "--out", str(tmp_path))
    assert " events/s (per lab second)" in shown
    assert "between events" in shown
    assert "answers came without `usage`: their events are counted, not their tokens" in shown
    assert "tokens/s" not in shown
    assert "between events: no usage came" in labkit_load("report", str(tmp_path), "--itl", "1")
    result = LoadResult.load(tmp_path / "requests.jsonl")
    assert not any(result.columns()["counted"])
    assert '"unit": "events"' in result.json()


@pytest.mark.parametrize(
    "args", [(), ("--rate", "1", "--trace", "conv"), ("--burst", "1:6"), ("--ramp", "low:high")]
)
def test_a_shape_that_is_none_is_refused(args: tuple[str, ...]) -> None:
    with pytest.raises(BadInput):
        CliRunner().invoke(app, ["open", "http://127.0.0.1:1", *args], catch_exceptions=False)


def test_known_traces_are_listed_with_their_statistics() -> None:
    assert "conv: 19,366 requests" in labkit_load("traces")


@pytest.mark.parametrize("offset", ["", "+00:00"])
def test_a_file_of_either_year_is_replayed(tmp_path: Path, offset: str) -> None:
    trace = tmp_path / "AzureLLMInferenceTrace_mine.csv"
    moments = [
        f"2024-05-10 00:00:0{second}{fraction}" for second in range(4) for fraction in ("", ".5000000")
    ]
    lines = "".join(f"{moment}{offset},40,3\n" for moment in moments)
    trace.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{lines}")
    with FaultyServer().running() as server:
        options = ("--trace", str(trace), "--seconds", "3", "--clock", "20", "--out", str(tmp_path))
        shown = labkit_load("open", server.url("whole"), *options)
    assert "AzureLLMInferenceTrace_mine (Azure, 2024), its first 3 s" in shown
    rows = LoadResult.load(tmp_path / "requests.jsonl").rows
    assert [(row.due, row.tokens_in, row.tokens_out) for row in rows] == [(n / 2, 40, 3) for n in range(6)]


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    trace = tmp_path / "broken.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00+00:00,1,\n")
    with pytest.raises(BadInput, match=f"{trace}, line 2: .* GeneratedTokens is ''"):
        labkit_load("open", "http://127.0.0.1:1", "--trace", str(trace))
