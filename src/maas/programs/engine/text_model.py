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
from maas.programs.engine.llama import LlamaDecoder
from maas.programs.engine.loading import count_parameters, load_config, load_weights
from maas.programs.engine.lora import AdapterSet
from maas.programs.engine.precision import choose_dtype, free_memory_bytes, used_memory_bytes
from maas.programs.engine.spec import EngineSpec
from maas.programs.engine.transformers_decoder import TransformersDecoder

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
        self._decoder = self._load(config, spec)
        self._bytes_per_token = self.cache.bytes_per_token()
        self.cache.release()
        pack_linears(self._decoder, self.parameters)
        self.adapters = AdapterSet(self._decoder.adapted, self._decoder.placements)
        self.cache_tokens = self._cache_tokens(spec)
        self.context = min(_context(config, spec.max_context), self.cache_tokens)

    @torch.inference_mode()
    def step(self, tokens: list[int], positions: list[int], ends: list[int], adapters: list[tuple[str | None, int]]) -> Tensor:
        """Run tokens under `cache.plan`; return the scores, [ends, vocabulary], after the tokens at `ends`."""
        self.adapters.select(adapters)
        return self._scores(self._decoder, tokens, positions, ends)

    @torch.inference_mode()
    def _load(self, config: Any, spec: EngineSpec) -> Any:
        """Load the model as a decoder whose scores are those of transformers.

        An architecture that keeps other state than keys and values, or biases its attention, is refused, never answered wrongly.
        """
        model = self._load_weights(config, spec)
        self.end_ids = _end_ids(model)
        self.vocabulary: int = model.get_input_embeddings().num_embeddings
        decoder = self._checked(LlamaDecoder, model) if LlamaDecoder.understands(model) else None
        if decoder is None and LlamaDecoder.understands(model):
            model = self._load_weights(config, spec)
        decoder = decoder or self._checked(TransformersDecoder, model)
        if decoder is None:
            raise EngineUnusable(f"the engine does not support the attention of {type(model).__name__}")
        return decoder

    def _load_weights(self, config: Any, spec: EngineSpec) -> Any:
        return load_weights(AutoModelForCausalLM, config, spec, dtype=self.dtype, device=self.device, attention="eager")

    def _checked(self, kind: Any, model: Any) -> Any | None:
        """Return the model as a decoder of this kind, or None where its scores would differ."""
        tokens = [(7 * place + 3) % self.vocabulary for place in range(12)]
        try:
            expected = model(input_ids=torch.tensor([tokens], device=self.device), use_cache=False).logits[0, -1].float()
            self.cache.release()
            decoder = kind(model, self.cache, SlotAttention(self.cache))
            scores = self._three_steps(decoder, tokens).float()
        except Exception as error:
            raise EngineUnusable(f"the engine does not support the architecture {type(model).__name__}") from error
        return decoder if self._are_alike(scores, expected) else None

    def _are_alike(self, scores: Tensor, expected: Tensor) -> bool:
        if not bool(torch.isfinite(expected).all()):
            raise EngineUnusable("the model's weights give scores that are not numbers")
        scale = max(1.0, float(expected.abs().max()))
        return float((scores - expected).abs().max()) <= _TOLERANCE[self.dtype] * scale

    def _three_steps(self, decoder: Any, tokens: list[int]) -> Tensor:
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
            scores = self._scores(decoder, tokens[start:end], list(range(start, end)), [end - start - 1])[0]
        return scores

    def _scores(self, decoder: Any, tokens: list[int], positions: list[int], ends: list[int]) -> Tensor:
        scores: Tensor = decoder(
            torch.tensor(tokens, device=self.device),
            torch.tensor(positions, device=self.device),
            torch.tensor(ends, dtype=torch.long, device=self.device),
        )
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
