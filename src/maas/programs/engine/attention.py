"""Attention over slots: the function that transformers' models call in place of their own."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from maas.programs.engine.cache import Chunk, SlotCache, SlotLayer, StepPlan

NAME = "maas_slots"
_UNDERSTOOD = {"position_ids", "is_causal", "output_attentions", "use_cache", "cache_position", "position_embeddings"}


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
        layer, plan = self._cache.newest, self._cache.plan
        if layer is None or plan is None:
            raise RuntimeError("attention was called outside a step")
        if attention_mask is not None:
            raise NotImplementedError("this architecture makes attention masks of its own")
        rows = _Rows(layer, plan, scaling, sliding_window, softcap)
        parts = [rows.decoding(query[0, :, : len(plan.lengths)])] if plan.lengths else []
        parts += [rows.chunk(chunk, query[:, :, chunk.offset : chunk.offset + chunk.length]) for chunk in plan.chunks]
        return (parts[0] if len(parts) == 1 else torch.cat(parts))[None], None


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
        longest = max(self.plan.lengths)
        keys = self.layer.keys[:count, :, :longest]
        values = self.layer.values[:count, :, :longest]
        grouped = query.transpose(0, 1).reshape(count, keys.shape[1], heads // keys.shape[1], dim)
        seen = self._attend(grouped, keys, values, self.plan.decoding_mask(self.window), causal=False)
        return seen.reshape(count, heads, values.shape[3])

    def chunk(self, chunk: Chunk, query: Tensor) -> Tensor:
        """Take [1, heads, tokens, dim]; return [tokens, heads, dim]."""
        end = chunk.start + chunk.length
        keys = self.layer.keys[chunk.slot : chunk.slot + 1, :, :end]
        values = self.layer.values[chunk.slot : chunk.slot + 1, :, :end]
        groups = query.shape[1] // keys.shape[1]
        if groups > 1:
            keys, values = keys.repeat_interleave(groups, dim=1), values.repeat_interleave(groups, dim=1)
        mask = self.plan.chunk_mask(chunk, self.window)
        return self._attend(query, keys, values, mask, causal=mask is None and chunk.length > 1)[0].transpose(0, 1)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
        if self.softcap is None:
            return scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=causal, scale=self.scaling)
        return _softcapped(query, keys, values, mask, causal=causal, scaling=self.scaling, softcap=self.softcap)


def _softcapped(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool, scaling: float | None, softcap: float
) -> Tensor:
    """Attention with scores squeezed by `softcap · tanh(score / softcap)`, as Gemma 2 has it."""
    scores = query @ keys.transpose(2, 3) * (scaling if scaling is not None else query.shape[-1] ** -0.5)
    scores = torch.tanh(scores / softcap) * softcap
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ values


def _refuse_what_is_not_understood(extra: dict[str, Any]) -> None:
    for name, value in extra.items():
        if value is not None and name not in _UNDERSTOOD and not (name == "dropout" and value == 0.0):
            raise NotImplementedError(f"this architecture's attention wants {name}, which the engine does not know")
