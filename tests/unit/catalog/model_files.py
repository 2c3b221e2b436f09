"""Builds tiny model folders for tests."""

import json
import pickle
import struct
from pathlib import Path
from typing import Any

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "max_position_embeddings": 2048,
    "dtype": "float16",
}
BERT: dict[str, Any] = {"model_type": "bert", "architectures": ["BertModel"], "max_position_embeddings": 512}
TOKENIZER = {"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}
ADAPTER = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "org/base"}


def safetensors_bytes(shapes: dict[str, list[int]] | None = None, *, dtype: str = "F16", item_bytes: int = 2) -> bytes:
    """Return a safetensors file of zeros."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in (shapes or {"embed.weight": [10, 4], "head.weight": [10, 4]}).items():
        size = item_bytes
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + b"\0" * at


def llama_files(**changes: Any) -> dict[str, bytes]:
    """Return the files of a chat model; `changes` are made to its config."""
    return {
        "config.json": json.dumps({**LLAMA, **changes}).encode(),
        "model.safetensors": safetensors_bytes(),
        "tokenizer.json": json.dumps(TOKENIZER).encode(),
        "tokenizer_config.json": json.dumps({"chat_template": "{{ messages }}"}).encode(),
    }


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


PICKLE = pickle.dumps({"a": 1}, protocol=2)
