"""One generation request as the engine sees it: sizes, progress and the moments that metrics are made of.

Moments are lab seconds on the engine's clock. It knows nothing of HTTP or text.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

_keys = itertools.count(1)


@dataclass(eq=False)
class Request:
    """A sequence: `prompt` tokens to read, `target` tokens to generate, and why it will end then."""

    prompt: int
    target: int
    finish_reason: str = "length"
    max_tokens: int = 0
    key: int = field(default_factory=_keys.__next__)
    arrival: float = 0.0
    scheduled: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    finished: float | None = None
    generated: int = 0
    computed: int = 0
    preemptions: int = 0

    @property
    def total(self) -> int:
        """Tokens known so far: prompt and generated."""
        return self.prompt + self.generated

    @property
    def uncomputed(self) -> int:
        """Tokens whose keys and values are not in the cache: the whole prompt at first, then one a step."""
        return self.total - self.computed

    @property
    def done(self) -> bool:
        """Whether it has ended (finished or aborted)."""
        return self.finished is not None
