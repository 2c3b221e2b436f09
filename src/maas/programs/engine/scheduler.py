"""Continuous batching: requests join and leave the running batch between any two steps."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from maas.programs.engine.batch import Batch, Row, extent_of
from maas.programs.engine.cache import SlotCache
from maas.programs.engine.detokenizer import Detokenizer, StopFinder
from maas.programs.engine.failures import GenerationFailed, Overloaded, RequestInvalid, RequestRefused
from maas.programs.engine.generation import END_TOKEN, LENGTH, STOP_STRING, Finished, Generation, Token
from maas.programs.engine.metrics import Metrics
from maas.programs.engine.sampling import Choice, Sampler, choose_all
from maas.programs.engine.text_codec import TextCodec

_CACHE_KEPT_IDLE_BYTES = 64 * 2**20
_LONGEST_STEP_SECONDS = 120.0


class StepModel(Protocol):
    """The model, as the scheduler drives it."""

    cache: SlotCache
    device: torch.device
    end_ids: frozenset[int]

    def step(self, tokens: list[int], positions: list[int], ends: list[int], adapters: list[tuple[str | None, int]]) -> Tensor:
        """Run tokens under `cache.plan`; return the scores, [ends, vocabulary], after the tokens at `ends`.

        `adapters` names the adapter of each run of tokens, in order.
        """
        ...

    def has_adapter(self, name: str) -> bool: ...


class Scheduler:
    """Owns the model. `submit` and `cancel` come from any thread; `run` is the only one that computes."""

    def __init__(
        self,
        model: StepModel,
        codec: TextCodec,
        metrics: Metrics,
        *,
        max_slots: int,
        max_queue: int,
        prefill_token_budget: int,
        cache_tokens: int,
    ) -> None:
        self._model, self._codec, self._metrics = model, codec, metrics
        self._max_slots, self._max_queue = max_slots, max_queue
        self._budget, self._cache_tokens = prefill_token_budget, cache_tokens
        self._waiting: deque[Row] = deque()
        self._wakened = threading.Condition()
        self._batch = Batch(model.cache, model.device)
        self._errands: deque[Callable[[], None]] = deque()
        self._draining = False
        self._mean_seconds = 1.0
        self._step_began_at: float | None = None
        model.cache.most_positions = cache_tokens

    def submit(self, generation: Generation) -> None:
        """Put a request into the queue, or refuse it where the queue is full."""
        row = self._row_of(generation)
        with self._wakened:
            if self._draining:
                raise Overloaded("the engine is draining", retry_after_seconds=1)
            if len(self._waiting) >= self._max_queue + self._free_slots():
                self._metrics.add("maas_engine_refused_total")
                raise Overloaded("the model is overloaded: its queue is full", retry_after_seconds=self._expected_wait())
            self._waiting.append(row)
            self._metrics.add("maas_engine_requests_total")
            self._metrics.set("maas_engine_waiting", len(self._waiting))
            self._wakened.notify()

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
        """Tell whether a step takes so long that it may never end."""
        began_at = self._step_began_at
        return began_at is not None and time.monotonic() - began_at > _LONGEST_STEP_SECONDS

    def between_steps(self, errand: Callable[[], None]) -> None:
        """Have something done by the thread that computes, before its next step; does not wait for it."""
        with self._wakened:
            self._errands.append(errand)
            self._wakened.notify()

    def uses(self, adapter: str) -> bool:
        """Tell whether a request that runs or waits uses an adapter; call it between steps."""
        with self._wakened:
            return any(row.generation.adapter == adapter for row in [*self._batch.rows, *self._waiting])

    @torch.inference_mode()
    def run(self) -> None:
        """Compute until drained."""
        while self._wait_for_work():
            self._step_began_at = started = time.monotonic()
            self._run_errands()
            self._drop_cancelled()
            self._make_room()
            self._admit()
            if self._batch:
                self._step_guarded()
            self._step_began_at = None
            self._report(time.monotonic() - started)

    def _free_slots(self) -> int:
        return max(0, self._max_slots - len(self._batch))

    def _wait_for_work(self) -> bool:
        with self._wakened:
            while not self._batch and not self._waiting and not self._errands:
                if self._draining:
                    return False
                self._wakened.wait()
        return True

    def _run_errands(self) -> None:
        with self._wakened:
            errands, self._errands = self._errands, deque()
        for errand in errands:
            errand()

    def _expected_wait(self) -> int:
        return min(60, max(1, math.ceil(self._mean_seconds * len(self._waiting) / self._max_slots)))

    def _drop_cancelled(self) -> None:
        with self._wakened:
            waiting = [row for row in self._waiting if row.generation.cancelled]
            running = [row for row in self._batch.rows if row.generation.cancelled]
            for row in waiting:
                self._waiting.remove(row)
            for row in running:
                self._batch.leave(row)
        self._metrics.add("maas_engine_cancelled_total", len(waiting) + len(running))

    def _admit(self) -> None:
        while len(self._batch) < self._max_slots:
            with self._wakened:
                if not self._waiting or (self._batch and not self._fits([*self._batch.rows, self._waiting[0]])):
                    return
                row = self._waiting.popleft()
                adapter = row.generation.adapter
                if adapter is None or self._model.has_adapter(adapter):
                    self._batch.join(row)
                else:
                    # It was unloaded after the request was checked.
                    row.generation.events.put(RequestInvalid(f"there is no adapter {adapter[:100]!r} here"))

    def _fits(self, rows: Sequence[Row]) -> bool:
        """Tell whether the cache, as long in every slot as in the longest, stays within its share of memory."""
        return extent_of(rows).rounded().positions <= self._cache_tokens

    def _make_room(self) -> None:
        """Send the newest rows back to the queue while the cache would outgrow memory; they are computed anew later."""
        while len(self._batch) > 1 and not self._fits(self._batch.rows):
            row = max(self._batch.rows, key=lambda row: row.came_at)
            with self._wakened:
                self._batch.leave(row)
                row.cached = 0
                self._waiting.appendleft(row)

    def _row_of(self, generation: Generation) -> Row:
        return Row(
            generation,
            Detokenizer(self._codec.decode, before=generation.prompt),
            StopFinder(generation.stops),
            Sampler(generation.sampling, generation.prompt),
            list(generation.prompt),
        )

    def _step_guarded(self) -> None:
        """One step; what goes wrong in it ends the rows that were in it, not the engine."""
        try:
            self._step()
        except Exception as error:
            logging.exception("a step failed")
            out_of_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError))
            reason = "the engine ran out of memory" if out_of_memory else "the engine failed while generating"
            self._fail_all(GenerationFailed(reason))

    def _fail_all(self, error: RequestRefused) -> None:
        for row in self._batch.rows:
            row.generation.events.put(error)
        with self._wakened:
            self._batch.clear()

    def _step(self) -> None:
        step = self._batch.plan(self._budget)
        self._model.cache.plan = step.plan
        scores = self._model.step(step.tokens, step.positions, step.ends, step.adapters)
        self._batch.done(step.plan)
        self._metrics.add("maas_engine_prompt_tokens_total", sum(chunk.length for chunk in step.plan.chunks))
        if step.stepping:
            self._advance(step.stepping, choose_all(scores, [row.sampler for row in step.stepping]))

    def _advance(self, stepping: list[Row], choices: list[Choice]) -> None:
        self._metrics.add("maas_engine_generated_tokens_total", len(stepping))
        for row in stepping:
            self._batch.graduate(row)
        for row, choice in zip(stepping, choices, strict=True):
            if self._take(row, choice):
                self._mean_seconds += 0.1 * (time.monotonic() - row.came_at - self._mean_seconds)
                with self._wakened:
                    self._batch.leave(row)

    def _take(self, row: Row, choice: Choice) -> bool:
        """Give a row its token and tell its owner; return whether it is finished."""
        row.tokens.append(choice.token)
        row.generated += 1
        ends = choice.token in self._model.end_ids and not row.generation.ignore_end
        reason = END_TOKEN if ends else None
        text = "" if reason else row.detokenizer.push(choice.token)
        shown, stopped = row.stop_finder.push(text)
        if stopped:
            reason = STOP_STRING
        elif reason is None and row.generated >= row.generation.max_new_tokens:
            reason = LENGTH
        if reason is not None and not stopped:
            rest, stopped = row.stop_finder.push(row.detokenizer.finish())
            reason = STOP_STRING if stopped else reason
            shown += rest + row.stop_finder.finish()
        token = Token(choice.token, shown, choice.logprob, choice.top, self._codec.is_special(choice.token))
        row.generation.events.put((token, Finished(reason) if reason else None))
        return reason is not None

    def _report(self, seconds: float) -> None:
        self._metrics.add("maas_engine_steps_total")
        self._metrics.add("maas_engine_step_seconds_total", seconds)
        self._metrics.set("maas_engine_running", len(self._batch))
        self._metrics.set("maas_engine_waiting", len(self._waiting))
        reserved = self._model.cache.reserved_bytes()
        if not self._batch and reserved > _CACHE_KEPT_IDLE_BYTES:
            self._model.cache.release()
            reserved = 0
        self._metrics.set("maas_engine_cache_bytes", reserved)
