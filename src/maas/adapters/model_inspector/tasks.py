"""What a model is for, told from its config."""

from typing import Any

from maas.domain.catalog.facts import ModelType, Task

_BY_ENDING = (
    ("ForCausalLM", ModelType.LLM),
    ("LMHeadModel", ModelType.LLM),
    ("ForConditionalGeneration", ModelType.LLM),
    ("ForSequenceClassification", ModelType.RERANKER),
)
_ENCODERS = frozenset({
    "bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "albert", "electra", "camembert", "deberta", "deberta-v2",
    "nomic_bert", "modernbert", "ernie", "xlm-roberta-xl",
})  # fmt: skip
_DECODERS = frozenset({
    "llama", "qwen2", "qwen3", "mistral", "mixtral", "gpt2", "gpt_neox", "gpt_neo", "gptj", "gemma", "gemma2", "gemma3_text",
    "phi", "phi3", "opt", "bloom", "falcon", "stablelm", "starcoder2", "olmo", "olmo2", "cohere", "granite", "smollm3",
})  # fmt: skip
_OF_ADAPTER = {
    "CAUSAL_LM": ModelType.LLM,
    "SEQ_2_SEQ_LM": ModelType.LLM,
    "FEATURE_EXTRACTION": ModelType.EMBEDDING,
    "SEQ_CLS": ModelType.RERANKER,
}
_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length", "max_sequence_length")


def type_of(config: dict[str, Any], *, pools: bool) -> ModelType | None:
    """Tell the type from the architecture; `pools` says that files for pooling stand beside it."""
    if pools:
        return ModelType.EMBEDDING
    architecture = architecture_of(config) or ""
    by_ending = next((kind for ending, kind in _BY_ENDING if architecture.endswith(ending)), None)
    family = config.get("model_type")
    if by_ending is not None:
        return by_ending
    if family in _ENCODERS:
        return ModelType.EMBEDDING
    if architecture.endswith("Model"):
        return ModelType.EMBEDDING
    return ModelType.LLM if family in _DECODERS else None


def type_of_adapter(config: dict[str, Any]) -> ModelType | None:
    """Tell the type of an adapter from its task."""
    task = config.get("task_type")
    return _OF_ADAPTER.get(task) if isinstance(task, str) else None


def architecture_of(config: dict[str, Any]) -> str | None:
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def context_length_of(config: dict[str, Any]) -> int | None:
    """Return how many tokens the model can attend to; RoBERTa keeps two positions for itself."""
    text_config = config.get("text_config")
    for source in (config, text_config if isinstance(text_config, dict) else {}):
        for field in _CONTEXT_FIELDS:
            length = source.get(field)
            if isinstance(length, int) and not isinstance(length, bool) and 0 < length < 2**31:
                return length
    return None


def tasks_of(kind: ModelType | None, *, architecture: str, has_tokenizer: bool, has_chat_template: bool) -> tuple[Task, ...]:
    """Return what the model can be asked for; without a tokenizer nothing."""
    if not has_tokenizer or kind is None:
        return ()
    if kind is ModelType.EMBEDDING:
        return (Task.FEATURE_EXTRACTION,)
    if kind is ModelType.RERANKER:
        return (Task.TEXT_RANKING, Task.TEXT_CLASSIFICATION)
    if architecture.endswith("ForConditionalGeneration"):
        return ()
    return (Task.TEXT_GENERATION, Task.CHAT) if has_chat_template else (Task.TEXT_GENERATION,)
