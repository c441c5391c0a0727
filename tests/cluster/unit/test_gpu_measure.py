"""Measuring a GPU: everything but CUDA itself. What needs torch (on a CPU) is skipped where torch is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module, util
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput
from localcluster.gpus import roofline
from localcluster.gpus.fit import Sample, fit
from localcluster.gpus.measure import machine, report
from localcluster.gpus.measure.__main__ import main
from localcluster.gpus.measure.shape import TINY, Shape
from localcluster.gpus.profile import GpuPart, Profile, load
from localcluster.gpus.roofline import Figures

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
H100 = machine.read_card("NVIDIA H100 80GB HBM3, 81559, 700.00, 71.20, 4, 580.95.05")
WITH_TORCH = pytest.mark.skipif(util.find_spec("torch") is None, reason="torch is not installed")


def samples(profile: Profile, *, factor: float) -> list[Sample]:
    """Steps that take `factor` times as long as a profile says."""
    decodes = [(b, c, profile.decode_step(batch=b, context=b * c)) for b in (1, 8, 64) for c in (128, 2048)]
    made = [Sample.decode(batch=b, context=c, seconds=s * factor) for b, c, s in decodes]
    return made + [Sample.prefill(n, seconds=profile.prefill(n) * factor) for n in (64, 512, 2048, 4096)]


def measured(gpu: GpuPart, *, memory: report.Memory | None = None) -> tuple[Profile, list[Sample]]:
    """A profile as the program makes it, of a card a quarter slower than its roofline."""
    steps = samples(roofline.profile("NVIDIA-H100-80GB-HBM3", MODEL), factor=1.25)
    facts = {"machine": "a test", "versions": "torch 2", "date": "2026-11-25"}
    subject = report.Subject(gpu, MODEL, Shape.of(MODEL), facts)
    speeds = {"nvme": 3e9, "page_cache": 9e9}
    memory = memory or report.Memory(420, 900)
    return report.profile(subject, fit(steps), memory=memory, weights_per_second=speeds), steps


@pytest.mark.parametrize("model", Figures.read().models)
def test_a_shape_has_as_many_parameters_as_the_hub_counts(model: str) -> None:
    assert Shape.of(model).parameters == Figures.read().models[model]["parameters"]


def test_a_card_is_read_as_nvidia_smi_prints_it() -> None:
    assert H100.product == "NVIDIA-H100-80GB-HBM3"
    assert H100.part(idle_watts=70.5) == GpuPart("NVIDIA-H100-80GB-HBM3", 81559, 700.0, 70.5)
    assert machine.read_card("NVIDIA GB10, 0, [N/A], 9.1, 0, 580.95.05").limit_watts == 0


def test_a_measured_profile_can_be_read_back_and_replaces_the_roofline(tmp_path: Path) -> None:
    made, _ = measured(H100.part(idle_watts=71.2))
    path = tmp_path / f"{made.name}.toml"
    path.write_text(report.text(made))
    again = load(path)
    assert again.source == "measured"
    assert again.fit["machine"] == "a test"
    assert again.fit["max_relative_error"] < 1e-6
    assert "host_cpu" in again.fit["assumed"]
    assert again.name in {p.name for p in roofline.every_profile()}, "or it would replace nothing"
    assert again.model == roofline.profile("NVIDIA-H100-80GB-HBM3", MODEL).model


def test_what_was_measured_takes_the_place_of_what_was_assumed() -> None:
    made, _ = measured(H100.part(idle_watts=71.2), memory=report.Memory(None, 900))
    assumed = Figures.read().assumptions
    assert made.memory == {"context_mib": assumed["memory"]["context_mib"], "activation_mib": 900}
    speeds = made.startup["weights_bytes_per_second"]
    assert speeds == {"network": 0.5e9, "nvme": 3e9, "page_cache": 9e9}
    assert made.startup["compile_s"] == assumed["startup"]["compile_s"]


def test_the_page_holds_it_against_the_roofline() -> None:
    made, steps = measured(H100.part(idle_watts=71.2))
    text = report.page(made, steps)
    assert "| weights_s | 0.007001 | 0.005601 | 1.25 |" in text
    assert text.count("| 1.25 |") == 6 + len(steps), "every coefficient and every step"


def test_a_card_without_published_figures_is_measured_all_the_same(tmp_path: Path) -> None:
    made, steps = measured(GpuPart("NVIDIA-L40S", 46068, 350.0, 30.0))
    assert "no roofline to compare with" in report.page(made, steps)
    for name in ("gpus", "models", "assumptions"):
        (tmp_path / f"{name}.toml").write_text((roofline.FIGURES / f"{name}.toml").read_text())
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "mine.toml").write_text(report.text(made))
    assert roofline.every_profile(tmp_path)[-1].name == "nvidia-l40s_llama-3.1-8b-instruct"


def test_without_a_gpu_it_says_how_to_try_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match="--device cpu --model tiny"):
        machine.card()


@pytest.mark.skipif(util.find_spec("torch") is not None, reason="torch is installed")
def test_without_torch_it_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--model", TINY]) == BadInput.exit_code
    assert f"{sys.executable} -m pip install torch" in capsys.readouterr().err


@pytest.fixture(scope="module")
def decoder() -> Any:
    pytest.importorskip("torch")
    module = import_module("localcluster.gpus.measure.decoder")
    module.torch.manual_seed(0)
    place = module.Place("cpu", module.torch.float64)
    return module.Decoder(Shape.of(TINY), place, module.Room(tokens=256, longest=64))


@WITH_TORCH
def test_a_decode_step_is_what_reading_the_longer_prompt_would_be(decoder: Any) -> None:
    """The cache, the positions and the grouped heads are right, or the two would part."""
    torch = import_module("torch")
    prompt = torch.randint(0, 256, (40,), generator=torch.Generator().manual_seed(1))
    logits = _last_hidden(decoder, lambda: decoder.prefill(prompt))
    decoder.prefill(prompt[:-1])
    stepped = _last_hidden(decoder, lambda: decoder.decode(prompt[-1:], context=40))
    assert torch.allclose(logits, stepped, rtol=1e-9, atol=1e-12)


@WITH_TORCH
def test_sequences_of_a_batch_do_not_see_each_other(decoder: Any) -> None:
    torch = import_module("torch")
    decoder._cache.normal_(generator=torch.Generator().manual_seed(2))
    both = _last_hidden(decoder, lambda: decoder.decode(torch.tensor([3, 7]), context=10))
    alone = _last_hidden(decoder, lambda: decoder.decode(torch.tensor([3]), context=10))
    assert torch.allclose(both[:1], alone, rtol=1e-9, atol=1e-12)


@WITH_TORCH
def test_the_weights_are_as_many_as_the_shape_says(decoder: Any) -> None:
    assert sum(tensor.numel() for tensor in decoder.weights.tensors()) == decoder.shape.parameters


@WITH_TORCH
def test_the_whole_program_runs_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--device", "cpu", "--model", TINY, "--load-gib", "0.07", "--disk", "nvme"]
    assert main([*arguments, "--folder", str(tmp_path), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "decode, batch 4, context 64" in said.err
    made = load(tmp_path / "gpu-profile" / "no-gpu_tiny.toml")
    assert "a test of the program" in made.fit["machine"]
    assert made.startup["weights_bytes_per_second"]["nvme"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["gpu-profile"], "the loaded file is gone"


def _last_hidden(decoder: Any, step: Callable[[], object]) -> Any:
    """What goes into the output layer: tells more than the token that comes out of it."""
    seen: list[Any] = []
    decoder._next, kept = seen.append, decoder._next
    step()
    decoder._next = kept
    return seen[0]
