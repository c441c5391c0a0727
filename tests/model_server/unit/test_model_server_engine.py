"""The engine on its virtual clock: order, limits, memory; many steps at once are the same as one by one."""

import random
from dataclasses import dataclass

import pytest
from model_server.engine import Engine, Limits
from model_server.kv_cache import BlockPool
from model_server.profile import StepTiming, Work, find
from model_server.request import Request
from model_server.span import Span
from model_server.stats import PER_TOKEN, Histogram, Run, Stats, sizes_up_to

L4 = find(product="NVIDIA-L4", model="meta-llama/Llama-3.1-8B-Instruct").step
ROUND = StepTiming(
    overhead_s=0.0, sequence_s=0.0, weights_s=1.0, token_s=0.0, context_token_s=0.0, pair_s=0.0
)
"""Every step lasts one second: a schedule can be worked out by hand."""


def engine(*, seqs: int = 8, blocks: int = 10_000, tokens: int = 2048, timing: StepTiming = ROUND) -> Engine:
    return Engine(timing=timing, limits=Limits(seqs, tokens), pool=BlockPool(blocks=blocks), stats=Stats())


def finish(e: Engine) -> None:
    while (at := e.next_event()) is not None:
        e.advance(at)


def test_the_first_token_comes_when_the_prompt_has_been_read() -> None:
    e = engine(timing=L4)
    request = Request(prompt=700, target=3)
    e.submit(request, 5.0)
    finish(e)
    prefill = L4.seconds(Work(sequences=1, tokens=700, context=700, pairs=700 * 701 / 2))
    assert request.first_token == pytest.approx(5.0 + prefill)
    second = L4.seconds(Work(sequences=1, tokens=1, context=701))
    third = L4.seconds(Work(sequences=1, tokens=1, context=702))
    assert request.finished == pytest.approx(5.0 + prefill + second + third)


def test_first_come_first_served_and_never_more_than_max_num_seqs() -> None:
    e = engine(seqs=2)
    requests = [Request(prompt=10, target=4) for _ in range(5)]
    for request in requests:
        e.submit(request, 0.0)
        assert len(e.running) <= 2
    assert len(e.waiting) == 4, "the others came while the first step was under way"
    finish(e)
    assert [r.scheduled for r in requests] == [0, 1, 4, 5, 8]
    assert [r.finished for r in requests] == [4, 5, 8, 9, 12]


def test_a_newcomer_waits_for_the_step_under_way_only() -> None:
    e = engine()
    first, second = Request(prompt=10, target=100), Request(prompt=10, target=100)
    e.submit(first, 0.0)
    e.submit(second, 20.5)
    assert first.generated == 20
    e.advance(22.0)
    assert second.scheduled == 21
    assert second.first_token == 22


def test_tokens_of_a_long_run_are_seen_as_they_come() -> None:
    e = engine()
    request = Request(prompt=10, target=1000)
    e.submit(request, 0.0)
    for moment in (1.0, 7.5, 8.0, 500.0):
        e.advance(moment)
        assert request.generated == int(moment)
        assert e.busy_seconds(moment) == pytest.approx(moment)
    assert e.next_event() == 1000


def test_long_prompts_are_read_in_chunks_beside_the_running_sequences() -> None:
    e = engine(tokens=100)
    small, large = Request(prompt=10, target=50), Request(prompt=250, target=1)
    e.submit(small, 0.0)
    e.submit(large, 0.5)
    finish(e)
    assert large.first_token == 4, "99 + 99 + 52 tokens in the steps that begin at 1, 2 and 3"
    assert small.finished == 50


def test_a_full_cache_preempts_the_youngest_and_it_ends_all_the_same() -> None:
    e = engine(blocks=8)
    old, young = Request(prompt=48, target=60), Request(prompt=48, target=60)
    e.submit(old, 0.0)
    e.submit(young, 0.0)
    finish(e)
    assert (old.preemptions, young.preemptions) == (0, 1)
    assert e.stats.preemptions == 1
    assert old.generated == young.generated == 60
    assert old.finished is not None
    assert young.finished is not None
    assert young.finished > old.finished
    assert e.pool.free == 8
    assert e.stats.generation_tokens == 120
    assert e.stats.prompt_tokens == 96, "recomputing is not counted as another prompt"


def test_a_request_that_does_not_fit_yet_holds_up_those_behind_it() -> None:
    e = engine(blocks=10)
    requests = [Request(prompt=100, target=30), Request(prompt=100, target=1), Request(prompt=1, target=1)]
    for request in requests:
        e.submit(request, 0.0)
    finish(e)
    assert [r.scheduled for r in requests] == [0, 30, 30]


@pytest.mark.parametrize("waiting", [False, True])
def test_an_aborted_request_gives_back_its_slot_and_its_blocks(waiting: bool) -> None:  # noqa: FBT001
    e = engine(seqs=1)
    first, second = Request(prompt=64, target=1000), Request(prompt=64, target=5)
    e.submit(first, 0.0)
    e.submit(second, 1.5)
    e.abort(second if waiting else first, 3.5)
    assert e.stats.requests["abort"] == 1
    if waiting:
        assert not e.waiting
        return
    assert e.pool.usage == 0
    finish(e)
    assert second.scheduled == 4, "the step under way takes its time, then the next one starts"
    assert first.generated == 3
    e.abort(first, 20.0)
    assert e.stats.requests["abort"] == 1


@dataclass
class Replayed:
    stats: Stats
    requests: list[Request]
    free: int


def replay(*, seed: int, blocks: int, span: int) -> Replayed:
    """One random hour of arrivals and aborts; `span` 1 goes through every step by itself."""
    rng = random.Random(seed)
    stats = Stats()
    e = Engine(
        timing=L4, limits=Limits(8, 2048, max_span_steps=span), pool=BlockPool(blocks=blocks), stats=stats
    )
    requests: list[Request] = []
    aborts: list[tuple[float, Request]] = []
    now = 0.0
    for _ in range(60):
        now += rng.expovariate(0.8)
        for moment, request in sorted((a for a in aborts if a[0] <= now), key=lambda a: a[0]):
            e.abort(request, moment)
        aborts = [a for a in aborts if a[0] > now]
        requests.append(Request(prompt=rng.randint(1, 3000), target=rng.randint(1, 300)))
        e.submit(requests[-1], now)
        if rng.random() < 0.15:
            aborts.append((now + rng.random() * 10, requests[-1]))
    finish(e)
    return Replayed(stats, requests, e.pool.free)


@pytest.mark.parametrize(("seed", "blocks"), [(1, 1856), (2, 1856), (3, 300), (4, 260)])
def test_many_steps_at_once_give_the_same_as_one_by_one(seed: int, blocks: int) -> None:
    coarse = replay(seed=seed, blocks=blocks, span=10**6)
    fine = replay(seed=seed, blocks=blocks, span=1)
    assert coarse.stats.preemptions == fine.stats.preemptions
    assert (coarse.stats.preemptions > 0) == (blocks < 1000)
    for one, other in zip(coarse.requests, fine.requests, strict=True):
        assert one.generated == other.generated
        assert one.first_token == pytest.approx(other.first_token)
        assert one.finished == pytest.approx(other.finished)
    assert coarse.stats.intervals.counts == fine.stats.intervals.counts
    assert coarse.stats.intervals.sum == pytest.approx(fine.stats.intervals.sum)
    assert coarse.stats.step_tokens.counts == fine.stats.step_tokens.counts
    assert coarse.stats.step_tokens.sum == fine.stats.step_tokens.sum
    assert coarse.stats.requests == fine.stats.requests
    assert coarse.stats.busy_s == pytest.approx(fine.stats.busy_s)
    assert coarse.free == fine.free == blocks


def test_a_run_of_steps_fills_the_same_buckets_as_its_steps() -> None:
    at_once, single = Histogram(PER_TOKEN), Histogram(PER_TOKEN)
    run = Run(first=0.0649, growth=1e-5, steps=3000, weight=4)
    at_once.observe_run(run)
    for step in range(run.steps):
        single.observe(run.first + run.growth * step, run.weight)
    assert at_once.counts == single.counts
    assert at_once.sum == pytest.approx(single.sum)


def test_edges_of_sizes_are_one_two_five() -> None:
    assert sizes_up_to(8192)[:6] == (1, 2, 5, 10, 20, 50)
    assert sizes_up_to(8192)[-1] == 5000


@pytest.mark.parametrize("growth", [0.0, 4e-6, 1e-3])
def test_a_span_knows_how_many_steps_are_over(growth: float) -> None:
    span = Span(start=100.0, steps=500, first=0.06, growth=growth, batch=[])
    for step in (0, 1, 2, 17, 499, 500):
        assert span.completed(span.end_of(step)) == step
        assert span.completed(span.end_of(step) - 1e-4) == max(0, step - 1)
    assert span.completed(99.0) == 0
    assert span.completed(1e9) == 500


def test_the_pool_counts_blocks_not_tokens() -> None:
    pool = BlockPool(blocks=4)
    assert pool.grow(1, 17)
    assert pool.free == 2
    assert not pool.grow(2, 33)
    assert pool.free == 2, "a refused request takes nothing"
    assert pool.steps_that_fit([(1, 17)], 1000) == 47, "up to 64 tokens"
    pool.release(1)
    assert pool.usage == 0
