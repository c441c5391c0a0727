"""Continuous batching on a virtual clock: FIFO queue, prefill and decode steps, blocks, preemption.

The rules are those of vLLM's V1 scheduler: running sequences first, then the queue in order; long prompts in
chunks of what the token budget leaves; where the cache is full the youngest running sequence gives its blocks
back and is computed anew later. Steps last what the timing profile says. The engine never sleeps and never
reads a clock: it is told the time (lab seconds) and works everything out up to there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from model_server.kv_cache import BlockPool
from model_server.profile import StepTiming, Work
from model_server.request import Request
from model_server.span import Span
from model_server.stats import Run, Stats


@dataclass(frozen=True)
class Limits:
    """What the scheduler may put into one step."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_span_steps: int = 1_000_000


class Engine:
    """The scheduler and its clock. Call `advance` before you read anything."""

    def __init__(self, *, timing: StepTiming, limits: Limits, pool: BlockPool, stats: Stats) -> None:
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.pool = pool
        self.stats = stats
        self._timing = timing
        self._limits = limits
        self._span: Span | None = None

    def submit(self, request: Request, at: float) -> None:
        """A request arrives; it joins the queue's end and is looked at when the current step is over."""
        self.advance(at)
        request.arrival = at
        self.waiting.append(request)
        if self._span is None:
            self._plan(at)
        elif len(self.running) < self._limits.max_num_seqs:
            self._span.cut(at)

    def abort(self, request: Request, at: float) -> None:
        """The client is gone: free slot and blocks at once; the step under way still takes its time."""
        self.advance(at)
        if request.done:
            return
        if request in self.running:
            self.running.remove(request)
            self.pool.release(request.key)
        else:
            self.waiting.remove(request)
        request.finished, request.finish_reason = at, "abort"
        self.stats.finished(request)
        if self._span is not None:
            self._span.cut(at)

    def advance(self, to: float) -> None:
        """Work out everything that has happened until `to`."""
        while self._span is not None:
            span = self._span
            steps = span.completed(to)
            if steps > span.done:
                self._account(span, steps)
            if span.done < span.steps:
                return
            self._retire(span.end)
            self._plan(span.end)

    def next_event(self) -> float | None:
        """The next moment at which a token is the first one or the last one; None while idle."""
        return self._span.end if self._span is not None else None

    def busy_seconds(self, at: float) -> float:
        """Seconds until `at` in which the GPU had work."""
        span = self._span
        return self.stats.busy_s + (max(0.0, at - span.end_of(span.done)) if span is not None else 0.0)

    def _plan(self, at: float) -> None:
        """Put the next step together; a step of decodes only is planned as a run of many."""
        budget = self._limits.max_num_batched_tokens
        batch, preempted = self._keep_running(budget)
        if not preempted:
            batch += self._admit(budget - sum(tokens for _, tokens in batch), at)
        if not batch:
            self._span = None
            return
        steps = 1
        if not preempted and all(r.uncomputed == 1 and r.generated for r, _ in batch):
            steps = min(r.target - r.generated for r, _ in batch)
            steps = min(steps, self._limits.max_span_steps)
            steps = self.pool.steps_that_fit(((r.key, r.computed) for r, _ in batch), steps)
        self._span = Span(
            start=at,
            steps=max(1, steps),
            first=self._timing.seconds(_work(batch)),
            growth=self._timing.context_token_s * len(batch),
            batch=batch,
        )

    def _keep_running(self, budget: int) -> tuple[list[tuple[Request, int]], bool]:
        """Give each running sequence its tokens, oldest first; preempt the youngest where blocks lack."""
        batch: list[tuple[Request, int]] = []
        preempted = False
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            tokens = min(request.uncomputed, budget)
            while not self.pool.grow(request.key, request.computed + tokens):
                preempted = True
                if self._preempt_youngest() is request:
                    return batch, preempted
            batch.append((request, tokens))
            budget -= tokens
            index += 1
        return batch, preempted

    def _preempt_youngest(self) -> Request:
        victim = self.running.pop()
        self.pool.release(victim.key)
        victim.computed = 0
        victim.preemptions += 1
        self.stats.preemptions += 1
        self.waiting.appendleft(victim)
        return victim

    def _admit(self, budget: int, at: float) -> list[tuple[Request, int]]:
        """Take from the queue's front while slots, tokens and blocks last; the first that can't go waits."""
        batch = []
        while self.waiting and budget > 0 and len(self.running) < self._limits.max_num_seqs:
            request = self.waiting[0]
            tokens = min(request.uncomputed, budget)
            if not self.pool.grow(request.key, tokens):
                break
            self.running.append(self.waiting.popleft())
            if request.scheduled is None:
                request.scheduled = at
            batch.append((request, tokens))
            budget -= tokens
        return batch

    def _account(self, span: Span, steps: int) -> None:
        """Credit the steps up to number `steps`: tokens, cache blocks, GPU time, intervals between tokens."""
        since, until = span.end_of(span.done), span.end_of(steps)
        first_end, count = span.end_of(span.done + 1), steps - span.done
        emitting = prompts = 0
        for request, tokens in span.batch:
            if request.done:
                continue
            request.computed += tokens * count
            self.pool.grow(request.key, request.computed)
            if request.uncomputed <= 0:
                prompts += request.prompt if request.first_token is None else 0
                self._emit(request, count, first_end)
                request.last_token = until
                emitting += 1
        if emitting:
            self.stats.steps(prompts + emitting)
            self.stats.steps(emitting, count - 1)
        if count > 1 and emitting:
            length = span.first + span.growth * (span.done + 1)
            run = Run(first=length, growth=span.growth, steps=count - 1, weight=emitting)
            self.stats.intervals.observe_run(run)
        self.stats.busy_s += until - since
        span.done = steps

    def _emit(self, request: Request, count: int, at: float) -> None:
        if request.first_token is None:
            request.first_token = at
            self.stats.first_token(request)
        elif request.last_token is not None:
            self.stats.intervals.observe(at - request.last_token)
        request.generated += count
        self.stats.generation_tokens += count

    def _retire(self, at: float) -> None:
        """Let go of what has all its tokens."""
        for request in [r for r in self.running if r.generated >= r.target]:
            self.running.remove(request)
            self.pool.release(request.key)
            request.finished = at
            self.stats.finished(request)


def _work(batch: list[tuple[Request, int]]) -> Work:
    """What a step with these sequences has to read and compute."""
    prefill = [(r.computed, n) for r, n in batch if not (n == 1 and r.generated)]
    return Work(
        sequences=len(batch),
        tokens=sum(n for _, n in batch),
        context=sum(r.computed + n for r, n in batch),
        pairs=sum(n * (before + (n + 1) / 2) for before, n in prefill),
    )
