"""What the files of a model say about it."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

GIB = 1024**3
GB = 10**9


class ModelType(StrEnum):
    """What a model is for."""

    LLM = "llm"
    EMBEDDING = "embedding"
    RERANKER = "reranker"


class ModelFormat(StrEnum):
    """How the weights are kept: a whole model, or an adapter to a base."""

    TRANSFORMERS = "transformers"
    PEFT = "peft"


class Task(StrEnum):
    """What a model can be asked for."""

    TEXT_GENERATION = "text-generation"
    CHAT = "chat"
    FEATURE_EXTRACTION = "feature-extraction"
    TEXT_RANKING = "text-ranking"
    TEXT_CLASSIFICATION = "text-classification"


CATEGORIES: dict[ModelType, frozenset[str]] = {
    ModelType.LLM: frozenset({
        "text-generation", "text2text-generation", "question-answering", "summarization", "translation",
        "table-question-answering", "image-text-to-text", "any-to-any",
    }),
    ModelType.EMBEDDING: frozenset({"feature-extraction", "sentence-similarity"}),
    ModelType.RERANKER: frozenset({"text-ranking", "text-classification", "zero-shot-classification"}),
}  # fmt: skip
"""The pipeline tags of Hugging Face that a model of each type may carry."""


@dataclass(frozen=True, kw_only=True)
class HardwareRequirements:
    """What it takes to serve a model. Memory is written as people write it: "13GB"."""

    min_gpu_memory: str
    recommended_gpu: str
    cpu_cores: int
    ram: str

    @classmethod
    def for_weights(cls, weight_bytes: int) -> Self:
        """Estimate from the bytes of the weights: 5 % more on the GPU, at least twice as much in main memory."""
        gpu_gb = max(1, math.ceil(weight_bytes * 1.05 / GB))
        ram_gb = 2 ** max(1, math.ceil(math.log2(max(weight_bytes * 2 / GB, 1))))
        return cls(
            min_gpu_memory=f"{gpu_gb}GB",
            recommended_gpu=_recommended_gpu(gpu_gb),
            cpu_cores=_cpu_cores(gpu_gb),
            ram=f"{ram_gb}GB",
        )


_GPUS = ((12, "T4, V100"), (28, "V100, A100"), (72, "A100, H100"), (130, "H200"))
_CORES = ((2, 2), (8, 4), (40, 8), (160, 16))


def _recommended_gpu(memory_gb: int) -> str:
    cards = next((name for limit, name in _GPUS if memory_gb <= limit), None)
    return cards or f"{math.ceil(memory_gb / 72)} x H100"


def _cpu_cores(memory_gb: int) -> int:
    return next((cores for limit, cores in _CORES if memory_gb <= limit), 32)


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What was read from the files of a version.

    `suggested_type` is None where the files do not say. `base_model` is what an adapter's config names as its base.
    `context_length` is in tokens. `weight_bytes` counts the tensors alone.
    """

    model_format: ModelFormat
    parameters_count: int
    weight_bytes: int
    dtypes: tuple[str, ...] = ()
    architecture: str | None = None
    architecture_family: str | None = None
    context_length: int | None = None
    suggested_type: ModelType | None = None
    supported_tasks: tuple[Task, ...] = ()
    has_tokenizer: bool = False
    has_chat_template: bool = False
    base_model: str | None = None

    @property
    def hardware_requirements(self) -> HardwareRequirements:
        return HardwareRequirements.for_weights(self.weight_bytes)

    def to_json(self) -> dict[str, Any]:
        """Return the facts as they are stored and shown."""
        shown = {name: value for name, value in asdict(self).items() if name != "suggested_type"}
        return {
            **shown,
            "model_format": self.model_format.value,
            "dtypes": list(self.dtypes),
            "supported_tasks": [task.value for task in self.supported_tasks],
            "hardware_requirements": asdict(self.hardware_requirements),
        }
