"""What of a model learns: an adapter of the LoRA family, or all of it."""

import warnings
from typing import Any

import torch

from maas.domain.finetuning.parameters import Algorithm, Hyperparameters
from maas.programs.trainer.failures import TrainingImpossible


def check_algorithm(algorithm: Algorithm, device: torch.device, *, on_adapter: bool) -> None:
    """Refuse QLoRA where the machine cannot do it, and where its result could not stand by itself."""
    if algorithm is not Algorithm.QLORA:
        return
    if on_adapter:
        raise TrainingImpossible("qlora needs a whole model as its base, not an adapter; use lora", field="algorithm")
    if device.type != "cuda":
        raise TrainingImpossible("qlora needs an NVIDIA GPU, and there is none here; use lora", field="algorithm")
    try:
        import bitsandbytes  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError as error:
        raise TrainingImpossible("qlora needs the package bitsandbytes, which is not installed", field="algorithm") from error


def prepare(model: Any, algorithm: Algorithm, hyperparameters: Hyperparameters) -> tuple[Any, Any]:
    """Return (the model to call, the PEFT model around it or None for `full`)."""
    if algorithm is Algorithm.FULL:
        model.requires_grad_(requires_grad=True)
        return model, None
    peft_model = _with_adapter(model, algorithm, hyperparameters)
    return peft_model.get_base_model(), peft_model


def _with_adapter(model: Any, algorithm: Algorithm, hyperparameters: Hyperparameters) -> Any:
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers.pytorch_utils import Conv1D

    targets = hyperparameters.target_modules
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=hyperparameters.lora_r,
        lora_alpha=_whole(hyperparameters.lora_alpha),
        lora_dropout=hyperparameters.lora_dropout,
        target_modules="all-linear" if targets is None else list(targets),
        use_dora=algorithm is Algorithm.DORA,
        use_rslora=algorithm is Algorithm.RSLORA,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    try:
        with warnings.catch_warnings():
            # Each target of the other kind of layer makes PEFT turn fan_in_fan_out by itself, with a warning.
            warnings.filterwarnings("ignore", message="fan_in_fan_out")
            return get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        reason = "none of these are linear layers of the base model" if targets else f"the base model takes no adapter: {error}"
        field = "hyperparameters.target_modules" if targets else "base_model_id"
        raise TrainingImpossible(reason[:300], field=field) from error


def _whole(alpha: float) -> Any:
    """Keep a whole alpha an integer in adapter_config.json, as other tools write it."""
    return int(alpha) if float(alpha).is_integer() else alpha
