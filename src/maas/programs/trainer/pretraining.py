"""A small language model made from nothing: a byte-level tokenizer, a chat template, random weights."""

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from maas.programs.trainer.failures import TrainingImpossible
from maas.programs.trainer.rows import read_rows
from maas.programs.trainer.spec import Architecture, TrainingSpec

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_ROLES = "system\nuser\nassistant\n"
_untyped: Any = transformers
_SHAPES: dict[str, Any] = {"qwen2": _untyped.Qwen2Config, "llama": _untyped.LlamaConfig}


def make_tokenizer(spec: TrainingSpec) -> Any:
    """Train a byte-level BPE on the run's own rows; any text can be written with it.

    Text is cut as Qwen2's tokenizer does it: transformers reads a Qwen2 model's tokenizer back as that class, whatever was saved.
    """
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()  # type: ignore[assignment,unused-ignore]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment,unused-ignore]
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()  # type: ignore[assignment,unused-ignore]
    trainer = trainers.BpeTrainer(
        vocab_size=spec.architecture.vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_texts(spec), trainer)
    tokenizer = _untyped.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        model_max_length=spec.architecture.context,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def make_model(spec: TrainingSpec, tokenizer: Any) -> Any:
    """Make a model of the asked shape with random weights, drawn from the run's seed."""
    shape = spec.architecture
    if shape.shape not in _SHAPES or shape.hidden % shape.heads or shape.heads % shape.kv_heads:
        raise TrainingImpossible("the architecture's parts do not fit together", field="architecture")
    torch.manual_seed(spec.seed)
    model = _untyped.AutoModelForCausalLM.from_config(_config(shape, tokenizer), attn_implementation="sdpa", dtype=torch.float32)
    model.generation_config = _untyped.GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    model.config.use_cache = False
    return model


def _config(shape: Architecture, tokenizer: Any) -> Any:
    return _SHAPES[shape.shape](
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _texts(spec: TrainingSpec) -> Iterator[str]:
    yield _ROLES
    for row in read_rows(spec.train_path):
        yield from _strings(row)


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts of a row, wherever they lie in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
