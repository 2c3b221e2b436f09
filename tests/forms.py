"""Multipart bodies for tests, well-formed and otherwise."""

from collections.abc import Mapping
from typing import Any

BOUNDARY = "a-boundary-of-the-tests"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes | str, *, file_name: str | None = None, headers: str = "") -> bytes:
    """Return one part; one with a `file_name` is a file."""
    raw = content.encode() if isinstance(content, str) else content
    disposition = f'form-data; name="{name}"' + ("" if file_name is None else f'; filename="{file_name}"')
    return f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n{headers}\r\n".encode() + raw + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def form(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]] | None = None) -> dict[str, Any]:
    """Return the arguments of a test client's call with this form; each file is its name and its content.

    Werkzeug's own encoder forgets the blank line before a part that is empty.
    """
    texts = [part(name, value) for name, value in fields.items()]
    return {
        "data": body(*texts, *(part(field, content, file_name=name) for field, (name, content) in (files or {}).items())),
        "content_type": CONTENT_TYPE,
    }
