"""Answering a repeated call with the answer of the first."""

from datetime import timedelta
from uuid import UUID

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.secret_box.memory import MemorySecretBox
from maas.application.actor import Actor
from maas.application.idempotency import Claim, Idempotency, KeptAnswer, check_same_request
from maas.domain.errors import AlreadyExists, WrongForm
from tests.builders import a_user

ALICE, BOB = Actor(user_id=UUID(int=1)), Actor(user_id=UUID(int=2))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database(clock: ManualClock) -> MemoryDatabase:
    return MemoryDatabase(clock)


@pytest.fixture
def idempotency(database: MemoryDatabase, clock: ManualClock) -> Idempotency:
    return Idempotency(unit_of_work=database, clock=clock, secret_box=MemorySecretBox())


def claim(idempotency: Idempotency, actor: Actor = ALICE, key: str = "k") -> Claim:
    claimed = idempotency.begin(actor, key)
    assert isinstance(claimed, Claim)
    return claimed


def test_the_answer_is_given_again_for_a_day(idempotency: Idempotency, clock: ManualClock) -> None:
    idempotency.finish(claim(idempotency), fingerprint="f", answer=b"answer")
    clock.advance(timedelta(hours=24) - timedelta(seconds=1))
    kept = idempotency.begin(ALICE, "k")
    clock.advance(timedelta(seconds=1))

    assert kept == KeptAnswer(fingerprint="f", answer=b"answer")
    assert isinstance(idempotency.begin(ALICE, "k"), Claim)


def test_keys_belong_to_their_person(idempotency: Idempotency) -> None:
    idempotency.finish(claim(idempotency), fingerprint="f", answer=b"answer")

    claim(idempotency, BOB)


def test_answers_are_sealed(idempotency: Idempotency, database: MemoryDatabase) -> None:
    idempotency.finish(claim(idempotency), fingerprint="f", answer=b"a secret")

    assert [row.answer for row in database.idempotent_calls.rows.values() if b"a secret" in (row.answer or b"")] == []


def test_a_second_call_while_the_first_runs_is_refused(idempotency: Idempotency, clock: ManualClock) -> None:
    first = claim(idempotency)
    for _ in range(5):
        clock.advance(timedelta(seconds=50))
        idempotency.renew(first)
        with pytest.raises(AlreadyExists):
            idempotency.begin(ALICE, "k")


def test_a_call_whose_holder_died_is_taken_over_and_the_dead_cannot_end_it(idempotency: Idempotency, clock: ManualClock) -> None:
    dead = claim(idempotency)
    clock.advance(timedelta(seconds=60))
    living = claim(idempotency)
    idempotency.finish(dead, fingerprint="dead", answer=b"dead")
    idempotency.give_back(dead)
    idempotency.finish(living, fingerprint="living", answer=b"living")

    assert idempotency.begin(ALICE, "k") == KeptAnswer(fingerprint="living", answer=b"living")


def test_a_call_whose_holder_died_after_its_effect_has_no_second_one(
    idempotency: Idempotency, database: MemoryDatabase, clock: ManualClock
) -> None:
    dead = claim(idempotency)
    with idempotency.effects_of(dead), database() as work:
        work.users.add(a_user())
    clock.advance(timedelta(hours=23))
    with pytest.raises(AlreadyExists) as refused:
        idempotency.begin(ALICE, "k")
    clock.advance(timedelta(hours=1))

    assert "its answer was lost" in str(refused.value)
    claim(idempotency)


def test_a_call_that_was_given_back_may_come_again(idempotency: Idempotency) -> None:
    idempotency.give_back(claim(idempotency))

    claim(idempotency)


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "a\n", "\x7f"])
def test_keys_have_a_form(idempotency: Idempotency, key: str) -> None:
    with pytest.raises(WrongForm):
        idempotency.begin(ALICE, key)


def test_another_request_under_the_key_is_refused() -> None:
    check_same_request(KeptAnswer(fingerprint="f", answer=b""), "f")
    with pytest.raises(AlreadyExists):
        check_same_request(KeptAnswer(fingerprint="f", answer=b""), "g")


def test_what_is_over_is_swept(idempotency: Idempotency, database: MemoryDatabase, clock: ManualClock) -> None:
    claim(idempotency)
    clock.advance(timedelta(hours=24))
    idempotency.sweep()

    assert database.idempotent_calls.rows == {}
