"""Names of files within a model's folder: plain, relative, and harmless on any file system."""

import re
from collections.abc import Iterable

from maas.domain.errors import UnsupportedFile

LONGEST_PATH = 1_000
DEEPEST_PATH = 10
_LONGEST_PART_BYTES = 255
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\\\\\u2028\u2029\ud800-\udfff]")
_LEFT_BY_MACOS = "__MACOSX/"


def checked_file_name(name: str) -> str:
    """Return `name`, or raise UnsupportedFile: parts joined by '/', not absolute, no '..', backslash or control character,
    no part over 255 bytes."""
    parts = name.split("/")
    if _CONTROL.search(name) or not 1 <= len(name) <= LONGEST_PATH or len(parts) > DEEPEST_PATH:
        raise UnsupportedFile("a file has a name that is not taken: {name}", name=ascii(name[:100]))
    if any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_PART_BYTES for part in parts):
        raise UnsupportedFile("a file has a name that is not taken: {name}", name=ascii(name[:100]))
    return name


def is_left_by_macos(name: str) -> bool:
    """Tell a file that macOS adds to archives and that belongs to no model."""
    return name.startswith(_LEFT_BY_MACOS)


def folder_around(names: Iterable[str]) -> str:
    """Return the one folder that all of `names` stand in, with its '/', or "" where they stand at the root."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    only = tops.pop() if len(tops) == 1 else ""
    return f"{only}/" if only else ""
