"""Attention over slots: the function that transformers' models call in place of their own."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from maas.programs.engine.cache import Chunk, SlotCache, SlotLayer, StepPlan

NAME = "maas_slots"
_UNDERSTOOD = {"position_ids", "is_causal", "output_attentions", "use_cache", "cache_position", "position_embeddings"}

_POSITIONS_WORTH_A_CALL = 512
"""Where rows are so much shorter than the longest, on average, each attends by itself rather than over masked positions."""

_LONG = 384
"""From so many positions on, and always without shared key heads, two products beat the fused kernel in bf16 on CPUs."""


class SlotAttention:
    """Attends each row to its own slot of the cache.

    No mask function is registered under the name, so that transformers makes no masks: who sees what follows from the step's plan.
    """

    def __init__(self, cache: SlotCache) -> None:
        self._cache = cache

    def register(self) -> str:
        """Make transformers' models able to use it, and return the name to load them with."""
        AttentionInterface.register(NAME, self)
        return NAME

    def __call__(
        self,
        module: torch.nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        sliding_window: int | None = None,
        softcap: float | None = None,
        **extra: Any,
    ) -> tuple[Tensor, None]:
        """Take queries [1, heads, tokens, dim]; return [1, tokens, heads, dim]."""
        _refuse_what_is_not_understood(extra)
        if attention_mask is not None:
            raise NotImplementedError("this architecture makes attention masks of its own")
        return self.attend(query[0], scaling=scaling, window=sliding_window, softcap=softcap)[None], None

    def attend(self, query: Tensor, *, scaling: float | None, window: int | None, softcap: float | None = None) -> Tensor:
        """Take queries [heads, tokens, dim] of the layer that was stored last; return [tokens, heads, dim]."""
        layer, plan = self._cache.newest, self._cache.plan
        if layer is None or plan is None:
            raise RuntimeError("attention was called outside a step")
        rows = _Rows(layer, plan, scaling, window, softcap)
        parts = [rows.decoding(query[:, : len(plan.lengths)])] if plan.lengths else []
        parts += [rows.chunk(chunk, query[:, chunk.offset : chunk.offset + chunk.length]) for chunk in plan.chunks]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Rows:
    """One layer's attention within one step."""

    def __init__(
        self, layer: SlotLayer, plan: StepPlan, scaling: float | None, window: int | None, softcap: float | None
    ) -> None:
        self.layer, self.plan, self.scaling, self.window, self.softcap = layer, plan, scaling, window, softcap

    def decoding(self, query: Tensor) -> Tensor:
        """Take [heads, rows, dim], one query a row; return [rows, heads, dim].

        The query heads that share a key head stand as so many queries of it, so that keys are read once and never repeated.
        """
        heads, count, dim = query.shape
        key_heads, lengths = self.layer.keys.shape[1], self.plan.lengths
        grouped = query.transpose(0, 1).reshape(count, key_heads, heads // key_heads, dim)
        longest = max(lengths)
        if count * longest - sum(lengths) > count * _POSITIONS_WORTH_A_CALL:
            seen = torch.cat([self._decoding_row(grouped[row : row + 1], row, length) for row, length in enumerate(lengths)])
        else:
            keys, values = self.layer.keys[:count, :, :longest], self.layer.values[:count, :, :longest]
            mask = self.plan.decoding_mask(self.window, query.dtype)
            seen = self._attend(grouped, keys, values, mask)
        return seen.reshape(count, heads, -1)

    def _decoding_row(self, query: Tensor, row: int, length: int) -> Tensor:
        start = 0 if self.window is None else max(0, length - self.window)
        keys, values = self.layer.keys[row : row + 1, :, start:length], self.layer.values[row : row + 1, :, start:length]
        return self._attend(query, keys, values, None)

    def chunk(self, chunk: Chunk, query: Tensor) -> Tensor:
        """Take [heads, tokens, dim]; return [tokens, heads, dim]."""
        end = chunk.start + chunk.length
        keys = self.layer.keys[chunk.slot : chunk.slot + 1, :, :end]
        values = self.layer.values[chunk.slot : chunk.slot + 1, :, :end]
        groups = query.shape[0] // keys.shape[1]
        if groups > 1:
            keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
        mask = self.plan.chunk_mask(chunk, self.window, query.dtype)
        causal = mask is None and chunk.length > 1
        if self.softcap is not None and causal:
            mask = torch.full((chunk.length, end), float("-inf"), dtype=query.dtype, device=query.device).triu(1)
        if self.softcap is not None:
            return self._by_products(query[None], keys, values, mask)[0].transpose(0, 1)
        seen = scaled_dot_product_attention(query[None], keys, values, attn_mask=mask, is_causal=causal, scale=self.scaling)
        return seen[0].transpose(0, 1)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Take a row's queries, [rows, key heads, queries, dim], which see all positions that the mask leaves."""
        slow = query.dtype == torch.bfloat16 and query.device.type == "cpu" and (query.shape[2] == 1 or keys.shape[2] >= _LONG)
        if slow or self.softcap is not None:
            return self._by_products(query, keys, values, mask)
        return scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=self.scaling)

    def _by_products(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """Attention written out, with scores squeezed by `softcap · tanh(score / softcap)` where there is one, as in Gemma 2."""
        scores = query @ keys.transpose(2, 3) * (self.scaling if self.scaling is not None else query.shape[-1] ** -0.5)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if mask is not None:
            scores = scores + mask
        return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ values


def _refuse_what_is_not_understood(extra: dict[str, Any]) -> None:
    for name, value in extra.items():
        if value is not None and name not in _UNDERSTOOD and not (name == "dropout" and value == 0.0):
            raise NotImplementedError(f"this architecture's attention wants {name}, which the engine does not know")
