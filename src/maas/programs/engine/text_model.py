"""A decoder-only language model, as the scheduler drives it: transformers' forward over slots of our own."""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from maas.programs.engine.attention import SlotAttention
from maas.programs.engine.cache import Chunk, Extent, SlotCache, StepPlan
from maas.programs.engine.failures import EngineUnusable
from maas.programs.engine.linear import pack_linears
from maas.programs.engine.loading import count_parameters, load_config, load_weights
from maas.programs.engine.lora import AdapterSet
from maas.programs.engine.precision import choose_dtype, free_memory_bytes, used_memory_bytes
from maas.programs.engine.spec import EngineSpec

_ROPE_THAT_DEPENDS_ON_LENGTH = ("dynamic", "longrope")
_CACHE_SHARE_OF_FREE_MEMORY = 0.5
_CACHE_SHARE_OF_OWN_MEMORY = 0.8
_FEWEST_CACHE_TOKENS = 256
_CONTEXT_WHERE_NONE_IS_NAMED = 2048
_TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 0.15}


class TextModel:
    """Weights, slots and adapters."""

    def __init__(self, spec: EngineSpec, *, device: torch.device) -> None:
        config = load_config(spec.model_dir)
        _check_decoder(config)
        self.parameters = count_parameters(spec.model_dir)
        self.device = device
        self.dtype = choose_dtype(spec.dtype, device, self.parameters)
        self.cache = SlotCache()
        name = SlotAttention(self.cache).register()
        self._model = load_weights(AutoModelForCausalLM, config, spec, dtype=self.dtype, device=device, attention="eager")
        self.end_ids = _end_ids(self._model)
        self.vocabulary: int = self._model.get_input_embeddings().num_embeddings
        self._check_attention(name)
        pack_linears(self._model, device, self.parameters)
        self.adapters = AdapterSet(self._model)
        self.cache_tokens = self._cache_tokens(spec)
        self.context = min(_context(config, spec.max_context), self.cache_tokens)

    @torch.inference_mode()
    def step(self, tokens: list[int], positions: list[int], ends: list[int], adapters: list[tuple[str | None, int]]) -> Tensor:
        """Run tokens under `cache.plan`; return the scores, [ends, vocabulary], after the tokens at `ends`."""
        self.adapters.select(adapters)
        output = self._model(
            input_ids=torch.tensor([tokens], device=self.device),
            position_ids=torch.tensor([positions], device=self.device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.tensor(ends, dtype=torch.long, device=self.device),
        )
        scores: Tensor = output.logits[0]
        return scores

    @torch.inference_mode()
    def _check_attention(self, name: str) -> None:
        """Compare the slots' attention with the model's own on a few tokens.

        So an architecture that keeps other state than keys and values, or biases its attention, is refused, never answered wrongly.
        """
        tokens = [(7 * place + 3) % self.vocabulary for place in range(12)]
        try:
            own = self._model(input_ids=torch.tensor([tokens], device=self.device), use_cache=False).logits[0, -1].float()
            self._model.set_attn_implementation(name)
            ours = self._three_steps(tokens).float()
        except Exception as error:
            raise EngineUnusable(f"the engine does not support the architecture {type(self._model).__name__}") from error
        scale = max(1.0, float(own.abs().max()))
        if not bool(torch.isfinite(own).all()):
            raise EngineUnusable("the model's weights give scores that are not numbers")
        if float((own - ours).abs().max()) > _TOLERANCE[self.dtype] * scale:
            raise EngineUnusable(f"the engine does not support the attention of {type(self._model).__name__}")
        self._bytes_per_token = self.cache.bytes_per_token()
        self.cache.release()

    def _three_steps(self, tokens: list[int]) -> Tensor:
        """Run the tokens as a row's life has them: a chunk of the prompt, another that ends it, then one token."""
        last = len(tokens) - 1
        half = last // 2
        extent = Extent(1, len(tokens))
        scores = torch.empty(0)
        for plan, start, end in (
            (StepPlan([], [Chunk(0, 0, 0, half)], self.device, extent), 0, half),
            (StepPlan([], [Chunk(0, half, 0, last - half)], self.device, extent), half, last),
            (StepPlan([last + 1], [], self.device, extent), last, last + 1),
        ):
            self.cache.plan = plan
            scores = self._forward(tokens[start:end], list(range(start, end)))
        return scores

    def _forward(self, tokens: list[int], positions: list[int]) -> Tensor:
        scores: Tensor = self._model(
            input_ids=torch.tensor([tokens], device=self.device),
            position_ids=torch.tensor([positions], device=self.device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.tensor([len(tokens) - 1], device=self.device),
        ).logits[0, -1]
        return scores

    def has_adapter(self, name: str) -> bool:
        """Tell whether the weights of an adapter are there, also of one that new requests may no longer use."""
        return self.adapters.has(name)

    def _cache_tokens(self, spec: EngineSpec) -> int:
        """Return how many positions of all slots together the memory has room for."""
        share = free_memory_bytes(self.device) * _CACHE_SHARE_OF_FREE_MEMORY
        if spec.memory_bytes is not None:
            share = min(share, (spec.memory_bytes - used_memory_bytes(self.device)) * _CACHE_SHARE_OF_OWN_MEMORY)
        tokens = int(share) // max(1, self._bytes_per_token)
        if tokens < _FEWEST_CACHE_TOKENS:
            raise EngineUnusable("there is not enough memory for the model's keys and values beside its weights")
        return tokens if spec.max_cache_tokens is None else min(tokens, spec.max_cache_tokens)


def _check_decoder(config: Any) -> None:
    architectures = config.architectures or [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type, "")]
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    if getattr(config, "is_encoder_decoder", False) or not known.intersection(architectures):
        raise EngineUnusable("the model is not a decoder-only language model")


def _end_ids(model: Any) -> frozenset[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    if ends is None:
        ends = model.config.get_text_config().eos_token_id
    return frozenset() if ends is None else frozenset([ends] if isinstance(ends, int) else ends)


def _context(config: Any, wanted: int | None) -> int:
    """Return how many positions a request may use."""
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    limits = [wanted, getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)]
    if rope.get("rope_type") in _ROPE_THAT_DEPENDS_ON_LENGTH:
        # Such a rotation changes for all rows of a batch once one of them is long: stay where it does not.
        limits += [rope.get("original_max_position_embeddings"), getattr(text, "original_max_position_embeddings", None)]
    return min([int(limit) for limit in limits if limit], default=_CONTEXT_WHERE_NONE_IS_NAMED)
