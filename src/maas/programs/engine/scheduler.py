"""Continuous batching: requests join and leave the running batch between any two steps."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from maas.programs.engine.cache import Chunk, SlotCache, StepPlan
from maas.programs.engine.detokenizer import Detokenizer, StopFinder
from maas.programs.engine.failures import GenerationFailed, Overloaded, RequestRefused
from maas.programs.engine.generation import END_TOKEN, LENGTH, STOP_STRING, Finished, Generation, Token
from maas.programs.engine.metrics import Metrics
from maas.programs.engine.sampling import Choice, Sampler, choose_all
from maas.programs.engine.text_codec import TextCodec

_SHARE_FOR_NEWCOMERS = 4
"""While streams run, a step takes at most this part of the prefill budget, so that they pause briefly."""

_CACHE_KEPT_IDLE_BYTES = 64 * 2**20


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


@dataclass(eq=False)
class Row:
    """A request in the batch; its place in the scheduler's list is its slot."""

    generation: Generation
    detokenizer: Detokenizer
    stop_finder: StopFinder
    sampler: Sampler
    tokens: list[int]
    cached: int = 0
    generated: int = 0
    came_at: float = field(default_factory=time.monotonic)


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
        self._rows: list[Row] = []
        self._decoding = 0
        self._errands: deque[Callable[[], None]] = deque()
        self._draining = False
        self._mean_seconds = 1.0

    def submit(self, generation: Generation) -> None:
        """Put a request into the queue, or refuse it where the queue is full."""
        with self._wakened:
            if self._draining:
                raise Overloaded("the engine is draining", retry_after_seconds=1)
            if len(self._waiting) >= self._max_queue:
                self._metrics.add("maas_engine_refused_total")
                raise Overloaded("the model is overloaded: its queue is full", retry_after_seconds=self._expected_wait())
            self._waiting.append(self._row_of(generation))
            self._metrics.add("maas_engine_requests_total")
            self._wakened.notify()

    def drain(self) -> None:
        """Refuse what is new, and end `run` once all that was taken is answered."""
        with self._wakened:
            self._draining = True
            self._wakened.notify()

    @property
    def draining(self) -> bool:
        return self._draining

    def between_steps(self, errand: Callable[[], None]) -> None:
        """Have something done by the thread that computes, before its next step; does not wait for it."""
        with self._wakened:
            self._errands.append(errand)
            self._wakened.notify()

    def uses(self, adapter: str) -> bool:
        """Tell whether a request that runs or waits uses an adapter; call it between steps."""
        with self._wakened:
            return any(row.generation.adapter == adapter for row in [*self._rows, *self._waiting])

    @torch.inference_mode()
    def run(self) -> None:
        """Compute until drained."""
        while self._wait_for_work():
            started = time.monotonic()
            self._run_errands()
            self._drop_cancelled()
            self._make_room()
            self._admit()
            if self._rows:
                self._step_guarded()
            self._report(time.monotonic() - started)

    def _wait_for_work(self) -> bool:
        with self._wakened:
            while not self._rows and not self._waiting and not self._errands:
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
        return max(1, math.ceil(self._mean_seconds * len(self._waiting) / self._max_slots))

    def _drop_cancelled(self) -> None:
        for slot in reversed(range(len(self._rows))):
            if self._rows[slot].generation.cancelled:
                self._metrics.add("maas_engine_cancelled_total")
                self._leave(slot)
        with self._wakened:
            gone = [row for row in self._waiting if row.generation.cancelled]
            for row in gone:
                self._waiting.remove(row)
        self._metrics.add("maas_engine_cancelled_total", len(gone))

    def _admit(self) -> None:
        while len(self._rows) < self._max_slots:
            with self._wakened:
                if not self._waiting or (self._rows and not self._fits([*self._rows, self._waiting[0]])):
                    return
                row = self._waiting.popleft()
            self._rows.append(row)

    def _fits(self, rows: list[Row]) -> bool:
        """Tell whether the cache, as long in every slot as in the longest, stays within its share of memory after a step."""
        return len(rows) * (max(len(row.tokens) for row in rows) + 1) <= self._cache_tokens

    def _make_room(self) -> None:
        """Send the newest rows back to the queue while the cache would outgrow memory; they are computed anew later."""
        while len(self._rows) > 1 and not self._fits(self._rows):
            slot = max(range(len(self._rows)), key=lambda at: self._rows[at].came_at)
            row = self._rows[slot]
            self._leave(slot)
            row.cached = 0
            with self._wakened:
                self._waiting.appendleft(row)

    def _row_of(self, generation: Generation) -> Row:
        return Row(
            generation,
            Detokenizer(self._codec.decode),
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
        for row in self._rows:
            row.generation.events.put(error)
        self._rows.clear()
        self._decoding = 0
        self._model.cache.release()

    def _step(self) -> None:
        plan, tokens, positions, ends, stepping = self._plan()
        self._model.cache.plan = plan
        adapters = [(row.generation.adapter, 1) for row in self._rows[: self._decoding]]
        adapters += [(self._rows[chunk.slot].generation.adapter, chunk.length) for chunk in plan.chunks]
        scores = self._model.step(tokens, positions, ends, adapters)
        for row in self._rows[: self._decoding]:
            row.cached += 1
        for chunk in plan.chunks:
            self._rows[chunk.slot].cached += chunk.length
        self._metrics.add("maas_engine_prompt_tokens_total", sum(chunk.length for chunk in plan.chunks))
        if stepping:
            choices = choose_all(scores, [row.sampler for row in stepping])
            self._advance(stepping, choices)

    def _plan(self) -> tuple[StepPlan, list[int], list[int], list[int], list[Row]]:
        """Lay out a step: a token of each decoding row, then chunks of prompts, oldest first, within the budget."""
        decoding = self._rows[: self._decoding]
        tokens = [row.tokens[-1] for row in decoding]
        positions = [row.cached for row in decoding]
        ends, stepping = list(range(len(decoding))), list(decoding)
        chunks = []
        left = self._budget // _SHARE_FOR_NEWCOMERS if decoding else self._budget
        newcomers = sorted(range(self._decoding, len(self._rows)), key=lambda slot: self._rows[slot].came_at)
        for slot in newcomers:
            row = self._rows[slot]
            length = min(left, len(row.tokens) - row.cached)
            if length == 0:
                break
            chunks.append(Chunk(slot, row.cached, len(tokens), length))
            tokens += row.tokens[row.cached : row.cached + length]
            positions += range(row.cached, row.cached + length)
            left -= length
            if row.cached + length == len(row.tokens):
                ends.append(len(tokens) - 1)
                stepping.append(row)
        plan = StepPlan([row.cached + 1 for row in decoding], chunks, self._model.device)
        return plan, tokens, positions, ends, stepping

    def _advance(self, stepping: list[Row], choices: list[Choice]) -> None:
        finished = [row for row, choice in zip(stepping, choices, strict=True) if self._take(row, choice)]
        self._metrics.add("maas_engine_generated_tokens_total", len(stepping))
        for row in stepping:
            slot = self._rows.index(row)
            if slot >= self._decoding:
                self._graduate(slot)
        for row in finished:
            self._mean_seconds += 0.1 * (time.monotonic() - row.came_at - self._mean_seconds)
            self._leave(self._rows.index(row))

    def _take(self, row: Row, choice: Choice) -> bool:
        """Give a row its token and tell its owner; return whether it is finished."""
        row.tokens.append(choice.token)
        row.generated += 1
        special = self._codec.is_special(choice.token)
        reason = END_TOKEN if choice.token in self._model.end_ids else None
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
        token = Token(choice.token, shown, choice.logprob, choice.top, special)
        row.generation.events.put((token, Finished(reason) if reason else None))
        return reason is not None

    def _graduate(self, slot: int) -> None:
        """Move a row whose prompt is done to the end of the decoding ones."""
        target = self._decoding
        if slot != target:
            length = max(self._rows[slot].cached, self._rows[target].cached)
            self._model.cache.swap(slot, target, length)
            self._rows[slot], self._rows[target] = self._rows[target], self._rows[slot]
        self._decoding += 1

    def _leave(self, slot: int) -> None:
        """Take a row out; the last decoding row fills its slot, and the last row of all fills that one's."""
        if slot < self._decoding:
            self._decoding -= 1
            self._fill(slot, self._decoding)
            slot = self._decoding
        self._fill(slot, len(self._rows) - 1)
        self._rows.pop()

    def _fill(self, target: int, source: int) -> None:
        if source != target:
            row = self._rows[source]
            self._rows[target] = row
            if row.cached:
                self._model.cache.move(source, target, row.cached)

    def _report(self, seconds: float) -> None:
        self._metrics.add("maas_engine_steps_total")
        self._metrics.add("maas_engine_step_seconds_total", seconds)
        self._metrics.set("maas_engine_running", len(self._rows))
        self._metrics.set("maas_engine_waiting", len(self._waiting))
        reserved = self._model.cache.reserved_bytes()
        if not self._rows and reserved > _CACHE_KEPT_IDLE_BYTES:
            self._model.cache.release()
            reserved = 0
        self._metrics.set("maas_engine_cache_bytes", reserved)
