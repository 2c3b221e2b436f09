"""On what the engine computes, and with how many bits."""

import os

import torch

from maas.programs.engine.failures import EngineUnusable
from maas.programs.engine.metrics import resident_bytes

SMALLEST_FOR_BF16_ON_CPU = 20_000_000
"""Below so many parameters a step is mostly dispatch: fp32 is as fast, and exact."""

_NAMED = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(wanted: str) -> torch.device:
    """Return the device asked for; `auto` is a GPU where there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EngineUnusable("this host has no usable GPU")
    return torch.device(wanted)


def choose_dtype(wanted: str, device: torch.device, parameters: int) -> torch.dtype:
    """Return the type of weights and activations; `auto` is bf16 where the device is fast at it."""
    if wanted != "auto":
        return _NAMED[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if parameters >= SMALLEST_FOR_BF16_ON_CPU and computes_bf16_fast() else torch.float32


def computes_bf16_fast() -> bool:
    """Tell whether this CPU multiplies bf16 natively."""
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def set_threads(threads: int | None) -> None:
    """Compute on so many threads, by default one for each CPU that this process may use."""
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))


def free_memory_bytes(device: torch.device) -> int:
    """Return how much memory could be taken now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
        values = {name: int(rest.split()[0]) for name, rest in (line.split(":", 1) for line in file)}
    return min(values["MemAvailable"] * 1024, _left_in_control_group())


def used_memory_bytes(device: torch.device) -> int:
    """Return how much of the device's memory this process holds."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    return resident_bytes()


def _left_in_control_group() -> int:
    """Return how much memory the container's limit leaves; very much where there is none."""
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:  # noqa: PTH123
            limit = file.read().strip()
        with open("/sys/fs/cgroup/memory.current", encoding="ascii") as file:  # noqa: PTH123
            used = int(file.read())
    except (OSError, ValueError):
        return 2**63
    return 2**63 if limit == "max" else max(0, int(limit) - used)
