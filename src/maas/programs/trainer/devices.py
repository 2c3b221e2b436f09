"""Where a run computes, and with how many bits."""

import torch

from maas.programs.trainer.failures import TrainingImpossible

SMALLEST_FOR_BF16_ON_CPU = 20_000_000
"""Below so many parameters a step is mostly dispatch, and fp32 is as fast (and exact)."""


def choose_device(wanted: str) -> torch.device:
    """Return the device asked for, `auto` being a GPU where there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise TrainingImpossible("there is no GPU here", field="device")
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device, parameters: int) -> torch.dtype:
    """Return the type of weights and activations; the optimiser always keeps fp32."""
    if wanted == "fp32":
        return torch.float32
    if wanted == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    abilities = torch.cpu.get_capabilities()
    fast = abilities.get("avx512_bf16") or abilities.get("amx_bf16")
    return torch.bfloat16 if fast and parameters >= SMALLEST_FOR_BF16_ON_CPU else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    return {torch.float32: "fp32", torch.bfloat16: "bf16"}.get(dtype, str(dtype))


def batch_budget(device: torch.device, vocabulary: int, longest: int) -> int:
    """Return how many tokens one forward pass takes: bounded by the size of its logits, and at least one longest row."""
    by_device = 16_384 if device.type == "cuda" else 1024
    by_logits = max(256, 2**28 // max(vocabulary, 1)) * (8 if device.type == "cuda" else 1)
    return max(longest, min(by_device, by_logits))
