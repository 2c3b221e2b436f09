"""Keys and values of all running rows, in slots that rows join, leave and move between."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

_LENGTH_GRAIN = 256


@dataclass(frozen=True)
class Chunk:
    """Part of one row's prompt within a step: tokens `offset` to `offset + length` of the step go to `start` and on in `slot`."""

    slot: int
    start: int
    offset: int
    length: int


@dataclass(frozen=True)
class Extent:
    """So many slots of so many positions each."""

    slots: int
    length: int

    @property
    def positions(self) -> int:
        return self.slots * self.length

    def covers(self, other: "Extent") -> bool:
        return self.slots >= other.slots and self.length >= other.length

    def rounded(self) -> "Extent":
        """Return what is set aside for it at least."""
        return Extent(self.slots, -(-self.length // _LENGTH_GRAIN) * _LENGTH_GRAIN)


@dataclass(eq=False)
class StepPlan:
    """How a step's tokens, lying one after another, belong to slots.

    The first `len(lengths)` tokens are one new token each for slots 0, 1, …; `lengths` counts a slot's tokens, the new one included.
    The chunks' tokens follow. `extent` covers every row, also those that have no part in this step.
    """

    lengths: list[int]
    chunks: list[Chunk]
    device: torch.device
    extent: Extent
    _masks: dict[Any, Tensor | None] = field(default_factory=dict)
    _rows: tuple[Tensor, Tensor] | None = None

    def decoding_index(self) -> tuple[Tensor, Tensor]:
        """Return slots and positions of the decoding rows' new tokens."""
        if self._rows is None:
            positions = torch.tensor(self.lengths, device=self.device) - 1
            self._rows = torch.arange(len(self.lengths), device=self.device), positions
        return self._rows

    def decoding_mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """Return what is added to each decoding row's scores, [rows, 1, 1, positions], or None where it sees everything."""
        key = ("decoding", window)
        if key not in self._masks:
            self._masks[key] = _additive(self._seen_by_decoding(window), dtype)
        return self._masks[key]

    def chunk_mask(self, chunk: Chunk, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """Return what is added to the scores of a chunk's tokens, [tokens, positions], or None where plain causality says it."""
        key = (chunk, window)
        if key not in self._masks:
            self._masks[key] = _additive(self._seen_by_chunk(chunk, window), dtype)
        return self._masks[key]

    def _seen_by_decoding(self, window: int | None) -> Tensor | None:
        longest = max(self.lengths)
        if min(self.lengths) == longest and (window is None or longest <= window):
            return None
        ends = torch.tensor(self.lengths, device=self.device)[:, None]
        places = torch.arange(longest, device=self.device)[None, :]
        seen = places < ends
        if window is not None:
            seen &= places >= ends - window
        return seen[:, None, None, :]

    def _seen_by_chunk(self, chunk: Chunk, window: int | None) -> Tensor | None:
        end = chunk.start + chunk.length
        if chunk.start == 0 and (window is None or end <= window):
            return None
        own = torch.arange(chunk.start, end, device=self.device)[:, None]
        places = torch.arange(end, device=self.device)[None, :]
        seen = places <= own
        if window is not None:
            seen &= places > own - window
        return seen


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, each [slots, heads, length, dim]."""

    keys: Tensor
    values: Tensor

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys = key_states.new_empty((0, key_states.shape[1], 0, key_states.shape[3]))
        self.values = value_states.new_empty((0, value_states.shape[1], 0, value_states.shape[3]))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **_: Any) -> tuple[Tensor, Tensor]:
        """Store a step's keys and values, each [1, heads, tokens, dim]; further arguments: the plan, and the most positions."""
        plan: StepPlan = args[0]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.reserve(plan.extent, args[1])
        for store, new in ((self.keys, key_states[0]), (self.values, value_states[0])):
            if plan.lengths:
                slots, positions = plan.decoding_index()
                store[slots, :, positions] = new[:, : len(plan.lengths)].transpose(0, 1)
            for chunk in plan.chunks:
                part = new[:, chunk.offset : chunk.offset + chunk.length]
                store[chunk.slot, :, chunk.start : chunk.start + chunk.length] = part
        return key_states, value_states

    def reserve(self, needed: Extent, most_positions: int) -> None:
        """Hold at least what is needed, with room to grow while that stays within `most_positions`."""
        have = Extent(self.keys.shape[0], self.keys.shape[2])
        if have.covers(needed) and have.positions <= most_positions:
            return
        want = _with_room_to_grow(have, needed)
        if want.positions > most_positions:
            want = needed.rounded()
        if want != have:
            self.keys, self.values = _resized(self.keys, want), _resized(self.values, want)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a slot to another."""
        for store in (self.keys, self.values):
            store[target, :, :length] = store[source, :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange the first `length` positions of two slots."""
        for store in (self.keys, self.values):
            kept = store[one, :, :length].clone()
            store[one, :, :length] = store[other, :, :length]
            store[other, :, :length] = kept

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """All layers of a model; `plan` is the step under way, `most_positions` what a layer may hold."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.plan: StepPlan | None = None
        self.most_positions = 2**62
        self.newest: SlotLayer | None = None
        self._slots: list[SlotLayer] = []

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store a step's keys and values of one layer; attention finds that layer in `newest`."""
        while len(self._slots) <= layer_idx:
            self._slots.append(SlotLayer())  # type: ignore[no-untyped-call]
        self.newest = self._slots[layer_idx]
        return self.newest.update(key_states, value_states, self.plan, self.most_positions)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def move(self, source: int, target: int, length: int) -> None:
        """Copy a row to another slot."""
        for layer in self._slots:
            layer.move(source, target, length)

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange two rows."""
        for layer in self._slots:
            layer.swap(one, other, length)

    def release(self) -> None:
        """Give all memory back."""
        self._slots.clear()
        self.newest = None

    def bytes_per_token(self) -> int:
        """Return what one position of one slot takes over all layers."""
        return sum(store.shape[1] * store.shape[3] * store.element_size() for store in self._stores())

    def reserved_bytes(self) -> int:
        return sum(store.numel() * store.element_size() for store in self._stores())

    def _stores(self) -> list[Tensor]:
        return [store for layer in self._slots for store in (layer.keys, layer.values)]


def _additive(seen: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if seen is None:
        return None
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


def _with_room_to_grow(have: Extent, needed: Extent) -> Extent:
    slots = have.slots if have.slots >= needed.slots else max(needed.slots, 2 * have.slots)
    length = have.length if have.length >= needed.length else max(needed.rounded().length, have.length * 3 // 2)
    return Extent(slots, length).rounded()


def _resized(store: Tensor, extent: Extent) -> Tensor:
    slots, length = min(store.shape[0], extent.slots), min(store.shape[2], extent.length)
    # Zeros, not garbage: a masked position still enters the product, and 0 × NaN is NaN.
    resized = store.new_zeros((extent.slots, store.shape[1], extent.length, store.shape[3]))
    resized[:slots, :, :length] = store[:slots, :, :length]
    return resized
