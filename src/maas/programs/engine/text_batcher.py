"""Batches texts of all requests together: of like length, the small requests not behind the large."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from maas.programs.engine.encoder_model import EncodedText
from maas.programs.engine.failures import GenerationFailed, Overloaded, RequestRefused
from maas.programs.engine.metrics import Metrics

_BATCH_TOKENS = 2048
_BATCH_TEXTS = 64
_LIKE_LENGTH = 2
_LONGEST_BATCH_SECONDS = 120.0


@dataclass(eq=False)
class TextJob:
    """One request's texts, and their rows as they come."""

    texts: Sequence[EncodedText]
    rows: list[Tensor | None]
    left: list[int]
    done: threading.Event = field(default_factory=threading.Event)
    error: RequestRefused | ConnectionError | None = None

    def end(self, error: RequestRefused | ConnectionError) -> None:
        """Give up; whoever waits gets the error."""
        self.error = self.error or error
        self.left.clear()
        self.done.set()


class TextBatcher:
    """`submit` comes from any thread; `run` is the only one that computes."""

    def __init__(self, compute: Callable[[Sequence[EncodedText]], Tensor], metrics: Metrics, *, max_queue: int) -> None:
        self._compute, self._metrics, self._max_queue = compute, metrics, max_queue
        self._jobs: list[TextJob] = []
        self._wakened = threading.Condition()
        self._draining = False
        self._round = 0
        self._began_at: float | None = None
        self._texts_per_second = 100.0

    def submit(self, texts: Sequence[EncodedText]) -> TextJob:
        """Queue texts, or refuse them where the queue is full."""
        longest_first_out = sorted(range(len(texts)), key=lambda index: len(texts[index].ids))
        job = TextJob(texts, [None] * len(texts), longest_first_out)
        with self._wakened:
            if self._draining:
                raise Overloaded("the engine is draining", retry_after_seconds=1)
            if len(self._jobs) >= self._max_queue:
                self._metrics.add("maas_engine_refused_total")
                waiting = sum(len(queued.left) for queued in self._jobs)
                wait = max(1, math.ceil(waiting / self._texts_per_second))
                raise Overloaded("the model is overloaded: its queue is full", retry_after_seconds=wait)
            self._jobs.append(job)
            self._metrics.add("maas_engine_requests_total")
            self._wakened.notify()
        return job

    def drain(self) -> None:
        """Refuse what is new, and end `run` once all that was taken is answered."""
        with self._wakened:
            self._draining = True
            self._wakened.notify()

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def stuck(self) -> bool:
        """Tell whether a batch takes so long that it may never end."""
        began_at = self._began_at
        return began_at is not None and time.monotonic() - began_at > _LONGEST_BATCH_SECONDS

    def run(self) -> None:
        """Compute until drained."""
        while True:
            with self._wakened:
                self._jobs = [job for job in self._jobs if job.left]
                while not self._jobs and not self._draining:
                    self._wakened.wait()
                if not self._jobs:
                    return
                batch = self._next_batch()
            self._began_at = started = time.monotonic()
            self._compute_guarded(batch)
            self._began_at = None
            self._report(len(batch), time.monotonic() - started)

    def _next_batch(self) -> list[tuple[TextJob, int]]:
        """Take texts of one request, in turn the smallest and the oldest, and fill up with others' of like length."""
        self._round += 1
        first = self._jobs[0] if self._round % 2 else min(self._jobs, key=lambda job: len(job.left))
        batch: list[tuple[TextJob, int]] = []
        longest = len(first.texts[first.left[-1]].ids)
        most = max(1, min(_BATCH_TEXTS, _BATCH_TOKENS // longest))
        for job in [first, *(job for job in self._jobs if job is not first)]:
            while job.left and len(batch) < most:
                length = len(job.texts[job.left[-1]].ids)
                if job is not first and not longest // _LIKE_LENGTH <= length <= longest:
                    break
                batch.append((job, job.left.pop()))
        return batch

    def _compute_guarded(self, batch: list[tuple[TextJob, int]]) -> None:
        try:
            rows = self._compute([job.texts[index] for job, index in batch])
        except Exception as error:
            logging.exception("a batch failed")
            out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
            reason = "the engine ran out of memory" if out_of_memory else "the engine failed while computing"
            for job, _ in batch:
                job.end(GenerationFailed(reason))
            return
        for (job, index), row in zip(batch, rows, strict=True):
            job.rows[index] = row
        for job, _ in batch:
            if not job.left and all(row is not None for row in job.rows):
                job.done.set()

    def _report(self, texts: int, seconds: float) -> None:
        self._texts_per_second += 0.1 * (texts / max(seconds, 1e-6) - self._texts_per_second)
        self._metrics.add("maas_engine_steps_total")
        self._metrics.add("maas_engine_step_seconds_total", seconds)
        self._metrics.add("maas_engine_embedded_texts_total", texts)
        self._metrics.set("maas_engine_waiting", sum(len(job.left) for job in self._jobs))
