"""Models to serve: tiny ones of every family, one that recites a script, encoders, adapters."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.integration.trainer.tiny import FAMILIES, make_tokenizer

CONTEXT = 256
END_ID = 2


def make_model(folder: Path, family: str = "qwen2", *, template: bool = True, **changes: Any) -> Path:
    """Write a tiny model whose random weights are large enough that its likeliest tokens differ and stand out."""
    import torch
    import transformers

    make_tokenizer(folder, template=template)
    name, values = FAMILIES[family]
    torch.manual_seed(11)
    config = getattr(transformers, name)(**{**values, "initializer_range": 0.4, **changes})
    untyped: Any = transformers
    untyped.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def make_reciter(folder: Path, script: str, *, ends: bool = True) -> Path:
    """Write a model that answers a prompt of one token by a script, whatever the prompt says: its scores follow from the position."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    make_tokenizer(folder)
    tokens = AutoTokenizer.from_pretrained(folder).encode(script, add_special_tokens=False) + [END_ID] * ends
    assert len(tokens) <= CONTEXT
    config = GPT2Config(
        vocab_size=320,
        n_embd=CONTEXT,
        n_layer=1,
        n_head=4,
        n_positions=CONTEXT,
        bos_token_id=2,
        eos_token_id=END_ID,
        tie_word_embeddings=False,
    )
    model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ln_" not in name:
                weight.zero_()
        model.transformer.wpe.weight.copy_(torch.eye(CONTEXT) * 10)
        for position, token in enumerate(tokens):
            model.lm_head.weight[token, position] = 4.0
    model.save_pretrained(folder)
    return folder


def generated_by_transformers(
    folder: Path, prompts: Sequence[Sequence[int]], *, tokens: Sequence[int], adapter: Path | None = None, **wishes: Any
) -> list[list[int]]:
    """Return what `generate` answers to the prompts, one at a time."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    answers = []
    for prompt, most in zip(prompts, tokens, strict=True):
        ids = torch.tensor([list(prompt)])
        with torch.inference_mode():
            whole = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False, pad_token_id=0, **wishes
            )
        answers.append(whole[0, len(prompt) :].tolist())
    return answers


def make_adapter(folder: Path, base: Path, *, seed: int, targets: list[str] | str = "all-linear", **changes: Any) -> Path:
    """Write a LoRA adapter whose random weights change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    layout = {"fan_in_fan_out": model.config.model_type == "gpt2"}
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=targets, **{"r": 4, "lora_alpha": 8, **layout, **changes})
    adapted: Any = get_peft_model(model, config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                weight.normal_(std=0.3)
            if "magnitude" in name:
                weight.mul_(torch.rand_like(weight) + 0.5)
    adapted.save_pretrained(folder)
    return folder


def make_encoder(folder: Path, *, pooling: str | None = "mean_tokens", normalize: bool = True, labels: int | None = None) -> Path:
    """Write a tiny BERT in sentence-transformers' layout; with `labels` a classifier, without `pooling` a bare encoder."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    _make_word_tokenizer(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=64,
        initializer_range=0.3, num_labels=labels or 2,
    )  # fmt: skip
    model: Any = BertForSequenceClassification(config) if labels else BertModel(config)
    model.save_pretrained(folder)
    if pooling is not None:
        _write_modules(folder, pooling, normalize=normalize)
    return folder


def _make_word_tokenizer(folder: Path) -> None:
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    words = BertWordPieceTokenizer()
    words.train_from_iterator(SENTENCES * 3, vocab_size=400, min_frequency=1)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words._tokenizer,
        **special,
        model_max_length=64,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    tokenizer.save_pretrained(folder)


SENTENCES = [
    "The weather is fine today, and the sea is calm.",
    "北京是中国的首都。",
    "A cat",
    "Deep learning models map text to vectors; close texts get close vectors, as people hope.",
    "上海位于长江口",
    "Where is the station? It is behind the park, near the old bridge over the small river.",
]


def _write_modules(folder: Path, pooling: str, *, normalize: bool) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalize else [])]
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **modes}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32, "do_lower_case": False}))
