"""Loading of a model folder: safetensors alone, no code of its own, and every failure a sentence for its owner."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoTokenizer

from maas.programs.engine.failures import EngineUnusable
from maas.programs.engine.precision import free_memory_bytes, used_memory_bytes
from maas.programs.engine.spec import EngineSpec
from maas.programs.engine.text_codec import TextCodec
from maas.programs.model_loading import LOCAL_ONLY, ModelFilesUnusable, check_weights, reason_of

_MEMORY_BESIDE_WEIGHTS = 1.1
_MOST_TIMES_LARGER = 1.2
_SMALL_PART = 2_000_000


def load_config(folder: Path) -> Any:
    """Read config.json, refusing architectures that transformers does not know by itself."""
    try:
        return AutoConfig.from_pretrained(folder, **LOCAL_ONLY)
    except Exception as error:
        raise EngineUnusable(reason_of("the model's config.json cannot be used", error)) from error


def load_codec(folder: Path) -> TextCodec:
    """Load the tokenizer as what text generation needs of it."""
    return TextCodec(load_tokenizer(folder))


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer, which must have a fast form."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL_ONLY)
    except Exception as error:
        raise EngineUnusable(reason_of("the model has no tokenizer that can be loaded", error)) from error
    if not getattr(tokenizer, "is_fast", False):
        raise EngineUnusable("the model's tokenizer has no fast form (tokenizer.json)")
    if not tokenizer.backend_tokenizer.encode("a", add_special_tokens=False).ids:
        # Where the files are missing, transformers makes up an empty one.
        raise EngineUnusable("the model has no tokenizer: its files have no vocabulary")
    return tokenizer


def count_parameters(folder: Path) -> int:
    """Return the number of weights, read from the files' headers, having checked these."""
    try:
        check_weights(folder)
        count = 0
        for path in folder.glob("*.safetensors"):
            with safe_open(path, framework="pt") as file:
                count += sum(torch.Size(file.get_slice(name).get_shape()).numel() for name in file.keys())  # noqa: SIM118
    except ModelFilesUnusable as error:
        raise EngineUnusable(str(error)) from error
    except Exception as error:
        raise EngineUnusable(reason_of("the model's weights cannot be read", error)) from error
    return count


def load_weights(
    auto_class: Any,
    config: Any,
    spec: EngineSpec,
    *,
    dtype: torch.dtype,
    device: torch.device,
    attention: str,
    unneeded: tuple[str, ...] = (),
) -> Any:
    """Load a model by one of transformers' Auto classes, whole (but for what begins as in `unneeded`) or not at all."""
    parameters = count_parameters(spec.model_dir)
    _check_memory(parameters, dtype, device, spec.memory_bytes)
    try:
        _check_size(auto_class, config, parameters)
        model, report = auto_class.from_pretrained(
            spec.model_dir,
            **LOCAL_ONLY,
            use_safetensors=True,
            dtype=dtype,
            attn_implementation=attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        _check_complete(report, unneeded)
        return model.to(device).eval().requires_grad_(requires_grad=False)
    except EngineUnusable:
        raise
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise EngineUnusable("there is not enough memory to load the model") from error
    except Exception as error:
        raise EngineUnusable(reason_of("the model could not be loaded", error)) from error


def _check_memory(parameters: int, dtype: torch.dtype, device: torch.device, memory_bytes: int | None) -> None:
    need = int(parameters * dtype.itemsize * _MEMORY_BESIDE_WEIGHTS)
    free = free_memory_bytes(device)
    if memory_bytes is not None:
        free = max(0, min(free, memory_bytes - used_memory_bytes(device)))
    if need > free:
        raise EngineUnusable(
            f"there is not enough memory to load the model: it needs {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free"
        )


def _check_size(auto_class: Any, config: Any, parameters: int) -> None:
    """Refuse a config that asks for far more weights than there are, before memory is taken for them."""
    with torch.device("meta"):
        model = auto_class.from_config(config)
    asked = sum(weight.numel() for weight in model.parameters())
    if asked > parameters * _MOST_TIMES_LARGER + _SMALL_PART:
        raise EngineUnusable(f"the model's config.json asks for {asked:,} weights, and its files have {parameters:,}")


def _check_complete(report: Any, unneeded: tuple[str, ...]) -> None:
    """Refuse weights that transformers would silently have filled in at random."""
    missing = sorted(name for name in report["missing_keys"] if not (unneeded and name.startswith(unneeded)))
    if missing:
        raise EngineUnusable(f"the model's weights lack {len(missing)} of its tensors, for example {missing[0]}")
    mismatched = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if mismatched:
        raise EngineUnusable(f"the model's weights do not fit its config.json, for example {mismatched[0]}")
