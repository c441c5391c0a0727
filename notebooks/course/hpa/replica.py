"""One model server of the what-if model: a queue, a batch of limited size, steps as long as in the profile.

The rules are those of continuous batching (queue in order, long prompts in chunks of a step's token budget);
runs of equal decode steps are computed at once, which is why it is fast. It is given the time and reads no
clock. Preemption is left out on purpose (a request is admitted when all its tokens fit into the KV cache).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from localcluster.gpus.profile import BLOCK_TOKENS, Profile, StepPart

EPSILON = 1e-9


@dataclass(slots=True, eq=False)
class Request:
    """One request: its arrival and size; `first` and `end` are filled in later. Lab seconds."""

    arrival: float
    prompt: int
    output: int
    first: float = math.inf
    end: float = math.inf
    unread: int = 0
    left: int = 0
    context: int = 0

    @property
    def tokens(self) -> int:
        """The KV-cache tokens that it takes up when done."""
        return self.prompt + self.output


@dataclass(frozen=True)
class Server:
    """One replica's limits: step times, sequences at once, tokens per step, tokens in the KV cache."""

    step: StepPart
    max_num_seqs: int
    cache_tokens: int
    budget: int = 2048

    @classmethod
    def of(cls, profile: Profile, *, max_num_seqs: int) -> Server:
        """The model server on one GPU, with vLLM's default share of the VRAM."""
        return cls(profile.step, max_num_seqs, profile.kv_blocks() * BLOCK_TOKENS)


@dataclass(slots=True)
class Replica:
    """The state of one server. `until` is when the current run of steps ends (infinity while idle)."""

    server: Server
    waiting: deque[Request] = field(default_factory=deque)
    running: list[Request] = field(default_factory=list)
    until: float = math.inf
    busy: float = 0.0
    _held: int = 0
    _start: float = 0.0
    _first: float = 0.0
    _growth: float = 0.0
    _steps: int = 0
    _reading: list[tuple[Request, int]] = field(default_factory=list)
    _decoding: list[Request] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether it has nothing left to do."""
        return not self.running and not self.waiting

    def submit(self, request: Request, at: float) -> bool:
        """Add a request; return whether that changed `until`."""
        request.unread, request.left = request.prompt, request.output
        self.waiting.append(request)
        if self.until == math.inf:
            self._plan(at)
            return True
        if self._steps > 1 and len(self.running) < self.server.max_num_seqs:
            self._cut(at)
            return True
        return False

    def finish(self) -> None:
        """End the run of steps: hand out its tokens, release finished requests, plan the next run."""
        end, steps = self.until, self._steps
        self.busy += end - self._start
        for request, tokens in self._reading:
            request.unread -= tokens
            request.context += tokens
            if request.unread == 0:
                request.first = end
                request.left -= 1
        for request in self._decoding:
            request.left -= steps
            request.context += steps
        self._retire(end)
        self._plan(end)

    def _retire(self, at: float) -> None:
        done = [request for request in self.running if request.left <= 0 and not request.unread]
        for request in done:
            request.end = at
            self._held -= request.tokens
            self.running.remove(request)

    def _plan(self, at: float) -> None:
        """Plan the next steps: a single one while reading a prompt, else until the batch changes."""
        self._admit()
        if not self.running:
            self.until = math.inf
            return
        self._reading = []
        self._decoding = [request for request in self.running if not request.unread]
        if len(self._decoding) < len(self.running):
            self._read()
        self._start = at
        if self._reading:
            self._steps, self._growth, self._first = 1, 0.0, self._seconds()
        else:
            self._steps = min([request.left for request in self.running])
            self._growth = self.server.step.context_token_s * len(self.running)
            self._first = self._seconds()
        self.until = self._end(self._steps)

    def _read(self) -> None:
        """Distribute the step's tokens to prompts, in order; each decoding request already has one."""
        budget = self.server.budget - len(self._decoding)
        for request in self.running:
            if request.unread and budget > 0:
                tokens = min(request.unread, budget)
                self._reading.append((request, tokens))
                budget -= tokens

    def _admit(self) -> None:
        server = self.server
        while self.waiting and len(self.running) < server.max_num_seqs:
            if self.running and self._held + self.waiting[0].tokens > server.cache_tokens:
                break
            request = self.waiting.popleft()
            self._held += request.tokens
            self.running.append(request)

    def _seconds(self) -> float:
        """Length of the first step of the run."""
        step, decoding = self.server.step, len(self._decoding)
        context, read, pairs = decoding, 0, 0.0  # plain loops: this runs ten thousand times per simulated day
        for request in self._decoding:
            context += request.context
        for request, tokens in self._reading:
            context += request.context + tokens
            read += tokens
            pairs += tokens * (request.context + (tokens + 1) / 2)
        fixed = step.overhead_s + step.sequence_s * (decoding + len(self._reading))
        matmuls = max(step.weights_s, step.token_s * (decoding + read))
        return fixed + matmuls + step.context_token_s * context + step.pair_s * pairs

    def _end(self, steps: int) -> float:
        return self._start + steps * self._first + self._growth * steps * (steps - 1) / 2

    def _cut(self, at: float) -> None:
        """End the run with the current step, so that the new request is admitted at the next one."""
        passed = max(0.0, at - self._start)
        done = min(self._steps - 1, int(passed / (self._first + self._growth * self._steps / 2)))
        while done < self._steps - 1 and self._end(done + 1) <= at + EPSILON:
            done += 1
        while done > 0 and self._end(done) > at + EPSILON:
            done -= 1
        self._steps = done + 1
        self.until = self._end(self._steps)
