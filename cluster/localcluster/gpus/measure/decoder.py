"""A decoder in torch with random weights: the work of a server's GPU for one step, and nothing else.

The static KV cache is one allocation, seen as whatever batch and length a step asks for, so that a step can
be captured as a CUDA graph. Fused projections as servers have them. It is not a real model: its text is
meaningless.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - the name that everybody gives it

from localcluster.gpus.measure.shape import Shape

Tensor = Any
EPSILON, THETA, SPREAD = 1e-5, 500_000.0, 0.02


@dataclass(frozen=True)
class Place:
    """The device of tensors, and their type."""

    device: str
    dtype: Any

    def random(self, *size: int) -> Tensor:
        """Small random numbers."""
        return torch.empty(*size, device=self.device, dtype=self.dtype).normal_(0.0, SPREAD)

    def ones(self, size: int) -> Tensor:
        """The scale of a norm."""
        return torch.ones(size, device=self.device, dtype=self.dtype)


@dataclass(frozen=True)
class Room:
    """How many tokens the cache holds in all, and those of the longest sequence."""

    tokens: int
    longest: int


@dataclass(frozen=True)
class Layer:
    """The weights of one layer."""

    attention_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True)
class Weights:
    """All weights; `head` is the embedding itself where the model ties them."""

    embedding: Tensor
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Tensor

    @classmethod
    def random(cls, shape: Shape, place: Place) -> Weights:
        """Fill them; a step's time does not depend on what they are."""
        embedding = place.random(shape.vocabulary, shape.hidden)
        head = embedding if shape.tied_embeddings else place.random(shape.vocabulary, shape.hidden)
        layers = tuple(_layer(shape, place) for _ in range(shape.layers))
        return cls(embedding, layers, place.ones(shape.hidden), head)

    def tensors(self) -> Iterator[Tensor]:
        """Each tensor once."""
        yield self.embedding
        for layer in self.layers:
            yield from (tensor for tensor in vars(layer).values() if tensor is not None)
        yield self.norm
        if self.head is not self.embedding:
            yield self.head


class Decoder:
    """One model on one device, with a cache."""

    def __init__(self, shape: Shape, place: Place, room: Room) -> None:
        self.shape = shape
        self.place = place
        self.room = room
        self.weights = Weights.random(shape, place)
        kept = (shape.layers, 2, room.tokens * shape.kv_heads * shape.head_dim)
        self._cache = torch.zeros(kept, device=place.device, dtype=place.dtype)
        self._cos, self._sin = _rotary(shape, place, room.longest)

    def decode(self, tokens: Tensor, *, context: int) -> Tensor:
        """The next token of each sequence, as the last of `context` tokens."""
        batch, last = len(tokens), slice(context - 1, context)
        turn = self._cos[last], self._sin[last]
        x = self.weights.embedding[tokens]
        for number, layer in enumerate(self.weights.layers):
            q, k, v = self._qkv(layer, x, turn)
            keys, values = self._kept(number, batch, context)
            keys[:, :, last] = k[:, :, None]
            values[:, :, last] = v[:, :, None]
            # Query heads that share keys and values stand where a prompt's tokens would: all is read once.
            grouped = q.view(batch, self.shape.kv_heads, -1, self.shape.head_dim)
            mixed = F.scaled_dot_product_attention(grouped, keys, values)
            x = self._rest(layer, x, mixed.reshape(batch, -1))
        return self._next(x)

    def prefill(self, tokens: Tensor) -> Tensor:
        """The token after a prompt; fills the cache of the one sequence."""
        count = len(tokens)
        turn = self._cos[:count], self._sin[:count]
        x = self.weights.embedding[tokens]
        for number, layer in enumerate(self.weights.layers):
            q, k, v = (part.transpose(0, 1)[None] for part in self._qkv(layer, x, turn))
            keys, values = self._kept(number, 1, count)
            keys.copy_(k)
            values.copy_(v)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = self._rest(layer, x, mixed[0].transpose(0, 1).reshape(count, -1))
        return self._next(x[-1:])

    def _qkv(self, layer: Layer, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [tokens, heads, head_dim] each."""
        shape = self.shape
        joint = F.linear(_norm(x, layer.attention_norm), layer.qkv, layer.qkv_bias)
        heads = joint.view(len(x), -1, shape.head_dim)
        q, k, v = heads.split([shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
        return _turned(q, turn), _turned(k, turn), v

    def _rest(self, layer: Layer, x: Tensor, mixed: Tensor) -> Tensor:
        """What follows attention: its projection, and the feed-forward part."""
        x = x + F.linear(mixed, layer.out)
        gate, up = F.linear(_norm(x, layer.mlp_norm), layer.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, layer.down)

    def _next(self, x: Tensor) -> Tensor:
        return F.linear(_norm(x, self.weights.norm), self.weights.head).argmax(dim=-1)

    def _kept(self, layer: int, batch: int, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer as [batch, kv_heads, length, head_dim], in the one allocation.

        A token's heads are adjacent, so that a sequence grows without moving data.
        """
        size = (batch, length, self.shape.kv_heads, self.shape.head_dim)
        used = batch * length * self.shape.kv_heads * self.shape.head_dim
        keys, values = self._cache[layer, :, :used]
        return keys.view(size).transpose(1, 2), values.view(size).transpose(1, 2)


def _layer(shape: Shape, place: Place) -> Layer:
    attention = shape.heads * shape.head_dim
    return Layer(
        attention_norm=place.ones(shape.hidden),
        qkv=place.random(shape.qkv_width, shape.hidden),
        qkv_bias=place.random(shape.qkv_width) if shape.qkv_bias else None,
        out=place.random(shape.hidden, attention),
        mlp_norm=place.ones(shape.hidden),
        gate_up=place.random(2 * shape.intermediate, shape.hidden),
        down=place.random(shape.hidden, shape.intermediate),
    )


def _norm(x: Tensor, scale: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), scale, EPSILON)


def _rotary(shape: Shape, place: Place, length: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each position, [length, 1, head_dim]."""
    half = torch.arange(0, shape.head_dim, 2, device=place.device) / shape.head_dim
    angles = torch.outer(torch.arange(length, device=place.device), 1.0 / THETA**half)
    both = torch.cat((angles, angles), dim=-1)[:, None]
    return both.cos().to(place.dtype), both.sin().to(place.dtype)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding, in halves as Llama has it."""
    left, right = x.chunk(2, dim=-1)
    cos, sin = turn
    return x * cos + torch.cat((-right, left), dim=-1) * sin
