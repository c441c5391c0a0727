"""The least that a request takes from a replica, whatever else that serves, in replica-seconds.

A replica has two things to give: its steps, one after the other, and `max_num_seqs` sequences at once. Each
gives a lower bound of its own: a request takes its share of the steps that it is in, and it holds a sequence
from the step that begins its prompt to that of its last token, without a break. Both follow from `replica`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from course.hpa.replica import Replica, Request, Server

Size = tuple[int, int]
"""Tokens of the prompt, and of the output."""


@dataclass(frozen=True)
class Demand:
    """Replica-seconds: `first` up to the first token, then `rest` within the next `seconds`, evenly."""

    first: float
    rest: float
    seconds: float

    @property
    def total(self) -> float:
        """Replica-seconds of the whole request."""
        return self.first + self.rest


def of_sequences(server: Server, size: Size) -> Demand:
    """What it takes of the sequences: as long as it would take alone, for others only make it longer."""
    alone, replica = Request(0.0, *size), Replica(server)
    replica.submit(alone, 0.0)
    while not replica.empty:
        replica.finish()
    decoding = alone.end - alone.first
    return Demand(alone.first / server.max_num_seqs, decoding / server.max_num_seqs, decoding)


def of_steps(server: Server, size: Size, *, longest: float) -> Demand:
    """What it takes of the steps, if each step that it is in were full; `longest` is that of any step.

    A step's fixed parts are divided by `max_num_seqs`. A prompt pays for the tokens that exceed those which
    the weights' transfer hides. It may be cut, but only where a step has no tokens left for it, so that all
    tokens of such a step share what is hidden there.
    """
    (prompt, output), step, most = size, server.step, server.max_num_seqs
    full = server.budget - most  # the tokens of prompts in a step that has none left, at least
    token = max(0.0, step.token_s - step.weights_s / full) if full > 0 else 0.0
    hidden = step.weights_s / step.token_s if step.token_s else float("inf")
    one = (step.overhead_s + step.weights_s) / most + step.sequence_s
    read = max(0.0, prompt - hidden) * token if token else 0.0
    read += step.context_token_s * prompt + step.pair_s * prompt * (prompt + 1) / 2
    decode = max(0, output - 1)
    return Demand(one + read, decode * (one + step.context_token_s * (prompt + 1)), decode * longest)


def longest_step(server: Server, sizes: Iterable[Size]) -> float:
    """An upper bound, in seconds, of any step of a server with requests of these sizes."""
    step, most = server.step, max((prompt + output for prompt, output in sizes), default=0)
    fixed = step.overhead_s + step.sequence_s * server.max_num_seqs
    matmuls = max(step.weights_s, step.token_s * (server.budget + server.max_num_seqs))
    contexts = step.context_token_s * max(server.cache_tokens, most)
    return fixed + matmuls + contexts + step.pair_s * server.budget * most
