"""Headers of safetensors files, checked against the size of the file.

Format: 8 bytes little-endian length, a JSON header of that length, then the tensors, without gaps or overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import orjson

from maas.adapters.model_inspector.json_file import parse_bounded
from maas.domain.errors import UnsupportedFile

LARGEST_HEADER = 16 * 1024 * 1024
BITS: dict[str, int] = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}  # fmt: skip
_MOST_DIMENSIONS = 16


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a header; its place is in bytes behind the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def count(self) -> int:
        return prod(self.shape)


def read_tensors(path: Path) -> list[Tensor]:
    """Return the tensors of a file, or raise UnsupportedFile where it is damaged or cut off."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or not 2 <= length <= size - 8:
            _refuse("{name} is damaged or no safetensors file", path)
        if length > LARGEST_HEADER:
            _refuse("{name} has a header that is too large", path)
        tensors = list(_tensors(stream.read(length), path))
    _check_places(tensors, size - 8 - length, path)
    return tensors


def _tensors(header: bytes, path: Path) -> Iterator[Tensor]:
    try:
        entries = parse_bounded(header, path)
    except orjson.JSONDecodeError:
        _refuse("{name} is damaged or no safetensors file", path)
    if not isinstance(entries, dict):
        _refuse("{name} is damaged or no safetensors file", path)
    for name, entry in entries.items():
        if name != "__metadata__":
            yield _tensor(name, entry, path)


def _tensor(name: str, entry: Any, path: Path) -> Tensor:
    if not isinstance(entry, dict):
        _refuse("{name} is damaged: its header cannot be read", path)
    dtype, shape, place = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise UnsupportedFile(
            "{name} holds numbers of a kind that is not known: {dtype}",
            field=path.name,
            name=path.name,
            dtype=str(dtype)[:30],
        )
    sizes, places = _sizes(shape), _sizes(place)
    if sizes is None or places is None or len(places) != 2:
        _refuse("{name} is damaged: its header cannot be read", path)
    return Tensor(name=name, dtype=dtype, shape=sizes, begin=places[0], end=places[1])


def _sizes(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, list) or len(value) > _MOST_DIMENSIONS:
        return None
    good = all(isinstance(size, int) and not isinstance(size, bool) and size >= 0 for size in value)
    return tuple(value) if good else None


def _check_places(tensors: list[Tensor], available: int, path: Path) -> None:
    """Check that the tensors fill the file behind the header exactly."""
    at = 0
    for tensor in sorted(tensors, key=lambda tensor: (tensor.begin, tensor.end)):
        if tensor.begin != at or (tensor.end - tensor.begin) * 8 != tensor.count * BITS[tensor.dtype]:
            _refuse("{name} is damaged: its tensors do not fit their places", path)
        at = tensor.end
    if at > available:
        _refuse("{name} is cut off: it is shorter than its header says", path)
    if at < available:
        _refuse("{name} is damaged: it is longer than its header says", path)


def _refuse(template: str, path: Path) -> NoReturn:
    raise UnsupportedFile(template, field=path.name, name=path.name)
