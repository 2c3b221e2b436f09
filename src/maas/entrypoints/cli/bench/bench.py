"""What all items of a bench share: where it works, how thoroughly, and the models that it makes once."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas.entrypoints.cli.bench.children import BenchChild

FULL_DECODER: Mapping[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
}
QUICK_DECODER: Mapping[str, Any] = {
    **FULL_DECODER,
    "vocab_size": 2048,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
FULL_ENCODER: Mapping[str, Any] = {
    "vocab_size": 30_522,
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
}
QUICK_ENCODER: Mapping[str, Any] = {**FULL_ENCODER, "hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2}
ADAPTERS = 8
PROMPT_LENGTHS = tuple(48 + 32 * place // 15 for place in range(16))
LONG_PROMPT = 512


@dataclass(frozen=True)
class Models:
    """Random models, and prompts of 48 to 80 tokens for the decoder, then a long one."""

    decoder: Path
    adapters: Sequence[Path]
    encoder: Path
    prompts: Sequence[Mapping[str, Any]]

    def texts(self) -> list[str]:
        return [prompt["text"] for prompt in self.prompts[: len(PROMPT_LENGTHS)]]

    def tokens(self) -> list[list[int]]:
        return [prompt["tokens"] for prompt in self.prompts[: len(PROMPT_LENGTHS)]]

    @property
    def long_tokens(self) -> list[int]:
        tokens: list[int] = self.prompts[-1]["tokens"]
        return tokens


@dataclass
class Bench:
    """A run: `folder` is its own and is removed at the end; `say` tells what is done now."""

    folder: Path
    quick: bool
    say: Callable[[str], None]
    _models: Models | None = field(default=None)

    @property
    def threads(self) -> int:
        """CPU threads of everybody who computes, the platform and its references alike."""
        return 1 if self.quick else len(os.sched_getaffinity(0))

    def repetitions(self, full: int) -> range:
        return range(1 if self.quick else full)

    def models(self) -> Models:
        """Make the models, once."""
        if self._models is None:
            self.say("making random models")
            self._models = self._made()
        return self._models

    def child(self, module: str, spec: Mapping[str, Any], *, inherited: Sequence[int] = ()) -> BenchChild:
        """Start a program of the platform as a child, its errors written down."""
        log = self.folder / f"{module.rpartition('.')[2]}.log"
        return BenchChild(module, {"threads": self.threads, **spec}, log=log, inherited=inherited)

    def _made(self) -> Models:
        decoder, encoder = self.folder / "decoder", self.folder / "encoder"
        adapters = [self.folder / f"adapter-{number}" for number in range(ADAPTERS)]
        spec = {
            "decoder": str(decoder),
            "shape": QUICK_DECODER if self.quick else FULL_DECODER,
            "adapters": [str(folder) for folder in adapters],
            "encoder": str(encoder),
            "encoder_shape": QUICK_ENCODER if self.quick else FULL_ENCODER,
            "prompt_lengths": [*PROMPT_LENGTHS, LONG_PROMPT],
        }
        with self.child("maas.programs.bench.make_models", spec) as child:
            made = child.wait_for("made")
        return Models(decoder, adapters, encoder, made["prompts"])
