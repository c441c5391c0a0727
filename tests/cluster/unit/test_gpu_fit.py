"""The fit finds the coefficients that made the timings, through noise, and says how far off it is."""

import random

import pytest

from labkit.errors import BadInput
from localcluster.gpus import roofline
from localcluster.gpus.fit import Fit, Sample, coefficients, fit
from localcluster.gpus.profile import StepPart

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
CARDS = ("NVIDIA-L4", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3", "NVIDIA-H200")
NOISE = 0.01


def timings(step: StepPart, *, noise: float, seed: int = 0) -> list[Sample]:
    """The grid of `localcluster.gpus.measure`, with each step's time off by a normal share of itself."""
    rng = random.Random(seed)
    decodes = [
        Sample.decode(batch=batch, context=context, seconds=0.0)
        for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256)
        for context in (128, 512, 1024, 2048, 4096, 8192)
        if batch * context <= 400_000
    ]
    prefills = [Sample.prefill(n, seconds=0.0) for n in (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192)]
    return [_timed(sample, step, rng.gauss(1.0, noise)) for sample in (*decodes, *prefills)]


def _timed(sample: Sample, step: StepPart, factor: float) -> Sample:
    seconds = sample.predicted(step) * factor
    return Sample(sample.sequences, sample.tokens, sample.context, sample.pairs, seconds)


def fitted(card: str, *, noise: float) -> tuple[StepPart, Fit]:
    true = roofline.profile(card, MODEL).step
    return true, fit(timings(true, noise=noise))


def test_a_sample_is_predicted_as_the_profile_does_it() -> None:
    profile = roofline.profile("NVIDIA-L4", MODEL)
    decode = Sample.decode(batch=8, context=400, seconds=1.0)
    assert decode.predicted(profile.step) == pytest.approx(profile.decode_step(batch=8, context=3200))
    prompt = Sample.prefill(900, seconds=1.0)
    assert prompt.predicted(profile.step) == pytest.approx(profile.prefill(900))


@pytest.mark.parametrize("card", CARDS)
def test_without_noise_the_coefficients_come_back(card: str) -> None:
    true, found = fitted(card, noise=0.0)
    assert coefficients(found.step) == pytest.approx(coefficients(true), rel=1e-6)
    assert found.max_relative_error < 1e-9


@pytest.mark.parametrize("card", CARDS)
def test_through_noise_those_that_matter_come_back(card: str) -> None:
    true, found = fitted(card, noise=NOISE)
    assert found.step.weights_s == pytest.approx(true.weights_s, rel=0.05)
    assert found.step.token_s == pytest.approx(true.token_s, rel=0.02)
    assert found.step.context_token_s == pytest.approx(true.context_token_s, rel=0.03)
    assert found.step.pair_s == pytest.approx(true.pair_s, rel=0.25)  # a tenth of the longest prompt's time
    one = Sample.decode(batch=1, context=1, seconds=1.0)
    assert one.predicted(found.step) == pytest.approx(one.predicted(true), rel=0.01)


@pytest.mark.parametrize("card", CARDS)
def test_it_predicts_steps_that_it_has_not_seen(card: str) -> None:
    true, found = fitted(card, noise=NOISE)
    unseen = [Sample.decode(batch=b, context=c, seconds=1.0) for b, c in ((3, 300), (24, 1500), (96, 700))]
    unseen += [Sample.prefill(n, seconds=1.0) for n in (700, 3000)]
    for sample in unseen:
        assert sample.predicted(found.step) == pytest.approx(sample.predicted(true), rel=0.02)


@pytest.mark.parametrize("card", CARDS)
def test_the_error_that_it_tells_is_that_of_the_noise(card: str) -> None:
    _, found = fitted(card, noise=NOISE)
    assert 0.3 * NOISE < found.median_relative_error < NOISE
    assert NOISE < found.max_relative_error < 5 * NOISE
    assert len(found.errors) == len(timings(found.step, noise=0.0))


def test_a_formula_that_does_not_hold_shows_in_the_error() -> None:
    true = roofline.profile("NVIDIA-L4", MODEL).step
    samples = timings(true, noise=0.0)
    samples[3] = _timed(samples[3], true, 1.5)
    assert fit(samples).max_relative_error > 0.2


def test_no_coefficient_is_negative() -> None:
    flat = StepPart(0.0, 0.0, 0.01, 1e-4, 0.0, 0.0)
    found = fit(timings(flat, noise=0.03))
    assert min(coefficients(found.step).values()) >= 0


def test_too_few_steps_and_steps_of_one_kind_are_refused() -> None:
    true = roofline.profile("NVIDIA-L4", MODEL).step
    samples = timings(true, noise=0.0)
    with pytest.raises(BadInput, match="6 steps are not enough"):
        fit(samples[:5] + samples[-1:])
    prompts = [_timed(Sample.prefill(n, seconds=0.0), true, 1.0) for n in range(1000, 9000, 1000)]
    with pytest.raises(BadInput, match="8 steps are not enough"):
        fit(prompts)
    short = [sample for sample in samples if sample.tokens <= 16]
    with pytest.raises(BadInput, match="the cost of a token"):
        fit(short)
