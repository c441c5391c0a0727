"""Recorded traces are read to the last digit; their twins have the recorded statistics."""

from __future__ import annotations

import os
from collections.abc import Callable
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


OF_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,2162,5\n"
    "2024-05-10 00:00:01+00:00,2399,6\n"  # no fraction where it is zero
    "2024-05-10 00:00:01.500000+00:00,76,0\n"
    "2024-05-10 02:00:02.250000+02:00,2376,55\n"
)


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "change", [str, lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")]
)
def test_the_form_of_2024_is_read_too(tmp_path: Path, change: Callable[[str], str]) -> None:
    trace = traces.azure(written(tmp_path, change(OF_2024)), verify=False)
    assert trace.times == pytest.approx((0, 0.99007, 1.49007, 2.24007), abs=1e-9)
    assert trace.sizes == ((2162, 5), (2399, 6), (76, 0), (2376, 55))
    assert trace.what == "trace (Azure, 2024)"
    coming = trace.arrivals()
    assert coming.sizes[2] == (76, 1)
    assert coming.what.endswith("1 requests of 0 tokens sent with 1")


def test_a_week_is_read_no_further_than_asked(tmp_path: Path) -> None:
    path = written(tmp_path, OF_2024 + "nonsense\n")
    part = traces.azure(path, verify=False, seconds=1.4)
    assert (len(part), part.seconds) == (2, 1.4)
    assert part.what == "trace (Azure, 2024), its first 1.4 s"
    with pytest.raises(BadInput, match="line 6"):
        traces.azure(path, verify=False)


SECOND = "2023-11-16 18:17:04.0319607,3180,8"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, r"the columns are \[\]"),
        ("a,b,c\n1,2,3\n", 1, "the columns are"),
        (RECORDED.splitlines()[0] + "\n", 2, "there is no request"),
        (RECORDED + ",9\n", 4, "it has 4 values, not 3"),
        (RECORDED.replace(SECOND, "2023-11-16 18:17:04"), 3, "it has 1 values"),
        (RECORDED.replace(SECOND, ""), 3, "it has 0 values"),
        (RECORDED.replace("3180", "many"), 3, "ContextTokens is 'many'"),
        (RECORDED.replace("3180", "3180.5"), 3, "ContextTokens is '3180.5'"),
        (RECORDED.replace(",8", ",-8"), 3, "GeneratedTokens is '-8'"),
        (RECORDED.replace(",8", ",\u0668"), 3, "GeneratedTokens is"),
        (RECORDED.replace("2023-11-16 18:17:04", "16.11.2023 18:17:04"), 3, "is not a time"),
        (RECORDED.replace("18:17:04", "18:61:04"), 3, "is not a time"),
        (RECORDED.replace("18:17:03", "18:18:03"), 3, "not in order of time"),
        (RECORDED.replace(".0319607", ".0319607+00:00"), 3, "unlike the first"),
        (OF_2024.replace("01+00:00", "01"), 3, "unlike the first"),
        (OF_2024.replace("01+00:00", "01+99:00"), 3, "is not a time"),
    ],
)
def test_a_broken_line_is_refused_by_file_and_number(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput, match=says) as caught:
        traces.azure(path, verify=False)
    assert f"{path}, line {line}: " in str(caught.value)


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
