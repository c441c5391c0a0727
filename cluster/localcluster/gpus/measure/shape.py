"""The shape of a decoder, as `data/gpu/models.toml` lists it; the weights themselves are random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localcluster.gpus.roofline import Figures, listed

TINY = "tiny"


@dataclass(frozen=True)
class Shape:
    """A Llama-like decoder: grouped-query attention, gated feed-forward, RMS norms, rotary positions."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied_embeddings: bool
    qkv_bias: bool

    @classmethod
    def of(cls, model: str, figures: Figures | None = None) -> Shape:
        """The shape of a listed model (hub name), or of `tiny`, which any CPU can run."""
        if model == TINY:
            return cls(2, 64, 4, 2, 16, 128, 256, tied_embeddings=False, qkv_bias=True)
        entry: Mapping[str, Any] = listed((figures or Figures.read()).models, model, "model")
        return cls(**{name: entry[name] for name in cls.__dataclass_fields__})

    @property
    def qkv_width(self) -> int:
        """Rows of the joint projection to queries, keys and values."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def parameters(self) -> int:
        """How many weights it has: the hub counts the same, and a test holds the two together."""
        attention = self.hidden * (self.qkv_width + self.heads * self.head_dim)
        bias = self.qkv_width if self.qkv_bias else 0
        layer = attention + bias + 3 * self.hidden * self.intermediate + 2 * self.hidden
        tables = self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)
        return self.layers * layer + tables + self.hidden

    @property
    def kv_elements_per_token(self) -> int:
        """Numbers that the KV cache holds for one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim
