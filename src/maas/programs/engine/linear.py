"""Linear layers with weights laid out for the CPU's kernels (oneDNN)."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Placement:
    """Where a layer's outputs lie: of which module of the model, and between which of its outputs (None: all of them)."""

    module: str
    start: int = 0
    stop: int | None = None


def join(*layers: nn.Linear) -> nn.Linear:
    """Return one layer whose outputs are the layers' outputs, one after another."""
    first = layers[0]
    joined = nn.Linear(first.in_features, sum(layer.out_features for layer in layers), bias=False, device="meta")
    joined.weight = _parameter(torch.cat([layer.weight for layer in layers]))
    if any(layer.bias is not None for layer in layers):
        joined.bias = _parameter(
            torch.cat([layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias for layer in layers])
        )
    return joined


def _parameter(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def linear_of(weight: Tensor) -> nn.Module:
    """Return a layer without bias, packed where that is faster."""
    if _is_worth_packing(weight):
        return PackedLinear(weight, None, keeps_plain=False)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    layer.weight = _parameter(weight)
    return layer


def pack_linears(model: Any, parameters: int) -> None:
    """Replace the model's linear layers by packed ones where that is faster."""
    for name, layer in list(model.named_modules()):
        if type(layer) not in (nn.Linear, Conv1D) or not _is_worth_packing(layer.weight):
            continue
        weight = layer.weight.T.contiguous() if isinstance(layer, Conv1D) else layer.weight
        keeps_plain = weight.dtype == torch.float32 and parameters <= _MOST_WEIGHTS_KEPT_PLAIN
        put_module(model, name, PackedLinear(weight.detach(), layer.bias, keeps_plain=keeps_plain))


def put_module(model: Any, name: str, module: nn.Module) -> None:
    """Put a module in place of the model's one of that name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, child, module)


def _is_worth_packing(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or weight.numel() < _FEWEST_WEIGHTS or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
    return bool(weight.dtype == torch.float32)
