"""Recorded traces are read to the last digit; their twins have the recorded statistics."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

from labkit.errors import BadInput
from labkit.load import traces
from labkit.load.figures import Figures, recorded
from labkit.load.traces import Trace

RECORDED = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 18:17:03.9799600,4808,10\n"
    "2023-11-16 18:17:04.0319607,3180,8\n"
    "2023-11-16 18:17:14.0000000,110,27"  # no newline at the end, as in the published files
)


@pytest.fixture
def small(tmp_path: Path) -> Trace:
    path = tmp_path / "trace.csv"
    path.write_text(RECORDED)
    return traces.azure(path, verify=False)


@cache
def twins(name: str) -> list[Figures]:
    made = [traces.synthetic(name, seed=seed) for seed in range(8)]
    return [Figures.of(trace.times, trace.sizes, seconds=trace.seconds) for trace in made]


def test_seven_digits_and_the_last_line_are_read(small: Trace) -> None:
    assert small.times == pytest.approx((0, 0.0520007, 10.02004), abs=1e-9)
    assert small.sizes == ((4808, 10), (3180, 8), (110, 27))


def test_only_the_published_files_pass_for_the_recorded_traces(tmp_path: Path) -> None:
    path = tmp_path / "AzureLLMInferenceTrace_conv.csv"
    path.write_text(RECORDED)
    with pytest.raises(BadInput, match="not one of the two published"):
        traces.azure(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,c\n1,2,3\n", "columns"),
        (RECORDED + ",9\n", "line 4"),
        (RECORDED.replace("3180", "many"), "line 3"),
        (RECORDED.replace("18:17:03", "18:18:03"), "order of time"),
    ],
)
def test_a_damaged_file_is_refused_by_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=says):
        traces.azure(path, verify=False)


def test_a_missing_file_names_the_twin(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="synthetic"):
        traces.azure(tmp_path / "none.csv")


def test_a_window_starts_at_zero_and_says_so(small: Trace) -> None:
    part = small.window(start=0.05, seconds=10)
    assert part.times == pytest.approx((0.0020007, 9.97004))
    assert part.seconds == 10
    assert "window 0.05 to 10.05 s" in part.what


def test_thinning_keeps_the_bursts_and_says_so() -> None:
    whole = traces.synthetic("code", seed=1)
    thin = whole.thinned(rate=0.5, seed=1)
    assert thin.rate == pytest.approx(0.5, rel=0.1)
    assert set(thin.times) <= set(whole.times)
    assert "thinned to 0.5/s" in thin.arrivals().what
    with pytest.raises(BadInput, match="thinned"):
        whole.thinned(rate=100)


def test_a_share_of_the_users_keeps_quiet_stretches_quiet(small: Trace) -> None:
    whole = traces.synthetic("code", seed=1)
    part = whole.share(0.27, seed=1)
    assert part.rate == pytest.approx(0.27 * whole.rate, rel=0.1)
    assert set(part.times) <= set(whole.times)
    assert "27% of its requests" in part.what
    assert len(small.share(0.0)) == 0


def test_how_recorded_time_became_lab_time_is_said(small: Trace) -> None:
    assert small.arrivals().what.endswith("1 recorded s in 1 lab s")
    fast = small.faster(2).faster(2)
    assert fast.times == pytest.approx([t / 4 for t in small.times])
    assert (fast.seconds, fast.arrivals().what[-23:]) == (small.seconds / 4, "4 recorded s in 1 lab s")


def test_the_recorded_file_is_taken_where_it_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_TRACES", str(tmp_path))
    assert traces.get("code", seconds=300, seed=5) == traces.synthetic("code", seconds=300, seed=5)
    (tmp_path / "AzureLLMInferenceTrace_code.csv").write_text(RECORDED)
    with pytest.raises(BadInput, match="not one of the two published"):
        traces.get("code", seconds=300)


def test_the_seed_chooses_the_stretch_of_a_recorded_trace() -> None:
    if not os.environ.get("LABKIT_TRACES"):
        pytest.skip("LABKIT_TRACES names no folder with the published files")
    one, again, other = (traces.get("code", seconds=300, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.what != other.what
    assert one.what.startswith("code (Azure, 2023), window ")
    assert one.seconds == 300


def test_sizes_travel_with_the_arrivals() -> None:
    trace = traces.synthetic("conv", seconds=60).capped(tokens_in=1000, tokens_out=100)
    coming = trace.arrivals()
    assert coming.sizes == trace.sizes
    assert max(size[0] for size in coming.sizes) <= 1000
    assert max(size[1] for size in coming.sizes) <= 100


def test_the_same_seed_gives_the_same_twin() -> None:
    assert (
        traces.synthetic("code", seconds=300, seed=5).times
        == traces.synthetic("code", seconds=300, seed=5).times
    )
    assert (
        traces.synthetic("code", seconds=300, seed=6).times
        != traces.synthetic("code", seconds=300, seed=5).times
    )


def test_an_unknown_twin_names_the_known() -> None:
    with pytest.raises(BadInput, match="code, conv"):
        traces.synthetic("chat")


# Twins differ from seed to seed as one hour differs from another: the mean of eight is held to the record.
@pytest.mark.parametrize(("name", "tolerance"), [("conv", 0.15), ("code", 0.30)])
def test_twins_have_the_recorded_statistics(name: str, tolerance: float) -> None:
    known, made = recorded()[name], twins(name)
    for figure in ("rate", "gap_cv", "dispersion_1", "dispersion_10", "dispersion_60"):
        mean = fmean(getattr(twin, figure) for twin in made)
        assert mean == pytest.approx(getattr(known, figure), rel=tolerance), figure
    assert fmean(twin.idle for twin in made) == pytest.approx(known.idle, abs=0.05)


@pytest.mark.parametrize("name", ["conv", "code"])
@pytest.mark.parametrize("table", ["tokens_in", "tokens_out"])
def test_twins_have_the_recorded_token_counts(name: str, table: str) -> None:
    known, twin = getattr(recorded()[name], table), getattr(twins(name)[0], table)
    for place in (10, 20, 30, 38):  # quartiles and the 95th percentile
        assert twin[place] == pytest.approx(known[place], rel=0.15)


@pytest.mark.parametrize("name", ["conv", "code"])
def test_the_figures_are_those_of_the_published_file(name: str) -> None:
    folder = os.environ.get("LABKIT_TRACES")
    if not folder:
        pytest.skip("LABKIT_TRACES names no folder with the published files")
    trace = traces.azure(Path(folder) / f"AzureLLMInferenceTrace_{name}.csv")
    made = Figures.of(trace.times, trace.sizes, seconds=trace.seconds)
    assert made.toml(name).strip() == recorded()[name].toml(name).strip()
