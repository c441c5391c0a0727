"""Blocks of the KV cache: who holds how many, and when there are none left.

Like vLLM's paged cache, without prefix sharing: a sequence holds ceil(tokens / block size) blocks and gives
all of them back at once. Refuses to hand out what it does not have.
"""

from __future__ import annotations

from collections.abc import Iterable


class BlockPool:
    """A fixed number of blocks; the ledger of how many each sequence (by key) holds."""

    def __init__(self, *, blocks: int, block_tokens: int = 16) -> None:
        self.blocks = blocks
        self.block_tokens = block_tokens
        self.free = blocks
        self._held: dict[int, int] = {}

    def needed(self, tokens: int) -> int:
        """Blocks for a sequence of `tokens` tokens."""
        return -(-tokens // self.block_tokens)

    def grow(self, key: int, tokens: int) -> bool:
        """Make the sequence's share large enough for `tokens`; False, nothing taken, where it can't be."""
        held = self._held.get(key, 0)
        more = self.needed(tokens) - held
        if more > self.free:
            return False
        if more > 0:
            self.free -= more
            self._held[key] = held + more
        return True

    def release(self, key: int) -> None:
        """Take back all blocks of a sequence."""
        self.free += self._held.pop(key, 0)

    @property
    def usage(self) -> float:
        """Share of the blocks in use, 0 to 1."""
        return 1.0 - self.free / self.blocks if self.blocks else 0.0

    def steps_that_fit(self, sequences: Iterable[tuple[int, int]], limit: int) -> int:
        """How many decode steps (each adds a token to each sequence) fit, at most `limit`.

        `sequences` holds (key, tokens so far) of each; found by bisection, since the need only grows.
        """
        pairs = list(sequences)

        def fits(steps: int) -> bool:
            more = sum(max(0, self.needed(n + steps) - self._held.get(k, 0)) for k, n in pairs)
            return more <= self.free

        if fits(limit):
            return limit
        low, high = 0, limit
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low
