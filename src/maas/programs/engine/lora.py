"""Several LoRA adapters of one base in one batch.

Of every layer that some adapter changes, all A matrices lie side by side and all B matrices one below the other; a mask per token
keeps each token to its own adapter's columns. So a step costs the same whatever the number of adapters in it.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maas.programs.engine.linear import put_module
from maas.programs.engine.lora_files import AdapterFiles, LayerChange, read_adapter

Runs = list[tuple[str | None, int]]


class AdapterSet:
    """The adapters of a model. All changes happen between steps, on the thread that computes."""

    def __init__(self, model: Any) -> None:
        self._model = model
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
        return read_adapter(folder, self._model, wrapped=AdaptedLinear)

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
        changed = {layer for files in self._adapters.values() for layer in files.changes}
        for name in list(self._layers):
            if name not in changed:
                put_module(self._model, name, self._layers.pop(name).base)
        for name in sorted(changed):
            if name not in self._layers:
                self._layers[name] = AdaptedLinear(self._model.get_submodule(name), self._selection)
                put_module(self._model, name, self._layers[name])
            parts = [adapter.changes.get(name) for adapter in self._adapters.values()]
            self._layers[name].stack(parts)


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

    down: Tensor
    up: Tensor
    owners: Tensor
    scales: Tensor | None

    def __init__(self, base: nn.Module, selection: Selection) -> None:
        super().__init__()
        self.base = base
        self._selection = selection
        self._key: tuple[int, ...] = ()

    def stack(self, changes: list[LayerChange | None]) -> None:
        """Take each adapter's change of this layer, None where it leaves it alone."""
        present = [change for change in changes if change is not None]
        self.down = torch.cat([change.down for change in present], dim=1)
        self.up = torch.cat([change.up for change in present], dim=0)
        owners = [place for place, change in enumerate(changes) if change is not None for _ in range(change.rank)]
        self._key = tuple(owners)
        self.owners = torch.tensor(owners, device=self.down.device)
        self.scales = _scales(changes) if any(change.scale is not None for change in present) else None

    def forward(self, x: Tensor) -> Tensor:
        """Take and return [1, tokens, features]."""
        plain: Tensor = self.base(x)
        if not self._selection.active:
            return plain
        mask = self._selection.columns(self.owners, self._key, x.dtype)
        added = ((x @ self.down) * mask) @ self.up
        if self.scales is None:
            return plain + added
        scale = self.scales[self._selection.tokens(x.device)]
        bias = getattr(self.base, "bias", None)
        return (plain + added) * scale if bias is None else (plain - bias + added) * scale + bias


def _scales(changes: list[LayerChange | None]) -> Tensor:
    """Return DoRA's scale of each output per adapter, [adapters + 1, features]; the last row is for tokens without one."""
    shape = next(change for change in changes if change is not None)
    ones = torch.ones_like(shape.up[0])
    rows = [ones if change is None or change.scale is None else change.scale for change in changes]
    return torch.stack([*rows, ones])
