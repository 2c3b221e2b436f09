"""What every repository of calls that may be repeated does."""

import threading
from datetime import timedelta
from uuid import UUID

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.secret_box.memory import MemorySecretBox
from maas.application.actor import Actor
from maas.application.idempotency import Claim, Idempotency, KeptAnswer
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.errors import AlreadyExists
from maas.domain.idempotency import KEPT, IdempotentCall
from tests.builders import a_user

ALICE, BOB = UUID(int=1), UUID(int=2)


def begin(units: UnitOfWorkFactory, clock: ManualClock, user_id: UUID = ALICE, key: str = "k") -> IdempotentCall:
    call = IdempotentCall.begin(user_id=user_id, key=key, holder=UUID(int=9), at=clock.now())
    with units() as work:
        work.idempotent_calls.add(call)
    return call


def test_a_call_is_found_by_its_person_and_key(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    call = begin(units, clock)
    begin(units, clock, user_id=BOB)

    with units(read_only=True) as work:
        found = work.idempotent_calls.find(ALICE, "k")
        assert found is not None
        assert vars(found) == vars(call)
        assert work.idempotent_calls.find(ALICE, "K") is None


def test_an_answer_is_kept_as_bytes(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    begin(units, clock)
    with units() as work:
        found = work.idempotent_calls.find(ALICE, "k", for_update=True)
        assert found is not None
        found.finish(fingerprint="f", answer=b"\x00\xff")
        found.had_effect = True

    with units(read_only=True) as work:
        found = work.idempotent_calls.find(ALICE, "k")
        assert found is not None
        assert (found.fingerprint, found.answer, found.had_effect) == ("f", b"\x00\xff", True)


def test_a_removed_call_is_gone(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    begin(units, clock)
    with units() as work:
        found = work.idempotent_calls.find(ALICE, "k")
        assert found is not None
        work.idempotent_calls.remove(found)

    with units(read_only=True) as work:
        assert work.idempotent_calls.find(ALICE, "k") is None


def test_calls_whose_day_is_over_are_dropped(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    begin(units, clock, key="old")
    clock.advance(timedelta(seconds=1))
    begin(units, clock, key="new")
    with units() as work:
        work.idempotent_calls.remove_expired(at=clock.now() + KEPT - timedelta(seconds=1))

    with units(read_only=True) as work:
        assert work.idempotent_calls.find(ALICE, "old") is None
        assert work.idempotent_calls.find(ALICE, "new") is not None


def test_of_those_who_come_at_once_one_answers(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    idempotency = Idempotency(unit_of_work=units, clock=clock, secret_box=MemorySecretBox())
    came: list[Claim | KeptAnswer | AlreadyExists] = []
    start = threading.Barrier(4)

    def come() -> None:
        start.wait()
        try:
            came.append(idempotency.begin(Actor(user_id=ALICE), "k"))
        except AlreadyExists as error:
            came.append(error)

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(type(one).__name__ for one in came) == ["AlreadyExists"] * 3 + ["Claim"]


def test_the_effect_of_a_call_is_noted_in_the_transaction_that_has_it(units: UnitOfWorkFactory, clock: ManualClock) -> None:
    idempotency = Idempotency(unit_of_work=units, clock=clock, secret_box=MemorySecretBox())
    claims = [idempotency.begin(Actor(user_id=ALICE), key) for key in ("changed", "read", "failed")]
    assert all(isinstance(claim, Claim) for claim in claims)
    changed, read, failed = (claim for claim in claims if isinstance(claim, Claim))

    with idempotency.effects_of(changed), units() as work:
        work.users.add(a_user("alice"))
    with idempotency.effects_of(read), units(read_only=True) as work:
        work.users.find_by_username("alice")
    with pytest.raises(AlreadyExists), idempotency.effects_of(failed), units() as work:
        work.users.add(a_user("alice"))

    with units(read_only=True) as work:
        calls = {key: work.idempotent_calls.find(ALICE, key) for key in ("changed", "read", "failed")}
        assert {key: call.had_effect for key, call in calls.items() if call} == {"changed": True, "read": False, "failed": False}
