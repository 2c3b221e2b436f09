"""The forward pass of Llama and its kin, written out: fewer and larger operations than transformers' own, the same numbers.

Layers that read the same input are one product; the rotation is done for queries and keys together. Whether the numbers are the
same is checked on every model that is loaded.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import rms_norm, silu

from maas.programs.engine.attention import SlotAttention
from maas.programs.engine.cache import SlotCache
from maas.programs.engine.linear import Placement, join

_KIN = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")


class LlamaDecoder(nn.Module):
    """Takes the weights over from transformers' model, which is of no use afterwards."""

    def __init__(self, model: Any, cache: SlotCache, attention: SlotAttention) -> None:
        super().__init__()
        self._embedding, self._rotary, self._norm = model.model.embed_tokens, model.model.rotary_emb, model.model.norm
        self.lm_head = model.lm_head
        self.placements: dict[str, Placement] = {}
        self.layers = nn.ModuleList()
        for index, layer in enumerate(model.model.layers):
            self.layers.append(_Layer(layer, cache, attention, index))
            self._place(layer, index)
            # The joined copies replace them: two whole models need not fit into memory.
            layer.self_attn = layer.mlp = None

    @staticmethod
    def understands(model: Any) -> bool:
        """Tell whether a model is one of those that are written out here."""
        return type(model).__name__ in _KIN and model.config.hidden_act == "silu"

    @property
    def adapted(self) -> nn.Module:
        """Return the module below which `placements` lie."""
        return self

    def forward(self, tokens: Tensor, positions: Tensor, ends: Tensor) -> Tensor:
        """Take tokens and positions, [tokens]; return the scores, [ends, vocabulary], after the tokens at `ends`."""
        x = self._embedding(tokens)
        cos, sin = self._rotary(x[None], positions[None])
        cos, sin = cos[0, :, None], sin[0, :, None]
        for layer in self.layers:
            x = layer(x, cos, sin)
        scores: Tensor = self.lm_head(_normed(x[ends], self._norm))
        return scores

    def _place(self, layer: Any, index: int) -> None:
        """Say where the rows of the layer's weights lie now, by the names that adapters know them by."""
        for joined, parent, parts in (
            ("qkv", "self_attn", ("q_proj", "k_proj", "v_proj")),
            ("output", "self_attn", ("o_proj",)),
            ("gate_up", "mlp", ("gate_proj", "up_proj")),
            ("down", "mlp", ("down_proj",)),
        ):
            start = 0
            for part in parts:
                stop = start + getattr(getattr(layer, parent), part).out_features
                self.placements[f"model.layers.{index}.{parent}.{part}"] = Placement(f"layers.{index}.{joined}", start, stop)
                start = stop


class _Layer(nn.Module):
    def __init__(self, layer: Any, cache: SlotCache, attention: SlotAttention, index: int) -> None:
        super().__init__()
        heads, mlp = layer.self_attn, layer.mlp
        self.qkv = join(heads.q_proj, heads.k_proj, heads.v_proj)
        self.output, self.down = heads.o_proj, mlp.down_proj
        self.gate_up = join(mlp.gate_proj, mlp.up_proj)
        self._before_attention, self._before_mlp = layer.input_layernorm, layer.post_attention_layernorm
        self._cache, self._attention, self._index = cache, attention, index
        self._dim: int = heads.head_dim
        self._rotated_width: int = heads.q_proj.out_features + heads.k_proj.out_features
        self._query_heads = heads.q_proj.out_features // heads.head_dim
        self._scaling, self._window = heads.scaling, getattr(heads, "sliding_window", None)
        self._head_norm = _head_norm(heads, self._query_heads)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.output(self._attend(_normed(x, self._before_attention), cos, sin))
        gate, up = self.gate_up(_normed(x, self._before_mlp)).chunk(2, dim=-1)
        return x + self.down(silu(gate) * up)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        count = x.shape[0]
        qkv = self.qkv(x)
        queries_keys = qkv[:, : self._rotated_width].view(count, -1, self._dim)
        values = qkv[:, self._rotated_width :].view(count, -1, self._dim)
        if self._head_norm is not None:
            weight, epsilon = self._head_norm
            queries_keys = rms_norm(queries_keys, (self._dim,), eps=epsilon) * weight
        queries_keys = _rotated(queries_keys, cos, sin).transpose(0, 1)
        queries, keys = queries_keys[: self._query_heads], queries_keys[self._query_heads :]
        self._cache.update(keys[None], values.transpose(0, 1)[None], self._index)
        return self._attention.attend(queries, scaling=self._scaling, window=self._window).reshape(count, -1)


def _normed(x: Tensor, norm: Any) -> Tensor:
    return rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each head by its token's position, [tokens, heads, dim]."""
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat((-second, first), dim=-1), sin)


def _head_norm(heads: Any, query_heads: int) -> tuple[Tensor, float] | None:
    """Return the weights of Qwen3's norms of queries and keys, [heads, dim], and their epsilon."""
    if getattr(heads, "q_norm", None) is None:
        return None
    key_heads = heads.k_proj.out_features // heads.head_dim
    weight = torch.cat([heads.q_norm.weight.expand(query_heads, -1), heads.k_norm.weight.expand(key_heads, -1)])
    return weight.contiguous(), heads.q_norm.variance_epsilon
