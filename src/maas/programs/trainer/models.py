"""Loading of what is to be trained: a folder in Hugging Face layout, safetensors alone, no code of its own."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from maas.programs.trainer.failures import TrainingImpossible

_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_BASE = "base_model_id"


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except Exception as error:
        raise TrainingImpossible(_reason("the base model has no tokenizer that can be loaded", error), field=_BASE) from error
    if not getattr(tokenizer, "is_fast", False):
        raise TrainingImpossible("the base model's tokenizer has no fast form (tokenizer.json)", field=_BASE)
    return tokenizer


def load_model(folder: Path, dtype: torch.dtype, device: torch.device, *, in_four_bits: bool = False) -> Any:
    """Load a decoder-only language model, its linear layers `in_four_bits` (NF4, Dettmers et al. 2023) where that is asked for."""
    check_causal(folder)
    options = _four_bits(dtype, device) if in_four_bits else {}
    try:
        model = _load(folder, dtype, "sdpa", options)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise TrainingImpossible(_reason("the base model could not be loaded", error), field=_BASE) from error
        model = _load(folder, dtype, "eager", options)
    except Exception as error:
        raise TrainingImpossible(_reason("the base model could not be loaded", error), field=_BASE) from error
    # Layers in four bits were put on their device as they were loaded, and cannot be moved.
    return model if in_four_bits else model.to(device)


def check_causal(folder: Path) -> None:
    """Refuse what is no decoder-only language model that transformers holds natively."""
    try:
        config = AutoConfig.from_pretrained(folder, **_LOCAL)
    except Exception as error:
        raise TrainingImpossible(_reason("the base model's config.json cannot be used", error), field=_BASE) from error
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values())
    architectures = config.architectures or [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type, "")]
    if getattr(config, "is_encoder_decoder", False) or not known.intersection(architectures):
        raise TrainingImpossible("the base model is not a decoder-only language model", field=_BASE)


def parameter_count(folder: Path) -> int:
    """Return the number of weights in the folder's safetensors files, read from their headers."""
    from safetensors import safe_open

    count = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                shape = file.get_slice(name).get_shape()
                count += int(torch.Size(shape).numel())
    return count


def merge_adapter(model: Any, adapter: Path) -> Any:
    """Put a PEFT adapter's change into the model's own weights."""
    from peft import PeftModel

    check_adapter(adapter)
    try:
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=False).merge_and_unload(safe_merge=True)
    except Exception as error:
        raise TrainingImpossible(_reason("the base model's adapter does not fit its base", error), field=_BASE) from error


def check_adapter(adapter: Path) -> None:
    """Refuse an adapter that is not safetensors of the LoRA family, or that names code of its own."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("peft_type") != "LORA" or not (adapter / "adapter_model.safetensors").is_file() or config.get("auto_mapping"):
        raise TrainingImpossible("the base model's adapter is not LoRA in safetensors", field=_BASE)


def end_ids(model: Any) -> set[int]:
    """Return the tokens at which the model stops generating."""
    generation = getattr(model, "generation_config", None)
    ends = getattr(generation, "eos_token_id", None)
    if ends is None:
        ends = model.config.get_text_config().eos_token_id
    return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)


def longest_context(model: Any) -> int:
    """Return the number of positions that the model has; very many where it does not say."""
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(positions) if positions else 1_000_000


def _four_bits(dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    from transformers import BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": quantization, "device_map": {"": device}}


def _load(folder: Path, dtype: torch.dtype, attention: str, options: dict[str, Any]) -> Any:
    model = AutoModelForCausalLM.from_pretrained(
        folder, **_LOCAL, use_safetensors=True, dtype=dtype, attn_implementation=attention, output_loading_info=False, **options
    )
    model.config.use_cache = False
    return model


def _reason(what: str, error: Exception) -> str:
    """Say what failed and why in one line, without the folders of this machine."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    words = [word for word in first.split() if "/" not in word]
    return f"{what}: {' '.join(words)}"[:400]
