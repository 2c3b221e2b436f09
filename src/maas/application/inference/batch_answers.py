"""Answering many requests, some at a time, in their order."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as NotYet
from contextvars import copy_context

from maas.application.actor import Actor
from maas.application.cancellation import Cancellation
from maas.application.inference.chat import Chat, Completion
from maas.application.inference.embedding import Embedding
from maas.application.inference.metering import CollectedUsage
from maas.application.inference.routing import Route
from maas.domain.errors import EngineLost, InferenceFailed, InferenceUnavailable, MaasError, ModelUnavailable, NotFound
from maas.domain.inference.answers import EmbeddedTexts, WrittenText
from maas.domain.inference.batch import BatchItem, BatchResult, ItemType
from maas.domain.usage import UsageEntry

# A few more than an engine has slots, so that none of these idles.
AT_ONCE = 24
_MOST_THREADS = 128
_LOOK_SECONDS = 0.2
_MOST_LOST = 3
_LONGEST_PAUSE_SECONDS = 5.0
_FOR_ALL = (InferenceUnavailable, ModelUnavailable, NotFound)

FindRoute = Callable[[], Route]
Results = Generator[BatchResult | None, None, None]
"""Results in the order of their requests, and None now and then while the next one is waited for."""


class GivenUp(Exception):
    """Nobody waits for the rest."""


class BatchAnswers:
    """Answers the requests of batches, a few dozens at once, each failing alone.

    A request that finds no engine free is tried again for `patience_seconds`. With `collected` what a request has used goes
    with its result; otherwise the use cases have written it down.
    """

    def __init__(
        self,
        *,
        chat: Chat,
        completion: Completion,
        embedding: Embedding,
        patience_seconds: float,
        collected: CollectedUsage | None = None,
    ) -> None:
        self.chat = chat
        self.completion = completion
        self.embedding = embedding
        self._patience_seconds = patience_seconds
        self._collected = collected
        self._pool = ThreadPoolExecutor(max_workers=_MOST_THREADS, thread_name_prefix="batch")

    def all(
        self, actor: Actor, items: Iterable[BatchItem], *, route: FindRoute, cancellation: Cancellation, stands: bool = True
    ) -> Results:
        """Answer `items`, by the route as it is when each is asked; raises GivenUp once it is cancelled.

        Where a request cannot even be tried (no engine is there in all the patience, the model failed, the deployment is gone)
        that is its result, or is raised in place of it where the batch no longer `stands` without.
        """
        asked = iter(items)
        waiting: deque[Future[BatchResult]] = deque()
        try:
            while True:
                while len(waiting) < AT_ONCE and (item := next(asked, None)) is not None:
                    waiting.append(self._pool.submit(copy_context().run, self._result, actor, item, route, cancellation))
                if not waiting:
                    return
                yield from _looking(waiting[0], cancellation)
                result = waiting.popleft().result()
                if not stands and isinstance(result.error, _FOR_ALL):
                    raise result.error
                yield result
        finally:
            cancellation.cancel()
            wait([future for future in waiting if not future.cancel()])

    def _result(self, actor: Actor, item: BatchItem, route: FindRoute, cancellation: Cancellation) -> BatchResult:
        if item.error is not None:
            return BatchResult(id=item.id, error=item.error)
        try:
            answer = self._persistently(actor, item, route, cancellation)
        except MaasError as error:
            return BatchResult(id=item.id, error=error, used=self._used())
        return BatchResult(id=item.id, answer=answer, used=self._used())

    def _used(self) -> UsageEntry | None:
        return None if self._collected is None else self._collected.take()

    def _persistently(
        self, actor: Actor, item: BatchItem, route: FindRoute, cancellation: Cancellation
    ) -> WrittenText | EmbeddedTexts:
        deadline = time.monotonic() + self._patience_seconds
        lost = 0
        while True:
            try:
                return self._answer(actor, item, route(), cancellation)
            except InferenceUnavailable as error:
                if cancellation.is_cancelled or time.monotonic() >= deadline:
                    raise
                _pause(min(error.retry_after_seconds, _LONGEST_PAUSE_SECONDS), cancellation)
            except EngineLost:
                lost += 1
                if cancellation.is_cancelled or lost >= _MOST_LOST:
                    raise

    def _answer(self, actor: Actor, item: BatchItem, route: Route, cancellation: Cancellation) -> WrittenText | EmbeddedTexts:
        if cancellation.is_cancelled:
            raise InferenceFailed("the call was given up")
        if item.type is ItemType.EMBEDDING:
            return self.embedding.embed_on(actor, route, texts=item.texts, cancellation=cancellation, kind="batch")
        parameters = {**item.parameters, "stream": False}
        if item.type is ItemType.CHAT:
            answer = self.chat.begin_on(actor, route, messages=item.messages, parameters=parameters, kind="batch")
        else:
            answer = self.completion.begin_on(actor, route, prompt=item.prompt, parameters=parameters, kind="batch")
        with cancellation.telling(answer.cancel):
            return answer.whole()


def _looking(future: "Future[BatchResult]", cancellation: Cancellation) -> Generator[None, None, None]:
    while not future.done():
        if cancellation.is_cancelled:
            raise GivenUp
        try:
            future.exception(timeout=_LOOK_SECONDS)
        except NotYet:
            yield None


def _pause(seconds: float, cancellation: Cancellation) -> None:
    given_up = threading.Event()
    with cancellation.telling(given_up.set):
        given_up.wait(seconds)
