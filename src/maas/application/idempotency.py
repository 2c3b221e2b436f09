"""Answering a repeated call with the answer of the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.clock import Clock
from maas.application.ports.secret_box import SecretBox
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.domain.errors import AlreadyExists
from maas.domain.idempotency import IdempotentCall, checked_key
from maas.domain.identifiers import new_id


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to answer a call under a key."""

    user_id: UUID
    key: str
    holder: UUID


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """The answer of the first call, and the fingerprint of its request."""

    fingerprint: str
    answer: bytes


_ANSWERED: ContextVar[Claim | None] = ContextVar("answered", default=None)


def note_effect(work: UnitOfWork) -> None:
    """Note, in a transaction that is about to commit, that the call which is being answered under a key had an effect."""
    claim = _ANSWERED.get()
    if claim is not None:
        call = _held(work, claim)
        if call is not None:
            call.had_effect = True


class Idempotency:
    """Gives each key to one caller at a time, and keeps answers sealed, since any may hold a secret."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, clock: Clock, secret_box: SecretBox) -> None:
        self.unit_of_work = unit_of_work
        self.clock = clock
        self.secret_box = secret_box

    def begin(self, actor: Actor, key: str) -> Claim | KeptAnswer:
        """Claim `key`, or return the answer that is kept under it; raise AlreadyExists while another answers."""
        claim = Claim(user_id=actor.user_id, key=checked_key(key), holder=new_id())
        now = self.clock.now()
        with self.unit_of_work() as work:
            call = work.idempotent_calls.find(actor.user_id, key, for_update=True)
            if call is None:
                work.idempotent_calls.add(IdempotentCall.begin(user_id=actor.user_id, key=key, holder=claim.holder, at=now))
                return claim
            if call.answer is not None and call.fingerprint is not None and not call.is_over(at=now):
                return KeptAnswer(fingerprint=call.fingerprint, answer=self.secret_box.open(call.answer))
            call.take_over(claim.holder, at=now)
            return claim

    @contextmanager
    def effects_of(self, claim: Claim) -> Iterator[None]:
        """Take what is committed within the block, on this thread, for an effect of the call."""
        token = _ANSWERED.set(claim)
        try:
            yield
        finally:
            _ANSWERED.reset(token)

    def renew(self, claim: Claim) -> None:
        """Keep a claim while its call takes long."""
        with self.unit_of_work() as work:
            call = _held(work, claim)
            if call is not None:
                call.renew(at=self.clock.now())

    def finish(self, claim: Claim, *, fingerprint: str, answer: bytes) -> None:
        """Keep the answer for a day."""
        with self.unit_of_work() as work:
            call = _held(work, claim)
            if call is not None:
                call.finish(fingerprint=fingerprint, answer=self.secret_box.seal(answer))

    def give_back(self, claim: Claim) -> None:
        """Free the key: the call had no effect."""
        with self.unit_of_work() as work:
            call = _held(work, claim)
            if call is not None:
                work.idempotent_calls.remove(call)

    def sweep(self) -> None:
        """Drop the answers whose day is over."""
        with self.unit_of_work() as work:
            work.idempotent_calls.remove_expired(at=self.clock.now())


def check_same_request(kept: KeptAnswer, fingerprint: str) -> None:
    """Raise AlreadyExists where a key comes again with another request."""
    if kept.fingerprint != fingerprint:
        raise AlreadyExists("this idempotency key was used for another request", field="Idempotency-Key")


def _held(work: UnitOfWork, claim: Claim) -> IdempotentCall | None:
    call = work.idempotent_calls.find(claim.user_id, claim.key, for_update=True)
    return call if call is not None and call.holder == claim.holder else None
