"""How an embedding model's folder says that its vectors are made: `modules.json` and its kin, read as data."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas.programs.engine.failures import EngineUnusable

_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "lasttoken",
}
_KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, kw_only=True)
class EncoderFiles:
    """What stands beside the weights. Without `modules.json`: the mean over tokens, normalised."""

    pooling: str = "mean"
    normalize: bool = True
    max_length: int | None = None
    lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


def read_encoder_files(folder: Path) -> EncoderFiles:
    """Read the folder, refusing modules whose effect the engine does not know."""
    try:
        return _read(folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineUnusable("the embedding model's modules.json, or a file that it names, is malformed") from error


def _read(folder: Path) -> EncoderFiles:
    transformer = _json(folder / "sentence_bert_config.json")
    sentences = _json(folder / "config_sentence_transformers.json")
    modules = _modules(folder)
    normalize = "Normalize" in modules or not modules
    length = transformer.get("max_seq_length")
    return EncoderFiles(
        pooling=_pooling(folder, modules["Pooling"]) if "Pooling" in modules else "mean",
        normalize=normalize,
        max_length=int(length) if length else None,
        lower_case=bool(transformer.get("do_lower_case", False)),
        prompts={str(name): str(prompt) for name, prompt in (sentences.get("prompts") or {}).items()},
        default_prompt=sentences.get("default_prompt_name"),
    )


def _modules(folder: Path) -> dict[str, str]:
    path = folder / "modules.json"
    if not path.is_file():
        return {}
    found: dict[str, str] = {}
    for entry in json.loads(path.read_text(encoding="utf-8")):
        kind = str(entry["type"]).rsplit(".", 1)[-1]
        if kind not in _KNOWN_MODULES:
            raise EngineUnusable(f"the embedding model uses a module that the engine does not know: {kind[:60]}")
        found[kind] = str(entry["path"])
    return found


def _pooling(folder: Path, place: str) -> str:
    path = (folder / place / "config.json").resolve()
    if not path.is_relative_to(folder.resolve()):
        raise EngineUnusable("the embedding model's modules.json names a file outside of the model")
    config = _json(path)
    named = config.get("pooling_mode")
    modes = [named] if isinstance(named, str) else [mode for key, mode in _POOLINGS.items() if config.get(key)]
    others = [key for key, value in config.items() if key.startswith("pooling_mode_") and value and key not in _POOLINGS]
    if others or len(modes) != 1 or modes[0] not in _POOLINGS.values():
        raise EngineUnusable("the embedding model's pooling is none of mean, cls, max and lasttoken")
    return str(modes[0])


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(path.name)
    return value
