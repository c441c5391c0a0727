"""One model server of the what-if model: a queue, a batch of limited size, steps as long as the profile says.

The rules are those of continuous batching (queue in order, long prompts in chunks of a step's token budget);
runs of equal decode steps are worked out at once, which is why it is fast. It is told the time and reads no
clock. Left out, on purpose: preemption (a request is admitted when all its tokens fit into the KV cache).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from labkit.gpus.profile import BLOCK_TOKENS, Profile, StepPart

EPSILON = 1e-9


@dataclass(slots=True)
class Request:
    """One request: when it came and what it asks for; `first` and `end` are filled in. Lab seconds."""

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
        """Room that it takes in the KV cache when it is done."""
        return self.prompt + self.output


@dataclass(frozen=True)
class Server:
    """What one replica can do: step times, sequences at once, tokens in a step, tokens in the KV cache."""

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
    """The state of one server. `until` is when the run of steps under way ends (infinity while idle)."""

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

    @property
    def empty(self) -> bool:
        """Whether it has nothing left to do."""
        return not self.running and not self.waiting

    def submit(self, request: Request, at: float) -> bool:
        """A request comes in; whether `until` has changed by it."""
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
        """The run of steps is over: hand out its tokens, let go of what is done, plan the next one."""
        end, steps = self.until, self._steps
        self.busy += end - self._start
        for request, tokens in self._reading:
            request.unread -= tokens
            request.context += tokens
            if request.unread == 0:
                request.first = end
                request.left -= 1
        reading = {id(request) for request, _ in self._reading}
        for request in self.running:
            if id(request) not in reading and request.unread == 0:
                request.left -= steps
                request.context += steps
        self._retire(end)
        self._plan(end)

    def _retire(self, at: float) -> None:
        if all(request.left > 0 or request.unread for request in self.running):
            return
        kept = []
        for request in self.running:
            if request.left > 0 or request.unread:
                kept.append(request)
            else:
                request.end = at
                self._held -= request.tokens
        self.running = kept

    def _plan(self, at: float) -> None:
        """Put the next steps together: one where a prompt is read, else as many as nothing changes in."""
        self._admit()
        if not self.running:
            self.until = math.inf
            return
        self._reading = []
        budget = self.server.budget - sum(r.unread == 0 for r in self.running)
        for request in self.running:
            if request.unread and budget > 0:
                tokens = min(request.unread, budget)
                self._reading.append((request, tokens))
                budget -= tokens
        self._start = at
        if self._reading:
            self._steps, self._growth, self._first = 1, 0.0, self._seconds()
        else:
            self._steps = min(request.left for request in self.running)
            self._growth = self.server.step.context_token_s * len(self.running)
            self._first = self._seconds()
        self.until = self._end(self._steps)

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
        step = self.server.step
        read = sum(tokens for _, tokens in self._reading)
        decoding = sum(request.unread == 0 for request in self.running)
        context = sum(r.context + 1 for r in self.running if r.unread == 0)
        context += sum(request.context + tokens for request, tokens in self._reading)
        pairs = sum(n * (request.context + (n + 1) / 2) for request, n in self._reading)
        fixed = step.overhead_s + step.sequence_s * (decoding + len(self._reading))
        matmuls = max(step.weights_s, step.token_s * (decoding + read))
        return fixed + matmuls + step.context_token_s * context + step.pair_s * pairs

    def _end(self, steps: int) -> float:
        return self._start + steps * self._first + self._growth * steps * (steps - 1) / 2

    def _cut(self, at: float) -> None:
        """End the run with the step under way, so that the newcomer is admitted at the next one."""
        passed = max(0.0, at - self._start)
        done = min(self._steps - 1, int(passed / (self._first + self._growth * self._steps / 2)))
        while done < self._steps - 1 and self._end(done + 1) <= at + EPSILON:
            done += 1
        while done > 0 and self._end(done) > at + EPSILON:
            done -= 1
        self._steps = done + 1
        self.until = self._end(self._steps)
