"""Several answers to one call, written at the same time."""

import queue
import threading
from collections.abc import Generator, Sequence
from contextlib import closing, suppress

from maas.application.inference.answers import TextAnswer
from maas.application.inference.metering import Meter
from maas.domain.inference.conversation import TextDelta, TokenUsage

_SILENCE_SECONDS = 1.0
_MOST_WAITING = 256


class SeveralAnswers:
    """Answers that are written at the same time, and told piece by piece as they come."""

    def __init__(self, answers: Sequence[TextAnswer], *, meter: Meter) -> None:
        self.answers = answers
        self._meter = meter
        self._pieces: queue.Queue[tuple[int, TextDelta | Exception | None]] = queue.Queue(_MOST_WAITING)
        self._cancelled = threading.Event()

    @property
    def usage(self) -> TokenUsage:
        """What all of them have used by now."""
        return self._meter.usage

    def cancel(self) -> None:
        """Stop writing; the deltas end soon. Does not block."""
        self._cancelled.set()
        for answer in self.answers:
            answer.cancel()

    def deltas(self) -> Generator[tuple[int, TextDelta] | None, None, None]:
        """Yield each delta with the number of its answer, and None after each second of silence; to be called once.

        Where one fails all end, and its failure is raised.
        """
        if len(self.answers) == 1:
            with closing(self.answers[0].deltas()) as deltas:
                for delta in deltas:
                    yield None if delta is None else (0, delta)
            return
        threads = [threading.Thread(target=self._read, args=(part,), daemon=True) for part in range(len(self.answers))]
        for thread in threads:
            thread.start()
        try:
            yield from self._gathered()
        finally:
            self.cancel()
            for thread in threads:
                thread.join()

    def _gathered(self) -> Generator[tuple[int, TextDelta] | None, None, None]:
        left = len(self.answers)
        while left:
            try:
                part, piece = self._pieces.get(timeout=_SILENCE_SECONDS)
            except queue.Empty:
                if self._cancelled.is_set():
                    return
                yield None
                continue
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                left -= 1
            else:
                yield part, piece

    def _read(self, part: int) -> None:
        try:
            with closing(self.answers[part].deltas()) as deltas:
                for delta in deltas:
                    if delta is not None:
                        self._put(part, delta)
        except Exception as error:
            self._put(part, error)
        else:
            self._put(part, None)

    def _put(self, part: int, piece: TextDelta | Exception | None) -> None:
        """Hand a piece over; wait where the reader is slow, and drop it where nobody reads any more."""
        is_taken = False
        while not is_taken and not self._cancelled.is_set():
            with suppress(queue.Full):
                self._pieces.put((part, piece), timeout=_SILENCE_SECONDS)
                is_taken = True
