"""Calls that a client may repeat: the same key has one effect and one answer."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from maas.domain.errors import AlreadyExists, WrongForm

KEPT = timedelta(hours=24)
LEASE = timedelta(seconds=60)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def checked_key(key: str) -> str:
    """Return `key`, or raise WrongForm: 1 to 255 visible ASCII characters."""
    if not _KEY.fullmatch(key):
        raise WrongForm("an idempotency key has 1 to 255 visible ASCII characters", field="Idempotency-Key")
    return key


@dataclass(eq=False, kw_only=True)
class IdempotentCall:
    """A person's call under a key: held by who answers it, then kept with its answer for a day.

    `fingerprint` tells one request from another; `answer` is sealed. A holder that dies loses the call when its lease ends,
    unless the call `had_effect`: that is noted in the transaction that changed something for it.
    """

    user_id: UUID
    key: str
    holder: UUID
    held_until: datetime
    fingerprint: str | None = None
    answer: bytes | None = None
    had_effect: bool = False
    created_at: datetime
    expires_at: datetime

    @classmethod
    def begin(cls, *, user_id: UUID, key: str, holder: UUID, at: datetime) -> "IdempotentCall":
        return cls(user_id=user_id, key=key, holder=holder, held_until=at + LEASE, created_at=at, expires_at=at + KEPT)

    def is_over(self, *, at: datetime) -> bool:
        """Whether the key is free again: a day has passed, or its holder died before it changed anything."""
        return at >= self.expires_at or (self.answer is None and not self.had_effect and at >= self.held_until)

    def take_over(self, holder: UUID, *, at: datetime) -> None:
        """Begin anew for another holder; raise AlreadyExists while the first still answers."""
        if not self.is_over(at=at):
            if self.had_effect and at >= self.held_until:
                raise AlreadyExists(
                    "the first call with this idempotency key had its effect, but its answer was lost", field="Idempotency-Key"
                )
            raise AlreadyExists("the first call with this idempotency key is still running", field="Idempotency-Key")
        self.holder, self.held_until = holder, at + LEASE
        self.fingerprint = self.answer = None
        self.had_effect = False
        self.created_at, self.expires_at = at, at + KEPT

    def renew(self, *, at: datetime) -> None:
        self.held_until = at + LEASE

    def finish(self, *, fingerprint: str, answer: bytes) -> None:
        self.fingerprint, self.answer = fingerprint, answer
