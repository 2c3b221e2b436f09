"""Takes server-sent events out of bytes as they come."""

from collections.abc import Iterator

from maas.adapters.engine_http.answer_reader import AnswerBroken

_LARGEST_EVENT_BYTES = 8 * 2**20


class EventLines:
    """Finds the `data:` lines of a stream: engines put each event on one."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, part: bytes) -> Iterator[bytes]:
        """Yield what the lines that are whole by now say."""
        if self._rest:
            part = self._rest + part
        *lines, self._rest = part.split(b"\n")
        if len(self._rest) > _LARGEST_EVENT_BYTES:
            raise AnswerBroken("an event is too large")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
