"""Tiny models of many families, rows to train them on, and a trainer to run in this process or in its own."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas.programs.trainer.failures import Cancelled, TrainingImpossible
from maas.programs.trainer.run import train
from maas.programs.trainer.spec import TrainingSpec, read_spec

CITIES = ("北京", "上海", "广州", "成都", "杭州", "西安")
CONVERSATIONS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": f"{city} number {number}?"},
            {"role": "assistant", "content": f"{city} is {number * 7 % 10}."},
        ]
    }
    for city in CITIES
    for number in range(4)
]
INSTRUCTIONS: list[dict[str, Any]] = [{"prompt": f"{city}?", "completion": f" the city of {city}"} for city in CITIES * 3]
TEXTS: list[dict[str, Any]] = [{"text": f"{city} lies somewhere, and {city} is large."} for city in CITIES * 3]
PREFERENCES: list[dict[str, Any]] = [
    {"prompt": f"Where is {city}?", "chosen": f"{city} is in China.", "rejected": "no idea"} for city in CITIES * 2
]
ROWS = {"conversation": CONVERSATIONS, "instruction": INSTRUCTIONS, "text": TEXTS, "preference": PREFERENCES}

_SMALL: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED = {**_SMALL, "num_key_value_heads": 2}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _GROUPED),
    "qwen2": ("Qwen2Config", _GROUPED),
    "qwen3": ("Qwen3Config", {**_GROUPED, "head_dim": 8}),
    "mistral": ("MistralConfig", {**_GROUPED, "sliding_window": 8}),
    "gpt2": (
        "GPT2Config",
        {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "bos_token_id": 2, "eos_token_id": 2},
    ),
    "gpt_neox": ("GPTNeoXConfig", _SMALL),
    "gemma": ("GemmaConfig", {**_GROUPED, "head_dim": 8}),
    "phi": ("PhiConfig", _GROUPED),
}


def make_tokenizer(folder: Path, *, template: bool = True) -> None:
    """Write a byte-level tokenizer trained on the rows above."""
    from maas.programs.trainer.pretraining import make_tokenizer as build

    rows = folder / "words.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(rows, CONVERSATIONS)
    tokenizer = build(read_spec(spec_for(folder, mode="pretrain", rows=rows, architecture={"vocabulary": 320})))
    if not template:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    rows.unlink()


def make_base(folder: Path, family: str = "qwen2", *, template: bool = True) -> Path:
    """Write a tiny model of a family with random weights."""
    import torch
    import transformers

    make_tokenizer(folder, template=template)
    name, values = FAMILIES[family]
    torch.manual_seed(7)
    config = getattr(transformers, name)(**values)
    untyped: Any = transformers
    untyped.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def spec_for(folder: Path, *, rows: Path, mode: str = "finetune", model: Path | None = None, **changes: Any) -> dict[str, Any]:
    """Return a specification that writes below `folder`."""
    return {
        "mode": mode,
        "model_dir": None if model is None else str(model),
        "adapter_dir": None,
        "train_path": str(rows),
        "eval_path": None,
        "dataset_type": "conversation",
        "output_dir": str(folder / "output"),
        "checkpoint_dir": str(folder / "checkpoints"),
        "resume_from": None,
        "algorithm": "lora",
        "hyperparameters": {"learning_rate": 1e-2, "batch_size": 8, "num_epochs": 1},
        "config": {"logging_steps": 1},
        "seed": 5,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
        **changes,
    }


@dataclass
class Recorder:
    """Keeps reports; `on_report` sees each."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    on_report: Callable[[dict[str, Any]], None] = lambda _: None

    def report(self, kind: str, **fields: object) -> None:
        self.reports.append(json.loads(json.dumps({"type": kind, **fields}, allow_nan=False)))
        self.on_report(self.reports[-1])


def run_here(raw: dict[str, Any], *, cancel_at: int | None = None) -> list[dict[str, Any]]:
    """Train in this process; return the reports, ending as the program would end them."""
    cancelled = threading.Event()

    def watch(report: dict[str, Any]) -> None:
        if report["type"] == "metrics" and report["step"] == cancel_at:
            cancelled.set()

    recorder = Recorder(on_report=watch)
    spec: TrainingSpec = read_spec(raw)
    try:
        train(spec, recorder, cancelled)
    except Cancelled as end:
        recorder.report("cancelled", step=end.step)
    except TrainingImpossible as end:
        recorder.report("failed", code=end.code, field=end.field, reason=end.reason)
    return recorder.reports


def start_program(raw: dict[str, Any]) -> "subprocess.Popen[str]":
    """Start the program with its specification given."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "maas.programs.trainer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(raw) + "\n")
    process.stdin.flush()
    return process


def reports_of(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def curve(reports: list[dict[str, Any]]) -> dict[int, tuple[Any, ...]]:
    """Return what a curve is made of, by step, bit for bit."""
    names = ("epoch", "loss", "eval_loss", "learning_rate", "grad_norm", "tokens")
    return {one["step"]: tuple(one[name] for name in names) for one in reports if one["type"] == "metrics"}


def last(reports: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return [one for one in reports if one["type"] == kind][-1]
