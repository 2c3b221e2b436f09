"""Streams that go on without their client, and can be taken up again where they were lost."""

import atexit
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from uuid import UUID

from maas.application.actor import Actor
from maas.application.inference.answers import TextAnswer
from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import EngineLost, NotFound, PlatformUnavailable
from maas.domain.identity import Permission
from maas.domain.inference.kept_stream import KEPT_FOR, KeptChunk, KeptStream

log = logging.getLogger(__name__)

MOST_WRITTEN = 200
_KEEP_SECONDS = 0.25
_HEARD_SECONDS = 3.0
_SILENCE_SECONDS = 1.0
_LOOK_SECONDS = 0.25
_END_SECONDS = 2.0

Chunks = Generator[KeptChunk | None, None, None]
"""Chunks in order, and None after each second of silence."""


class ResumableStreams:
    """Writes streams on threads of their own, and keeps them for ten minutes.

    In the process that writes it a stream is read from memory as it comes; elsewhere from SQL, where it is kept four times a
    second.
    """

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.clock = clock
        self._written: dict[UUID, _Writing] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def begin(self, actor: Actor, answer: TextAnswer, source: Iterator[str | None], tell: Callable[[Exception], str]) -> Chunks:
        """Have a stream written, and follow it. `source` yields chunks as JSON; `tell` makes a chunk of what it raises.

        The first piece is awaited here, so that what fails before it is raised.
        """
        with self._lock:
            if len(self._written) >= MOST_WRITTEN:
                raise PlatformUnavailable("too many streams are open; try again in a moment", retry_after_seconds=2)
        first = next(source, None)
        now = self.clock.now()
        stream = KeptStream(
            id=answer.id, owner_id=actor.user_id, deployment_id=answer.deployment.id, created_at=now, heard_at=now
        )
        with self.unit_of_work() as work:
            work.kept_streams.add(stream)
        writing = _Writing(stream, answer.cancel, keep=self._keep)
        with self._lock:
            self._written[stream.id] = writing
        thread = threading.Thread(target=self._write, args=(writing, first, source, tell), name="resumable-stream", daemon=True)
        writing.thread = thread
        thread.start()
        return writing.follow(after=0)

    def resume(self, actor: Actor, stream_id: UUID, *, after: int) -> Chunks:
        """Follow a stream of the caller's own from after a chunk, or raise NotFound."""
        actor.require(Permission.INFERENCE_CREATE)
        with self.unit_of_work(read_only=True) as work:
            stream = work.kept_streams.get(stream_id, owner_id=actor.user_id)
        if stream.is_over(at=self.clock.now()):
            raise NotFound
        with self._lock:
            writing = self._written.get(stream_id)
        return writing.follow(after=after) if writing is not None else self._read(stream, after)

    def sweep(self) -> int:
        """Remove what is kept no longer."""
        with self.unit_of_work() as work:
            return work.kept_streams.remove_before(self.clock.now() - KEPT_FOR)

    def close(self) -> None:
        """End what is being written, as the process ends: what was written is counted and kept."""
        with self._lock:
            written = list(self._written.values())
        for writing in written:
            writing.cut()
        for writing in written:
            if writing.thread is not None:
                writing.thread.join(_END_SECONDS)

    def _write(
        self, writing: "_Writing", first: str | None, source: Iterator[str | None], tell: Callable[[Exception], str]
    ) -> None:
        try:
            writing.take(first)
            for content in source:
                writing.take(content)
            if writing.is_cut:
                writing.take(tell(PlatformUnavailable("the platform is about to restart; try again in a moment")))
        except Exception as error:
            log.info("a resumable stream failed", exc_info=True)
            writing.take(tell(error))
        finally:
            try:
                writing.end()
            except Exception:
                log.exception("a resumable stream cannot be kept")
            with self._lock:
                self._written.pop(writing.stream.id, None)

    def _keep(self, stream_id: UUID, chunks: list[KeptChunk], ended: bool) -> None:  # noqa: FBT001 - called by position
        with self.unit_of_work() as work:
            work.kept_streams.append(stream_id, chunks, at=self.clock.now(), ended=ended)

    def _read(self, stream: KeptStream, after: int) -> Chunks:
        while True:
            with self.unit_of_work(read_only=True) as work:
                state = work.kept_streams.get(stream.id, owner_id=stream.owner_id)
                chunks = work.kept_streams.chunks(stream.id, after=after)
            yield from chunks
            after = chunks[-1].number if chunks else after
            if state.ended_at is not None:
                return
            if state.is_lost(at=self.clock.now()):
                raise EngineLost("the stream was lost with the process that wrote it")
            if not chunks:
                yield None
            time.sleep(_LOOK_SECONDS)


class _Writing:
    """A stream that this process writes."""

    def __init__(
        self, stream: KeptStream, cancel: Callable[[], None], *, keep: Callable[[UUID, list[KeptChunk], bool], None]
    ) -> None:
        self.stream = stream
        self.is_cut = False
        self._cancel = cancel
        self.thread: threading.Thread | None = None
        self._keep = keep
        self._chunks: list[KeptChunk] = []
        self._kept = 0
        self._kept_at = time.monotonic()
        self._ended = False
        self._changed = threading.Condition()

    def cut(self) -> None:
        """End it before its end."""
        self.is_cut = True
        self._cancel()

    def take(self, content: str | None) -> None:
        if content is not None:
            with self._changed:
                self._chunks.append(KeptChunk(number=len(self._chunks) + 1, content=content))
                self._changed.notify_all()
        since = time.monotonic() - self._kept_at
        if since >= (_KEEP_SECONDS if len(self._chunks) > self._kept else _HEARD_SECONDS):
            try:
                self._keep_new(ended=False)
            except Exception:
                # It goes on for those who follow it here, and is kept once that works again.
                log.warning("a resumable stream cannot be kept now", exc_info=True)

    def end(self) -> None:
        try:
            self._keep_new(ended=True)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def follow(self, *, after: int) -> Chunks:
        while True:
            with self._changed:
                if len(self._chunks) <= after and not self._ended:
                    self._changed.wait(_SILENCE_SECONDS)
                chunks, ended = self._chunks[after:], self._ended
            yield from chunks
            after += len(chunks)
            if ended and not chunks:
                return
            if not chunks:
                yield None

    def _keep_new(self, *, ended: bool) -> None:
        new = self._chunks[self._kept :]
        self._keep(self.stream.id, new, ended)
        self._kept += len(new)
        self._kept_at = time.monotonic()
