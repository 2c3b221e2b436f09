"""The forward pass of any decoder that transformers holds, over slots of our own."""

from typing import Any

from torch import Tensor, nn

from maas.programs.engine.attention import SlotAttention
from maas.programs.engine.cache import SlotCache
from maas.programs.engine.linear import Placement


class TransformersDecoder(nn.Module):
    """Transformers' model, with attention over slots in place of its own."""

    def __init__(self, model: Any, cache: SlotCache, attention: SlotAttention) -> None:
        super().__init__()
        model.set_attn_implementation(attention.register())
        self.adapted, self._cache = model, cache
        self.placements: dict[str, Placement] = {}

    def forward(self, tokens: Tensor, positions: Tensor, ends: Tensor) -> Tensor:
        """Take tokens and positions, [tokens]; return the scores, [ends, vocabulary], after the tokens at `ends`."""
        output = self.adapted(
            input_ids=tokens[None], position_ids=positions[None], past_key_values=self._cache, use_cache=True, logits_to_keep=ends
        )
        scores: Tensor = output.logits[0]
        return scores
