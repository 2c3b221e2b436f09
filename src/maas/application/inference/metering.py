"""What calls have used: one entry in the journal for each, whatever becomes of it."""

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.clock import Clock
from maas.domain.errors import InferenceFailed, InferenceUnavailable, MaasError
from maas.domain.inference.conversation import TokenUsage
from maas.domain.serving.deployment import Deployment
from maas.domain.usage import UsageEntry, UsageKind


class UsageRecorder(Protocol):
    """Takes entries: the journal, or what collects them for a transaction."""

    def record(self, entry: UsageEntry) -> None: ...


class CollectedUsage:
    """Keeps the newest entry of each thread until that takes it."""

    def __init__(self) -> None:
        self._kept = threading.local()

    def record(self, entry: UsageEntry) -> None:
        self._kept.entry = entry

    def take(self) -> UsageEntry | None:
        entry: UsageEntry | None = getattr(self._kept, "entry", None)
        self._kept.entry = None
        return entry


class Meter:
    """Counts one call, which may be answered in several parts (OpenAI's `n`), each by a thread of its own.

    When the last part has ended its entry is written, once; a call that was refused has none. The prompts of `repeats`,
    parts that go on from the same prompt as another, are not counted again.
    """

    def __init__(
        self,
        *,
        actor: Actor,
        deployment: Deployment,
        kind: UsageKind,
        journal: UsageRecorder,
        clock: Clock,
        parts: int = 1,
        repeats: Collection[int] = (),
    ) -> None:
        self.entry: UsageEntry | None = None
        self._actor, self._deployment, self._kind = actor, deployment, kind
        self._journal, self._clock = journal, clock
        self._usages = [TokenUsage()] * parts
        self._repeats = frozenset(repeats)
        self._open = set(range(parts))
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._first: float | None = None
        self._failed = self._refused = False

    @property
    def usage(self) -> TokenUsage:
        """What the whole call has used by now."""
        if len(self._usages) == 1:
            return self._usages[0]
        return TokenUsage(
            prompt_tokens=sum(used.prompt_tokens for part, used in enumerate(self._usages) if part not in self._repeats),
            completion_tokens=sum(used.completion_tokens for used in self._usages),
        )

    def count(self, usage: TokenUsage, part: int = 0) -> None:
        """Take note of what a part has used by now, from its beginning."""
        if self._first is None:
            self._first = time.monotonic() - self._began
        self._usages[part] = usage

    def fail(self, error: Exception) -> None:
        """Take note of how the call ended: one that no engine took, or that was wrong, has used nothing."""
        if isinstance(error, InferenceUnavailable) or (isinstance(error, MaasError) and not isinstance(error, InferenceFailed)):
            self._refused = True
        else:
            self._failed = True

    def end(self, part: int = 0, *, replica_id: UUID | None) -> None:
        """Write the entry with the last part, unless it stands already."""
        with self._lock:
            self._open.discard(part)
            if self._open or self.entry is not None or (self._refused and self.usage == TokenUsage()):
                return
            self.entry = self._made_entry(replica_id)
        self._journal.record(self.entry)

    def _made_entry(self, replica_id: UUID | None) -> UsageEntry:
        usage = self.usage
        return UsageEntry(
            user_id=self._actor.user_id,
            at=self._clock.now(),
            deployment_id=self._deployment.id,
            model_id=self._deployment.model_id,
            kind=self._kind,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            latency_seconds=time.monotonic() - self._began,
            first_token_seconds=self._first,
            failed=self._failed or self._refused,
            replica_id=replica_id,
        )


@dataclass(frozen=True, kw_only=True)
class Metering:
    """Begins meters."""

    journal: UsageRecorder
    clock: Clock

    def begin(
        self, actor: Actor, deployment: Deployment, kind: UsageKind, *, parts: int = 1, repeats: Collection[int] = ()
    ) -> Meter:
        return Meter(
            actor=actor,
            deployment=deployment,
            kind=kind,
            journal=self.journal,
            clock=self.clock,
            parts=parts,
            repeats=repeats,
        )
