"""A PEFT adapter's folder, read as data and checked against the model that it is for."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from maas.programs.engine.failures import EngineUnusable
from maas.programs.model_loading import ModelFilesUnusable, check_weights

_KEY = re.compile(r"base_model\.model\.(?P<layer>.+)\.(?P<part>lora_A\.weight|lora_B\.weight|lora_magnitude_vector(?:\.weight)?)")
_PLAIN_PATTERN = re.compile(r"[\w.]+")
_STARTS_THAT_CHANGE_THE_BASE = ("pissa", "olora", "corda", "loftq")
_LARGEST_CONFIG_BYTES = 2**20


@dataclass(frozen=True)
class LayerChange:
    """What an adapter adds to one layer: `down` is [rank, features in], `up` [features out, rank] with the scaling in it."""

    down: Tensor
    up: Tensor
    scale: Tensor | None

    @property
    def rank(self) -> int:
        return self.down.shape[0]


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter, by the names of the layers that it changes."""

    changes: dict[str, LayerChange]


def read_adapter(folder: Path, weight_of: Callable[[str], Tensor]) -> AdapterFiles:
    """Read a LoRA, rsLoRA or DoRA adapter. `weight_of` returns a layer's weight as [features out, features in], or raises."""
    config = _read_config(folder)
    try:
        check_weights(folder)
        tensors = load_file(folder / "adapter_model.safetensors")
    except ModelFilesUnusable as error:
        raise EngineUnusable(f"the adapter cannot be loaded: {error}") from error
    except Exception as error:
        raise EngineUnusable("the adapter's adapter_model.safetensors cannot be read") from error
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise EngineUnusable(f"the adapter changes what the engine does not adapt: {key[:100]}")
        layers.setdefault(match["layer"], {})[match["part"].removesuffix(".weight")] = tensor
    if not layers:
        raise EngineUnusable("the adapter is empty")
    with torch.inference_mode():
        return AdapterFiles({name: _change(config, name, parts, weight_of(name)) for name, parts in layers.items()})


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    try:
        if path.stat().st_size > _LARGEST_CONFIG_BYTES:
            raise ValueError("too large")
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config["peft_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineUnusable("the adapter has no valid adapter_config.json") from error
    if kind != "LORA":
        raise EngineUnusable(f"the adapter is of type {str(kind)[:40]}; the engine serves LoRA, rsLoRA and DoRA")
    start = str(config.get("init_lora_weights", ""))
    if start.lower().startswith(_STARTS_THAT_CHANGE_THE_BASE):
        raise EngineUnusable(f"the adapter was started by {start[:20]}, which also changes the base: convert it to plain LoRA")
    if config.get("modules_to_save") or config.get("bias", "none") != "none" or config.get("alora_invocation_tokens"):
        raise EngineUnusable(
            "the adapter also trains whole modules, biases or invocation tokens, which the engine does not serve"
        )
    if not all(_PLAIN_PATTERN.fullmatch(pattern) for pattern in config.get("alpha_pattern") or ()):
        raise EngineUnusable("the adapter's alpha_pattern has patterns that are not plain names of layers")
    return _with_numbers(config)


def _with_numbers(config: dict[str, Any]) -> dict[str, Any]:
    try:
        alphas = {name: float(alpha) for name, alpha in (config.get("alpha_pattern") or {}).items()}
        return {**config, "lora_alpha": float(config.get("lora_alpha", 8)), "alpha_pattern": alphas}
    except (TypeError, ValueError, AttributeError) as error:
        raise EngineUnusable("the adapter's adapter_config.json has an alpha that is no number") from error


def _change(config: dict[str, Any], name: str, parts: dict[str, Tensor], weight: Tensor) -> LayerChange:
    down, up = parts.get("lora_A"), parts.get("lora_B")
    features_out, features_in = weight.shape
    if down is None or up is None or down.dim() != 2 or up.shape != (features_out, down.shape[0]) or down.shape[1] != features_in:
        raise EngineUnusable(f"the adapter does not fit the model's layer {name[:100]}")
    place = {"device": weight.device, "dtype": weight.dtype}
    scaled = up.float() * _scaling(config, name, down.shape[0])
    scale = None
    magnitude = parts.get("lora_magnitude_vector")
    if magnitude is not None:
        whole = weight.float().cpu() + scaled @ down.float()
        scale = (magnitude.float().flatten() / whole.norm(dim=1)).to(**place)
    return LayerChange(down.to(**place), scaled.to(**place), scale)


def _scaling(config: dict[str, Any], name: str, rank: int) -> float:
    """Return alpha over rank; the first pattern that ends a layer's name counts, as in PEFT."""
    matching = (alpha for pattern, alpha in config["alpha_pattern"].items() if f".{name}".endswith(f".{pattern}"))
    alpha: float = next(matching, config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
