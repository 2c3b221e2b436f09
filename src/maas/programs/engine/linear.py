"""Linear layers with weights laid out for the CPU's kernels."""

from typing import Any

import torch


def pack_linears(model: Any, dtype: torch.dtype, parameters: int) -> None:
    """Replace the model's linear layers by packed ones where that is faster."""
