"""Which replica answers, and what happens where one does not."""

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from maas.adapters.text_generator.scripted import EngineScript
from maas.application.actor import Actor
from maas.application.inference.answers import TextAnswer
from maas.domain.errors import (
    EngineLost,
    InferenceFailed,
    InferenceTimeout,
    InferenceUnavailable,
    NotFound,
    OutOfRange,
)
from maas.domain.identity import Role
from maas.domain.inference.conversation import Message, MessageRole
from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.usage import UsageEntry
from tests.house import House
from tests.unit.inference.conftest import Deploy, Headers, a_running_replica

HELLO = [Message(role=MessageRole.USER, content="one two three")]
A, B, C = "http://a", "http://b", "http://c"
Begin = Callable[..., TextAnswer]


@pytest.fixture
def actor(house: House, alice: Headers) -> Actor:
    return house.actor(alice)


@pytest.fixture
def begin(house: House, actor: Actor) -> Begin:
    def ask(deployment: Deployment, **parameters: Any) -> TextAnswer:
        return house.container.chat().begin(actor, deployment.id, messages=HELLO, parameters=parameters)

    return ask


def unavailable() -> InferenceUnavailable:
    return InferenceUnavailable("no engine of the deployment can be reached; try again in a moment")


def lost() -> EngineLost:
    return EngineLost("the engine went away while it answered")


def asked(house: House) -> list[str]:
    return [one.address for one in house.writer.asked]


def entries(house: House) -> list[UsageEntry]:
    return [entry for entry in house.usage_journal.entries if entry.kind != "call"]


def test_the_replica_with_the_fewest_calls_in_flight_is_asked(house: House, deploy: Deploy, begin: Begin) -> None:
    deployment = deploy(A, B, C)
    running = []
    for _ in range(3):
        deltas = begin(deployment).deltas()
        next(deltas)
        running.append(deltas)

    assert sorted(asked(house)) == [A, B, C]
    for deltas in running:
        deltas.close()
    assert house.writer.running == 0


def test_another_replica_is_asked_where_one_cannot_be_reached(house: House, deploy: Deploy, begin: Begin) -> None:
    deployment = deploy(A, B)
    house.writer.scripts[A] = EngineScript(failure=unavailable())

    for _ in range(6):
        assert begin(deployment).whole().text == "one two three"

    # The one that failed a moment ago is asked last.
    assert asked(house).count(A) <= 1
    assert [entry.failed for entry in entries(house)] == [False] * 6


def test_another_replica_is_asked_where_one_goes_away_before_its_first_token(house: House, deploy: Deploy, begin: Begin) -> None:
    deployment = deploy(A, B)
    house.writer.scripts = {A: EngineScript(failure=lost()), B: EngineScript(failure=unavailable())}

    with pytest.raises(InferenceFailed):
        begin(deployment).whole()
    assert sorted(asked(house)) == [A, B]


def test_a_call_that_two_engines_died_of_is_not_taken_to_a_third(house: House, deploy: Deploy, begin: Begin) -> None:
    house.writer.scripts = {address: EngineScript(failure=lost()) for address in (A, B, C)}

    with pytest.raises(EngineLost):
        begin(deploy(A, B, C)).whole()
    assert len(asked(house)) == 2


@pytest.mark.parametrize(
    "failure",
    [
        InferenceFailed("the engine failed to answer"),
        InferenceTimeout("the engine took too long to answer"),
        OutOfRange("a text is longer than the model's {context} tokens", context=1),
    ],
)
def test_what_another_replica_would_not_make_good_is_told_at_once(
    house: House, deploy: Deploy, begin: Begin, failure: InferenceFailed
) -> None:
    house.writer.scripts = {A: EngineScript(failure=failure), B: EngineScript(failure=failure)}

    with pytest.raises(type(failure)):
        begin(deploy(A, B)).whole()
    assert len(asked(house)) == 1


def test_after_the_first_token_no_other_replica_is_asked(house: House, deploy: Deploy, begin: Begin) -> None:
    house.writer.scripts = {A: EngineScript(failure=lost(), fails_after=1), B: EngineScript(failure=lost(), fails_after=1)}

    with pytest.raises(EngineLost):
        begin(deploy(A, B)).whole()
    assert len(asked(house)) == 1
    assert [(entry.failed, entry.completion_tokens) for entry in entries(house)] == [(True, 1)]


def test_a_replica_that_was_replaced_a_moment_ago_is_found(house: House, deploy: Deploy, begin: Begin) -> None:
    deployment = deploy(A)
    begin(deployment).whole()
    house.writer.scripts[A] = EngineScript(failure=unavailable())
    with house.database() as work:
        work.replicas.add(a_running_replica(deployment.id, B))

    assert begin(deployment).whole().text == "one two three"


def test_a_deployment_that_became_ready_a_moment_ago_answers(house: House, deploy: Deploy, begin: Begin) -> None:
    deployment = deploy(status=DeploymentStatus.LOADING)
    with house.database() as work:
        for replica in work.replicas.of(deployment.id):
            replica.status = DeploymentStatus.LOADING
    with pytest.raises(InferenceUnavailable):
        begin(deployment)
    with house.database() as work:
        for replica in work.replicas.of(deployment.id):
            replica.status = DeploymentStatus.RUNNING

    assert begin(deployment).whole().text == "one two three"


def test_calls_read_no_rows_while_these_are_fresh(house: House, deploy: Deploy, begin: Begin) -> None:
    deployment = deploy()
    begin(deployment)
    opened = 0
    router = house.container.router()
    inner = router.unit_of_work

    def counting(**options: Any) -> Any:
        nonlocal opened
        opened += 1
        return inner(**options)

    router.unit_of_work = counting
    router._fresh_seconds = 60.0
    begin(deployment)
    opened = 0

    for _ in range(10):
        begin(deployment).whole()

    assert opened <= 1


def test_only_owners_and_admins_find_the_way(house: House, deploy: Deploy, actor: Actor) -> None:
    deployment = deploy()
    router = house.container.router()

    assert router.route(actor, deployment.id).deployment.id == deployment.id
    assert router.route(Actor(user_id=UUID(int=1), roles=frozenset({Role.ADMIN})), deployment.id)
    with pytest.raises(NotFound):
        router.route(Actor(user_id=UUID(int=1)), deployment.id)


def test_a_name_that_moved_to_another_deployment_leads_there(house: House, deploy: Deploy, actor: Actor) -> None:
    first = deploy(name="bot")
    router = house.container.router()
    assert router.route_by_name(actor, "bot").deployment.id == first.id
    with house.database() as work:
        found = work.deployments.find(first.id)
        assert found is not None
        found.name = "old bot"
    second = deploy(name="bot")
    router.reread(router.route(actor, first.id))

    assert router.route_by_name(actor, "bot").deployment.id == second.id


def test_an_answer_that_is_broken_off_is_charged_what_was_written(house: House, deploy: Deploy, begin: Begin) -> None:
    with closing(begin(deploy()).deltas()) as deltas:
        next(deltas)
        next(deltas)

    assert [(entry.completion_tokens, entry.failed) for entry in entries(house)] == [(2, False)]


def test_a_cancelled_answer_ends_while_its_engine_is_silent(house: House, deploy: Deploy, begin: Begin) -> None:
    house.writer.scripts[A] = EngineScript(pauses_after=1)
    answer = begin(deploy(A))
    threading.Timer(0.05, answer.cancel).start()

    with pytest.raises(InferenceFailed):
        answer.whole()

    assert house.writer.running == 0
    assert [(entry.completion_tokens, entry.failed) for entry in entries(house)] == [(1, False)]


def test_an_answer_that_nobody_reads_costs_nothing(house: House, deploy: Deploy, begin: Begin) -> None:
    begin(deploy())

    assert (asked(house), entries(house)) == ([], [])


def test_an_answer_is_counted_before_its_end_is_read(house: House, deploy: Deploy, begin: Begin) -> None:
    for delta in begin(deploy()).deltas():
        if delta is not None and delta.finish_reason is not None:
            assert len(entries(house)) == 1
    assert len(entries(house)) == 1


def test_an_adapter_is_asked_for_by_its_name(house: House, deploy: Deploy, begin: Begin) -> None:
    begin(deploy(adapter="tuned")).whole()

    assert house.writer.asked[0].adapter == "tuned"
