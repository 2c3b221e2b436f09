"""What every child that loads a model shares: checks of its files before any library reads them, and reasons without paths."""

import json
import re
from pathlib import Path
from typing import Any, Final

LOCAL_ONLY: Final[dict[str, Any]] = {"local_files_only": True, "trust_remote_code": False}
"""Arguments of every `from_pretrained`: nothing is fetched, and no code comes out of a model's folder."""

_LARGEST_HEADER_BYTES = 16 * 2**20
_LENGTH_BYTES = 8


class ModelFilesUnusable(Exception):
    """The folder's files cannot be loaded; the message is a sentence for their owner."""


def check_weights(folder: Path) -> int:
    """Check every safetensors file of the folder by its header, and return how many bytes of weights there are.

    safetensors itself accepts headers of 100 MB, which take seconds and a gigabyte to parse.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelFilesUnusable("the model has no weights in safetensors format")
    for index in folder.glob("*.safetensors.index.json"):
        _check_index(index, {file.name for file in files})
    return sum(_check_file(file) for file in files)


def reason_of(what: str, error: BaseException) -> str:
    """Say what failed and why in one line, without the folders of this machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    says = lines[0] if lines else type(error).__name__
    if says.endswith(":") and len(lines) > 1:
        says = f"{says} {lines[1]}"
    return f"{what}: {re.sub(r'[^ ]*/[^ ]*', '…', says)}"[:400]


def _check_index(index: Path, present: set[str]) -> None:
    try:
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelFilesUnusable("the index of the weights is not valid JSON with a weight_map") from error
    missing = sorted(named - present)
    if missing:
        raise ModelFilesUnusable(f"a weights file is missing: {missing[0]}")


def _check_file(path: Path) -> int:
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if header_bytes > _LARGEST_HEADER_BYTES or header_bytes + _LENGTH_BYTES > size:
            raise ModelFilesUnusable(f"the weights file {path.name} is cut short or is not safetensors")
        try:
            header = json.loads(file.read(header_bytes))
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelFilesUnusable(f"the weights file {path.name} is not safetensors: its header cannot be read") from error
    data_bytes = size - header_bytes - _LENGTH_BYTES
    if max(ends, default=0) != data_bytes:
        raise ModelFilesUnusable(f"the weights file {path.name} is cut short or too long")
    return data_bytes
