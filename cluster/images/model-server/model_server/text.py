"""Made-up text: deterministic word tokens, and a rough count of the tokens in a prompt.

There is no model here. The same prompt and seed give the same words; a token is one word with its space.
"""

from __future__ import annotations

import random
import zlib

_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va")
_RING = 8192
TOKENS_PER_WORD = 1.3
"""English text under the tokenizers of the simulated models: about 1.3 tokens a word."""


def _ring() -> list[str]:
    rng = random.Random(0)
    words = [" " + "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 3))) for _ in range(512)]
    return rng.choices(words, k=_RING)


_TOKENS = _ring()


def count_tokens(text: str) -> int:
    """Tokens of a prompt, at least 1."""
    return max(1, round(len(text.split()) * TOKENS_PER_WORD))


def seed_of(prompt: str | list[int], seed: int) -> int:
    """Return the number that all made-up things about a request follow from."""
    return zlib.crc32(f"{seed}:{prompt}".encode())


def words(seed: int, start: int, stop: int) -> str:
    """Tokens number `start` to `stop` of the text that belongs to a seed."""
    return "".join(_TOKENS[(seed + i) % _RING] for i in range(start, stop))


def natural_length(seed: int) -> int:
    """Tokens after which the made-up answer would end by itself (log-normal, median 200)."""
    return max(1, round(random.Random(seed).lognormvariate(5.3, 0.6)))
