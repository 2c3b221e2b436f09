"""`python -m maas.programs.bench.make_models`: writes a random decoder with its tokenizer, LoRA adapters of it, an encoder."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maas.programs.bench.language import Language
from maas.programs.child import Child

_WORDS_OF_A_ROW = 200
_ROWS = 400


def main() -> int:
    """Make what the specification asks for, and report `made`."""
    child = Child.start("maas bench models")
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(1)
    spec = child.spec
    decoder = Path(spec["decoder"])
    tokens = _make_decoder(decoder, spec["shape"])
    _make_adapters(spec["adapters"], decoder)
    if spec.get("encoder") is not None:
        _make_encoder(Path(spec["encoder"]), spec["encoder_shape"])
    child.report("made", prompts=_prompts(decoder, spec["prompt_lengths"]), vocabulary=tokens)
    return 0


def _make_decoder(folder: Path, shape: dict[str, Any]) -> int:
    """Write a model of Qwen2's shape whose greedy answers never end and are made of words; return the tokenizer's size."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config

    _make_tokenizer(folder, shape["vocab_size"])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model: Any = AutoModelForCausalLM.from_config(Qwen2Config(tie_word_embeddings=True, **ends, **shape), dtype=torch.float32)
    with torch.no_grad():
        rows = model.get_input_embeddings().weight
        # A row of zeros scores zero, and some other always scores more.
        rows[len(tokenizer) :] = 0
        rows[tokenizer.all_special_ids] = 0
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    return len(tokenizer)


def _make_tokenizer(folder: Path, vocabulary: int) -> None:
    from maas.programs.trainer.pretraining import make_tokenizer
    from maas.programs.trainer.spec import read_spec

    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "words.jsonl"
    language = Language()
    rows.write_text("".join(json.dumps({"text": language.text(_WORDS_OF_A_ROW)}) + "\n" for _ in range(_ROWS)), encoding="utf-8")
    folders = {"train_path": str(rows), "output_dir": str(folder), "checkpoint_dir": str(folder)}
    shape = {"vocabulary": vocabulary, "context": 2048}
    tokenizer = make_tokenizer(read_spec({"mode": "pretrain", "dataset_type": "text", "architecture": shape, **folders}))
    tokenizer.save_pretrained(folder)
    rows.unlink()


def _make_adapters(folders: Sequence[str], base: Path) -> None:
    """Write LoRA adapters of rank 8 on all linear layers, each with weights of its own that change the answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    adapted: Any = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules="all-linear"))
    for folder in folders:
        with torch.no_grad():
            for name, weight in adapted.named_parameters():
                if "lora_" in name:
                    weight.normal_(std=0.02)
        adapted.save_pretrained(folder)


def _make_encoder(folder: Path, shape: dict[str, Any]) -> None:
    """Write a BERT in sentence-transformers' layout: mean pooling, normalised."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = BertWordPieceTokenizer()
    language = Language()
    words.train_from_iterator([language.text(_WORDS_OF_A_ROW) for _ in range(_ROWS)], vocab_size=2000, show_progress=False)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    names = ["input_ids", "token_type_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=words._tokenizer,  # noqa: SLF001 (its only way to a plain Tokenizer)
        model_max_length=shape["max_position_embeddings"],
        model_input_names=names,
        **special,
    ).save_pretrained(folder)
    encoder: Any = BertModel(BertConfig(**shape))
    encoder.save_pretrained(folder)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for place, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": shape["hidden_size"], "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256, "do_lower_case": false}', encoding="utf-8")


def _prompts(folder: Path, lengths: list[int]) -> list[dict[str, Any]]:
    """Return a prompt of each length in tokens: its text and its tokens, which are the same for whoever tokenizes it."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    language = Language(seed=2)
    prompts = []
    for length in lengths:
        text = tokenizer.decode(tokenizer(language.text(2 * length), add_special_tokens=False)["input_ids"][:length])
        prompts.append({"text": text, "tokens": tokenizer(text, add_special_tokens=False)["input_ids"]})
    return prompts


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
