"""The timing profiles: where the figures come from, and that the model server reads them as labkit does."""

from pathlib import Path

import pytest
from model_server import profile as served
from model_server.profile import Work

from labkit.errors import BadInput
from localcluster.gpus import roofline
from localcluster.gpus.profile import Profile, load, to_toml

L4, LLAMA = "NVIDIA-L4", "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture(scope="module")
def l4() -> Profile:
    return roofline.profile(L4, LLAMA)


def test_the_image_holds_exactly_what_the_figures_give() -> None:
    held = {path.name: path.read_text() for path in roofline.PROFILES.glob("*.toml")}
    assert held == roofline.files(), "run `python -m localcluster.gpus.roofline`"


def test_every_figure_names_its_source() -> None:
    figures = roofline.Figures.read()
    for table in (figures.gpus, figures.models):
        assert all(entry["source"] for entry in table.values())
    assert all(row["source"] for row in figures.assumptions["compared"])


@pytest.mark.parametrize(("what", "published", "ours"), roofline.comparisons())
def test_a_decode_step_is_within_a_tenth_of_what_others_measured(
    what: str, published: float, ours: float
) -> None:
    assert ours == pytest.approx(published, rel=0.10), what


def test_weights_bound_small_batches_and_arithmetic_bounds_long_prompts(l4: Profile) -> None:
    alone = l4.decode_step(batch=1, context=300)
    eight = l4.decode_step(batch=8, context=2400)
    assert eight < 1.05 * alone, "eight sequences read the weights once, like one"
    assert l4.prefill(2000) > 1.9 * l4.prefill(1000)
    assert l4.prefill(10) == pytest.approx(alone, rel=0.02)


def test_footprint_of_the_8b_model(l4: Profile) -> None:
    assert l4.model.kv_bytes_per_token == 128 * 1024
    assert l4.model.weights_bytes == pytest.approx(16.06e9, rel=0.001)
    assert 1500 < l4.kv_blocks() < 2500
    assert l4.kv_blocks(gpu_memory_utilization=0.5) == 0


def test_a_batch_of_eight_serves_nearly_eight_times_as_much_as_one(l4: Profile) -> None:
    one = l4.requests_per_second(batch=1, prompt=200, output=200)
    eight = l4.requests_per_second(batch=8, prompt=200, output=200)
    assert 7 < eight / one < 8


def test_the_server_computes_the_same_step(l4: Profile) -> None:
    theirs = served.find(product=L4, model=LLAMA)
    step = theirs.step.seconds(Work(sequences=8, tokens=8, context=2400))
    assert step == pytest.approx(l4.decode_step(batch=8, context=2400), rel=1e-5)
    prompt = theirs.step.seconds(Work(sequences=1, tokens=900, context=900, pairs=900 * 901 / 2))
    assert prompt == pytest.approx(l4.prefill(900), rel=1e-5)


def test_a_profile_survives_its_file(l4: Profile, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(to_toml(l4))
    again = load(path)
    assert again.gpu == l4.gpu
    assert again.model == l4.model
    assert again.step.weights_s == pytest.approx(l4.step.weights_s, rel=1e-5)


def test_a_measured_profile_replaces_the_roofline(l4: Profile, tmp_path: Path) -> None:
    for name in ("gpus", "models", "assumptions"):
        (tmp_path / f"{name}.toml").write_text((roofline.FIGURES / f"{name}.toml").read_text())
    measured = to_toml(l4).replace('source = "roofline"', 'source = "measured"')
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "mine.toml").write_text(f'{measured}\n[fit]\nmachine = "a test"\n')
    found = {p.name: p for p in roofline.every_profile(tmp_path)}
    assert found[l4.name].source == "measured"
    assert found[l4.name].fit == {"machine": "a test"}
    assert sum(p.source == "measured" for p in found.values()) == 1


def test_an_unknown_gpu_and_a_broken_file_are_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="NVIDIA-L4"):
        roofline.profile("NVIDIA-L5", LLAMA)
    path = tmp_path / "half.toml"
    path.write_text('name = "half"\n')
    with pytest.raises(BadInput, match="source"):
        load(path)
