"""Sequences put together so that little of the work is padding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy
import numpy.typing
import torch

Tokens = numpy.typing.NDArray[numpy.int64]
Marks = numpy.typing.NDArray[numpy.bool_]
Unit = list[tuple[Tokens, Marks]]
"""The sequences of one row, which stay together."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass takes, and what it should have said.

    `picked` are the flat positions (row-major) whose next token is learned, `targets` those tokens,
    and `sequence_of` the number of the sequence that each belongs to.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor | None
    attention_mask: torch.Tensor | None
    picked: torch.Tensor
    targets: torch.Tensor
    sequence_of: torch.Tensor
    sequences: int
    tokens: int
    lengths: tuple[int, ...]


def batches(units: Sequence[Unit], *, budget: int, packed: bool, pad_id: int) -> list[Batch]:
    """Share units out over batches of at most `budget` tokens each, padding counted; a larger unit stands alone."""
    if packed:
        return [_pack(group) for group in _first_fit(units, budget)]
    return [_pad(group, pad_id) for group in _by_length(units, budget)]


def _first_fit(units: Sequence[Unit], budget: int) -> Iterable[list[Unit]]:
    bins: list[list[Unit]] = []
    room: list[int] = []
    for unit in sorted(units, key=_size, reverse=True):
        size = _size(unit)
        place = next((index for index, free in enumerate(room) if free >= size), None)
        if place is None:
            bins.append([unit])
            room.append(budget - size)
        else:
            bins[place].append(unit)
            room[place] -= size
    return bins


def _by_length(units: Sequence[Unit], budget: int) -> Iterable[list[Unit]]:
    group: list[Unit] = []
    for unit in sorted(units, key=_longest, reverse=True):
        sequences = sum(len(one) for one in group) + len(unit)
        if group and sequences * _longest(group[0]) > budget:
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _size(unit: Unit) -> int:
    return sum(len(tokens) for tokens, _ in unit)


def _longest(unit: Unit) -> int:
    return max(len(tokens) for tokens, _ in unit)


def _pack(units: Sequence[Unit]) -> Batch:
    """Lay sequences end to end in one row; positions that begin again tell the model where each starts."""
    sequences = [sequence for unit in units for sequence in unit]
    starts = numpy.cumsum([0] + [len(tokens) for tokens, _ in sequences])
    positions = numpy.concatenate([numpy.arange(len(tokens)) for tokens, _ in sequences])
    row = numpy.concatenate([tokens for tokens, _ in sequences])
    return _batch(
        sequences,
        input_ids=torch.from_numpy(row)[None],
        position_ids=torch.from_numpy(positions)[None],
        attention_mask=None,
        starts=[int(start) for start in starts[:-1]],
    )


def _pad(units: Sequence[Unit], pad_id: int) -> Batch:
    """Lay sequences under each other, padded on the right."""
    sequences = [sequence for unit in units for sequence in unit]
    width = max(len(tokens) for tokens, _ in sequences)
    input_ids = torch.full((len(sequences), width), pad_id)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for index, (tokens, _) in enumerate(sequences):
        input_ids[index, : len(tokens)] = torch.from_numpy(tokens)
        mask[index, : len(tokens)] = 1
    starts = [index * width for index in range(len(sequences))]
    return _batch(sequences, input_ids=input_ids, position_ids=None, attention_mask=mask, starts=starts)


def _batch(
    sequences: Unit,
    *,
    input_ids: torch.Tensor,
    position_ids: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    starts: list[int],
) -> Batch:
    learned = [numpy.flatnonzero(marks[1:]) for _, marks in sequences]
    picked = numpy.concatenate([places + start for places, start in zip(learned, starts, strict=True)])
    targets = numpy.concatenate([tokens[places + 1] for (tokens, _), places in zip(sequences, learned, strict=True)])
    owners = numpy.repeat(numpy.arange(len(sequences)), [len(places) for places in learned])
    lengths = tuple(len(tokens) for tokens, _ in sequences)
    return Batch(
        input_ids=input_ids,
        position_ids=position_ids,
        attention_mask=attention_mask,
        picked=torch.from_numpy(picked),
        targets=torch.from_numpy(targets),
        sequence_of=torch.from_numpy(owners),
        sequences=len(sequences),
        tokens=sum(lengths),
        lengths=lengths,
    )
