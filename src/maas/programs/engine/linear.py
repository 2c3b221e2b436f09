"""Linear layers with weights laid out for the CPU's kernels (oneDNN)."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

_FEWEST_WEIGHTS = 2**17
"""A smaller layer is faster plain: the packed kernel's call costs more than it saves."""

_MOST_WEIGHTS_KEPT_PLAIN = 500_000_000
"""Up to so many weights in fp32 the plain ones stay beside the packed ones, since they are faster for a single row."""

_ROWS_PACKED_FOR = 16


class PackedLinear(nn.Module):
    """A linear layer by oneDNN's own layout of its weights, up to twice as fast as the plain one where few rows meet many weights."""

    def __init__(self, weight: Tensor, bias: Tensor | None, *, keeps_plain: bool) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = bias
        self._plain = weight if keeps_plain else None
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_PACKED_FOR)  # noqa: SLF001 (torch's inductor calls it so)

    @property
    def weight(self) -> Tensor:
        """Return the weights as [features out, features in]; where only packed ones are kept, unpacked anew each time."""
        if self._plain is not None:
            return self._plain
        unpacked: Tensor = self._packed.to_dense()
        return unpacked

    def forward(self, x: Tensor) -> Tensor:
        """Take [1, tokens, features in]."""
        if self._plain is not None and x.shape[-2] == 1:
            return nn.functional.linear(x, self._plain, self.bias)
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")  # noqa: SLF001
        return product


def pack_linears(model: Any, device: torch.device, parameters: int) -> None:
    """Replace the model's linear layers by packed ones where that is faster."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return
    for name, layer in list(model.named_modules()):
        if type(layer) not in (nn.Linear, Conv1D) or layer.weight.numel() < _FEWEST_WEIGHTS or not _can_pack(layer.weight.dtype):
            continue
        weight = layer.weight.T.contiguous() if isinstance(layer, Conv1D) else layer.weight
        keeps_plain = weight.dtype == torch.float32 and parameters <= _MOST_WEIGHTS_KEPT_PLAIN
        put_module(model, name, PackedLinear(weight.detach(), layer.bias, keeps_plain=keeps_plain))


def put_module(model: Any, name: str, module: nn.Module) -> None:
    """Put a module in place of the model's one of that name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, child, module)


def _can_pack(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return dtype == torch.float32
