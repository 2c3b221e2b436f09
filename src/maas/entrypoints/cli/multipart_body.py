"""A form of fields and files (RFC 7578), read from disk as it is sent."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_CHUNK_BYTES = 256 * 1024
# As browsers write file names: https://html.spec.whatwg.org/#multipart-form-data
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class MultipartBody:
    """Iterates over the bytes of a form; `length` counts them beforehand."""

    def __init__(
        self,
        fields: Mapping[str, str],
        files: Mapping[str, Path],
        on_sent: Callable[[int, int], None] = lambda _sent, _total: None,
    ) -> None:
        self._boundary = secrets.token_hex(16)
        self._texts = [self._head(name) + value.encode() + b"\r\n" for name, value in fields.items()]
        self._files = [(self._head(name, path.name), path, path.stat().st_size) for name, path in files.items()]
        self._end = f"--{self._boundary}--\r\n".encode()
        self._on_sent = on_sent
        in_files = sum(len(head) + size + len(b"\r\n") for head, _, size in self._files)
        self.length = sum(map(len, self._texts)) + in_files + len(self._end)

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for part in self._parts():
            yield part
            sent += len(part)
            self._on_sent(sent, self.length)

    def _parts(self) -> Iterator[bytes]:
        yield from self._texts
        for head, path, size in self._files:
            yield head
            yield from _content(path, size)
            yield b"\r\n"
        yield self._end

    def _head(self, name: str, file_name: str | None = None) -> bytes:
        disposition = f'form-data; name="{name}"'
        if file_name is None:
            return f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        disposition += f'; filename="{file_name.translate(_ESCAPES)}"'
        content_type = "Content-Type: application/octet-stream"
        return f"--{self._boundary}\r\nContent-Disposition: {disposition}\r\n{content_type}\r\n\r\n".encode()


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Yield `size` bytes of a file, as many as were promised."""
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(_CHUNK_BYTES, size))):
            size -= len(chunk)
            yield chunk
