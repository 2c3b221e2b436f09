"""One request for text, as the scheduler and the routes share it."""

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue

from maas.programs.engine.failures import ClientLeft, RequestRefused
from maas.programs.engine.sampling import SamplingParameters

LENGTH, END_TOKEN, STOP_STRING = "length", "eos_token", "stop_sequence"


@dataclass(frozen=True)
class Token:
    """A token that was generated, and the text that became certain by it."""

    id: int
    text: str
    logprob: float | None
    top: tuple[tuple[int, float], ...]
    special: bool


@dataclass(frozen=True)
class Finished:
    """The end of a generation, told together with its last token."""

    reason: str


Event = tuple[Token, Finished | None] | RequestRefused | ClientLeft


@dataclass(eq=False, kw_only=True)
class Generation:
    """A prompt and how to go on from it. The scheduler puts events; whoever asked takes them."""

    prompt: list[int]
    max_new_tokens: int
    sampling: SamplingParameters
    stops: tuple[str, ...] = ()
    adapter: str | None = None
    ignore_end: bool = False
    events: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Say that nobody waits any more; the scheduler frees the slot before its next step."""
        self._cancelled.set()
        self.events.put(ClientLeft())
