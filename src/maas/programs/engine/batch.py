"""The rows that run, and their slots: decoding ones first, then those whose prompts are still being computed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from maas.programs.engine.cache import Chunk, Extent, SlotCache, StepPlan
from maas.programs.engine.detokenizer import Detokenizer, StopFinder
from maas.programs.engine.generation import Generation
from maas.programs.engine.sampling import Sampler

_SHARE_FOR_NEWCOMERS = 4
"""While streams run, a step takes at most this part of the prefill budget, so that they pause briefly."""


@dataclass(eq=False)
class Row:
    """A request in the batch; its place among the rows is its slot."""

    generation: Generation
    detokenizer: Detokenizer
    stop_finder: StopFinder
    sampler: Sampler
    tokens: list[int]
    cached: int = 0
    generated: int = 0
    came_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Step:
    """A step laid out: its tokens with their positions, and the rows whose next token follows from the tokens at `ends`."""

    plan: StepPlan
    tokens: list[int]
    positions: list[int]
    ends: list[int]
    stepping: list[Row]
    adapters: list[tuple[str | None, int]]


class Batch:
    """Keeps rows and the cache's slots in the same order."""

    def __init__(self, cache: SlotCache, device: torch.device) -> None:
        self._cache, self._device = cache, device
        self._rows: list[Row] = []
        self._decoding = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Sequence[Row]:
        return self._rows

    def join(self, row: Row) -> None:
        self._rows.append(row)

    def clear(self) -> None:
        """Forget all rows, and give the cache's memory back."""
        self._rows.clear()
        self._decoding = 0
        self._cache.release()

    def leave(self, row: Row) -> None:
        """Take a row out; the last decoding row fills its slot, and the last row of all fills that one's."""
        slot = self._rows.index(row)
        if slot < self._decoding:
            self._decoding -= 1
            self._fill(slot, self._decoding)
            slot = self._decoding
        self._fill(slot, len(self._rows) - 1)
        self._rows.pop()

    def graduate(self, row: Row) -> None:
        """Move a row whose prompt is done to the end of the decoding ones."""
        slot, target = self._rows.index(row), self._decoding
        if slot < target:
            return
        if slot != target:
            length = max(self._rows[slot].cached, self._rows[target].cached)
            self._cache.swap(slot, target, length)
            self._rows[slot], self._rows[target] = self._rows[target], self._rows[slot]
        self._decoding += 1

    def plan(self, budget: int) -> Step:
        """Lay out a step: a token of each decoding row, then chunks of prompts, oldest first, within the budget."""
        decoding, newcomers = self._rows[: self._decoding], self._rows[self._decoding :]
        tokens = [row.tokens[-1] for row in decoding]
        positions = [row.cached for row in decoding]
        ends, stepping = list(range(len(decoding))), list(decoding)
        chunks: list[Chunk] = []
        left = max(1, budget // _SHARE_FOR_NEWCOMERS) if decoding else budget
        for row in sorted(newcomers, key=lambda row: row.came_at):
            length = min(left, len(row.tokens) - row.cached)
            if length == 0:
                break
            chunks.append(Chunk(self._rows.index(row), row.cached, len(tokens), length))
            tokens += row.tokens[row.cached : row.cached + length]
            positions += range(row.cached, row.cached + length)
            left -= length
            if row.cached + length == len(row.tokens):
                ends.append(len(tokens) - 1)
                stepping.append(row)
        plan = StepPlan([row.cached + 1 for row in decoding], chunks, self._device, extent_of(self._rows))
        adapters = [(row.generation.adapter, 1) for row in decoding]
        adapters += [(self._rows[chunk.slot].generation.adapter, chunk.length) for chunk in chunks]
        return Step(plan, tokens, positions, ends, stepping, adapters)

    def done(self, plan: StepPlan) -> None:
        """Count a step's tokens as cached."""
        for row in self._rows[: self._decoding]:
            row.cached += 1
        for chunk in plan.chunks:
            self._rows[chunk.slot].cached += chunk.length

    def _fill(self, target: int, source: int) -> None:
        if source != target:
            row = self._rows[source]
            self._rows[target] = row
            if row.cached:
                self._cache.move(source, target, row.cached)


def extent_of(rows: Sequence[Row]) -> Extent:
    """Return what the cache must hold for these rows: all slots are as long as the longest."""
    return Extent(len(rows), max(len(row.tokens) for row in rows))
