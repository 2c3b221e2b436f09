"""Several LoRA adapters of one base in one batch.

Of every layer that some adapter changes, all A matrices lie one below the other and all B matrices side by side; a mask per token
keeps each token to its own adapter's ranks. So a step costs the same whatever the number of adapters in it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from maas.programs.engine.failures import EngineUnusable
from maas.programs.engine.linear import PackedLinear, Placement, linear_of, put_module
from maas.programs.engine.lora_files import AdapterFiles, LayerChange, read_adapter

Runs = list[tuple[str | None, int]]
_LINEAR = (nn.Linear, Conv1D, PackedLinear)


@dataclass(frozen=True)
class Part:
    """What one adapter changes in one module: of its outputs, those from `start` on."""

    adapter: int
    start: int
    change: LayerChange


class AdapterSet:
    """The adapters of a model. All changes happen between steps, on the thread that computes.

    `placements` says of the layers that adapters name where they lie in the model, if not under their own names.
    """

    def __init__(self, model: Any, placements: Mapping[str, Placement] | None = None) -> None:
        self._model, self._placements = model, placements or {}
        self._adapters: dict[str, AdapterFiles] = {}
        self._retired: frozenset[str] = frozenset()
        self._layers: dict[str, AdaptedLinear] = {}
        self._selection = Selection()

    def names(self) -> list[str]:
        """Return the adapters that new requests may use."""
        return sorted(set(self._adapters) - self._retired)

    def has(self, name: str) -> bool:
        """Tell whether an adapter's weights are in the model."""
        return name in self._adapters

    def retire(self, name: str) -> None:
        """Keep new requests from an adapter; those that use it go on."""
        self._retired |= {name}

    def is_retired(self, name: str) -> bool:
        return name in self._retired

    def load(self, name: str, folder: Path) -> None:
        """Add an adapter, replacing one of the same name; raises EngineUnusable where it does not fit."""
        self.add(name, self.read(folder))

    def read(self, folder: Path) -> AdapterFiles:
        """Read and check an adapter's files against the model; safe on any thread."""
        return read_adapter(folder, self._weight)

    def add(self, name: str, adapter: AdapterFiles) -> None:
        """Put an adapter that was read into the model."""
        self._adapters = {**self._adapters, name: adapter}
        self._retired -= {name}
        self._rebuild()

    def remove(self, name: str) -> None:
        """Take an adapter out of the model."""
        self._adapters = {other: files for other, files in self._adapters.items() if other != name}
        self._retired -= {name}
        self._rebuild()

    def select(self, runs: Runs) -> None:
        """Say which adapter each run of the step's tokens uses."""
        if self._adapters:
            self._selection.set(runs, list(self._adapters))

    def _rebuild(self) -> None:
        changed: dict[str, list[Part]] = defaultdict(list)
        for index, adapter in enumerate(self._adapters.values()):
            for name, change in adapter.changes.items():
                placement = self._placement(name)
                changed[placement.module].append(Part(index, placement.start, change))
        for module in list(self._layers):
            if module not in changed:
                put_module(self._model, module, self._layers.pop(module).base)
        for module, parts in changed.items():
            if module not in self._layers:
                self._layers[module] = AdaptedLinear(self._model.get_submodule(module), self._selection)
                put_module(self._model, module, self._layers[module])
            self._layers[module].stack(parts, adapters=len(self._adapters))

    def _placement(self, name: str) -> Placement:
        return self._placements.get(name) or Placement(name)

    def _weight(self, name: str) -> Tensor:
        """Return a layer's weight as [features out, features in]."""
        placement = self._placement(name)
        try:
            layer = self._model.get_submodule(placement.module)
        except AttributeError as error:
            raise EngineUnusable(f"the adapter is for another model: there is no layer {name[:100]}") from error
        if isinstance(layer, AdaptedLinear):
            layer = layer.base
        if not isinstance(layer, _LINEAR):
            raise EngineUnusable(f"the adapter changes {name[:100]}, which is no linear layer")
        weight: Tensor = layer.weight
        return (weight.T if isinstance(layer, Conv1D) else weight)[placement.start : placement.stop]


class Selection:
    """Which token of the step uses which adapter, as masks that layers of one shape share."""

    def __init__(self) -> None:
        self.active = False
        self._index: list[int] = []
        self._lengths: list[int] = []
        self._masks: dict[Any, Tensor] = {}

    def set(self, runs: Runs, names: list[str]) -> None:
        """Take the step's runs; tokens without adapter have index -1."""
        places = {name: place for place, name in enumerate(names)}
        self._index = [-1 if name is None else places[name] for name, _ in runs]
        self._lengths = [length for _, length in runs]
        self.active = any(index >= 0 for index in self._index)
        self._masks.clear()

    def columns(self, owners: Tensor, key: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return 1 where a token owns a column, [tokens, columns]."""
        if (key, dtype) not in self._masks:
            self._masks[key, dtype] = (self.tokens(owners.device)[:, None] == owners[None, :]).to(dtype)
        return self._masks[key, dtype]

    def tokens(self, device: torch.device) -> Tensor:
        """Return the adapter's index of each token, [tokens]."""
        if "tokens" not in self._masks:
            index = torch.tensor(self._index, device=device)
            self._masks["tokens"] = index.repeat_interleave(torch.tensor(self._lengths, device=device))
        return self._masks["tokens"]


class AdaptedLinear(nn.Module):
    """A linear layer with what the adapters add to it: `base(x) + ((x A) ∘ mask) B`, and DoRA's scale of the sum."""

    scales: Tensor | None

    def __init__(self, base: nn.Module, selection: Selection) -> None:
        super().__init__()
        self.base = base
        self._selection = selection
        self._key: tuple[int, ...] = ()

    def stack(self, parts: list[Part], *, adapters: int) -> None:
        """Take all that the adapters, so many in all, change in this layer."""
        parts = sorted(parts, key=lambda part: part.start)
        down = torch.cat([part.change.down for part in parts])
        self._down, self._ups = linear_of(down), _ups(parts)
        self._key = tuple(part.adapter for part in parts for _ in range(part.change.rank))
        self._owners = torch.tensor(self._key, device=down.device)
        width: int = self.base.nf if isinstance(self.base, Conv1D) else self.base.out_features  # type: ignore[assignment]
        self.scales = _scales(parts, down.new_ones((adapters + 1, width)))

    def forward(self, x: Tensor) -> Tensor:
        """Take and return tokens by features."""
        plain: Tensor = self.base(x)
        if not self._selection.active:
            return plain
        lowered = self._down(x).mul_(self._selection.columns(self._owners, self._key, x.dtype))
        for ranks, outputs, up in self._ups:
            plain[..., outputs].add_(up(lowered[..., ranks]))
        if self.scales is None:
            return plain
        scale = self.scales[self._selection.tokens(x.device)]
        bias = getattr(self.base, "bias", None)
        return plain * scale if bias is None else (plain - bias) * scale + bias


def _ups(parts: list[Part]) -> list[tuple[slice, slice, nn.Module]]:
    """Return the B matrices that change the same outputs side by side, with the ranks that they take and the outputs that they give."""
    ups, rank = [], 0
    for start, group in groupby(parts, key=lambda part: part.start):
        up = torch.cat([part.change.up for part in group], dim=1)
        ups.append((slice(rank, rank + up.shape[1]), slice(start, start + up.shape[0]), linear_of(up)))
        rank += up.shape[1]
    return ups


def _scales(parts: list[Part], scales: Tensor) -> Tensor | None:
    """Write DoRA's scale of each output per adapter into `scales`; its last row is for tokens without one."""
    scaled = [part for part in parts if part.change.scale is not None]
    for part in scaled:
        assert part.change.scale is not None
        scales[part.adapter, part.start : part.start + len(part.change.scale)] = part.change.scale
    return scales if scaled else None
