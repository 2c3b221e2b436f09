"""JSON files of models, read as data within bounds."""

from pathlib import Path
from typing import Any

import orjson

from maas.domain.errors import UnsupportedFile

LARGEST_CONFIG = 4 * 1024 * 1024
LARGEST_TOKENIZER = 64 * 1024 * 1024
# The largest tokenizers have 260,000 words and 600,000 pairs.
MOST_PARTS = 4_000_000


def read_json(path: Path, *, largest: int = LARGEST_CONFIG) -> Any:
    """Return what a JSON file holds; raise UnsupportedFile where it is too large or no JSON."""
    if path.stat().st_size > largest:
        raise UnsupportedFile("{name} is too large", field=path.name, name=path.name)
    try:
        return parse_bounded(path.read_bytes(), path)
    except orjson.JSONDecodeError as error:
        raise UnsupportedFile("{name} is not valid JSON", field=path.name, name=path.name) from error


def parse_bounded(raw: bytes, path: Path) -> Any:
    """Return the value of JSON that has no more parts than a real file would: a few bytes of JSON may need a hundred of memory."""
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MOST_PARTS:
        raise UnsupportedFile("{name} is too large", field=path.name, name=path.name)
    return orjson.loads(raw)


def read_object(path: Path, *, largest: int = LARGEST_CONFIG) -> dict[str, Any]:
    """Return the object that a JSON file holds."""
    value = read_json(path, largest=largest)
    if not isinstance(value, dict):
        raise UnsupportedFile("{name} is not a JSON object", field=path.name, name=path.name)
    return value


def refuse_remote_code(value: object, path: Path) -> None:
    """Raise UnsupportedFile where a config, at any depth, names code that is to be run."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            if current.get("auto_map") or current.get("trust_remote_code") or current.get("custom_pipelines"):
                raise UnsupportedFile(
                    "{name} asks for code of its own, which is never run here; use a model that transformers knows",
                    field=path.name,
                    name=path.name,
                )
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
