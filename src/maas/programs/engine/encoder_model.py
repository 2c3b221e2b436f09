"""Encoders: texts in, one vector (or score) each out, by transformers' own forward over padded batches."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification

from maas.programs.engine.encoder_files import EncoderFiles, read_encoder_files
from maas.programs.engine.loading import count_parameters, load_config, load_tokenizer, load_weights
from maas.programs.engine.spec import EngineSpec

_LONGEST_WHERE_NONE_IS_NAMED = 512
_POSITIONS_BEGIN_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet", "xlm-roberta-xl", "roberta-prelayernorm")


@dataclass(frozen=True)
class EncodedText:
    """A text as tokens, cut to what the model reads; `whole_length` counts what it had."""

    ids: list[int]
    types: list[int]
    cut: bool


class EncoderModel:
    """An encoder with its tokenizer. `dtype` bf16 computes by autocast on fp32 weights."""

    def __init__(self, spec: EngineSpec, *, scores: bool, device: torch.device) -> None:
        folder = spec.model_dir
        config = load_config(folder)
        self.files = EncoderFiles() if scores else read_encoder_files(folder)
        self.parameters = count_parameters(folder)
        self.device = device
        self.dtype = torch.bfloat16 if spec.dtype == "bfloat16" else torch.float32
        kind = AutoModelForSequenceClassification if scores else AutoModel
        self._scores = scores
        self._model = load_weights(
            kind, config, spec, dtype=torch.float32, device=device, attention="sdpa", unneeded=() if scores else ("pooler.",)
        )
        self._tokenizer = load_tokenizer(folder)
        self.context = _context(config, self._tokenizer, self.files.max_length, spec.max_context)
        self._backend = self._tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.enable_truncation(self.context)
        self._padding = self._tokenizer.pad_token_id or 0
        self._takes_types = "token_type_ids" in self._tokenizer.model_input_names

    def encode(self, text: str, second: str | None = None) -> EncodedText:
        """Tokenize a text, or a pair of them."""
        if self.files.lower_case:
            text = text.lower()
        encoded = self._backend.encode(text, second)
        return EncodedText(encoded.ids, encoded.type_ids, bool(encoded.overflowing))

    @torch.inference_mode()
    def run(self, texts: Sequence[EncodedText]) -> Tensor:
        """Return a row for each text: its vector, not normalised, or its scores."""
        ids, mask, types = self._padded(texts)
        arguments = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            arguments["token_type_ids"] = types
        with self._precision():
            output = self._model(**arguments)
        rows: Tensor = output.logits if self._scores else _pool(output.last_hidden_state.float(), mask, self.files.pooling)
        return rows.float().cpu()

    def _precision(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def _padded(self, texts: Sequence[EncodedText]) -> tuple[Tensor, Tensor, Tensor]:
        longest = max(len(text.ids) for text in texts)
        rows = [text.ids + [self._padding] * (longest - len(text.ids)) for text in texts]
        mask = [[1] * len(text.ids) + [0] * (longest - len(text.ids)) for text in texts]
        types = [text.types + [0] * (longest - len(text.types)) for text in texts]
        return (
            torch.tensor(rows, device=self.device),
            torch.tensor(mask, device=self.device),
            torch.tensor(types, device=self.device),
        )


def _pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Make one vector of a text's states, [texts, tokens, dim], where `mask` is 1."""
    if pooling == "cls":
        return states[:, 0]
    if pooling == "lasttoken":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    seen = mask[:, :, None]
    if pooling == "max":
        return states.masked_fill(seen == 0, float("-inf")).amax(1)
    return (states * seen).sum(1) / seen.sum(1).clamp(min=1)


def _context(config: Any, tokenizer: Any, named: int | None, wanted: int | None) -> int:
    """Return how many tokens the model reads of a text, those around it included, as sentence-transformers counts."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and config.model_type in _POSITIONS_BEGIN_AFTER_PADDING:
        positions -= (config.pad_token_id or 0) + 1
    limits = [limit for limit in (positions, named or tokenizer.model_max_length, wanted) if limit]
    return int(min([*limits, 2**20])) if limits else _LONGEST_WHERE_NONE_IS_NAMED
