"""What calls have used: one entry in the journal for each, whatever becomes of it."""

import time
from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.clock import Clock
from maas.application.ports.usage_journal import UsageJournal
from maas.domain.errors import InferenceFailed, InferenceUnavailable, MaasError
from maas.domain.inference.conversation import TokenUsage
from maas.domain.serving.deployment import Deployment
from maas.domain.usage import UsageEntry, UsageKind


class Meter:
    """Counts one call. `end` writes its entry down, once; a call that was refused has none."""

    def __init__(self, *, actor: Actor, deployment: Deployment, kind: UsageKind, journal: UsageJournal, clock: Clock) -> None:
        self.entry: UsageEntry | None = None
        self._actor, self._deployment, self._kind = actor, deployment, kind
        self._journal, self._clock = journal, clock
        self._began = time.monotonic()
        self._first: float | None = None
        self._usage = TokenUsage()
        self._failed = self._refused = False

    def count(self, usage: TokenUsage) -> None:
        """Take note of what the call has used by now, from its beginning."""
        if self._first is None:
            self._first = time.monotonic() - self._began
        self._usage = usage

    def fail(self, error: Exception) -> None:
        """Take note of how the call ended: one that no engine took, or that was wrong, has used nothing."""
        self._refused = isinstance(error, InferenceUnavailable) or (
            isinstance(error, MaasError) and not isinstance(error, InferenceFailed)
        )
        self._failed = not self._refused

    def end(self, *, replica_id: UUID | None) -> None:
        """Write the entry, unless it stands already."""
        if self.entry is not None or (self._refused and self._usage == TokenUsage()):
            return
        self.entry = UsageEntry(
            user_id=self._actor.user_id,
            at=self._clock.now(),
            deployment_id=self._deployment.id,
            model_id=self._deployment.model_id,
            kind=self._kind,
            prompt_tokens=self._usage.prompt_tokens,
            completion_tokens=self._usage.completion_tokens,
            latency_seconds=time.monotonic() - self._began,
            first_token_seconds=self._first,
            failed=self._failed or self._refused,
            replica_id=replica_id,
        )
        self._journal.record(self.entry)


@dataclass(frozen=True, kw_only=True)
class Metering:
    """Begins meters."""

    journal: UsageJournal
    clock: Clock

    def begin(self, actor: Actor, deployment: Deployment, kind: UsageKind) -> Meter:
        return Meter(actor=actor, deployment=deployment, kind=kind, journal=self.journal, clock=self.clock)
