"""A batch that goes on by itself, whoever dies."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from maas.adapters.text_generator.scripted import EngineScript
from maas.application.actor import Actor
from maas.application.inference.batch_lines import item_in, item_line, result_in, result_line
from maas.application.inference.batches import BATCH_WORK
from maas.application.work import Holding, WorkInterrupted
from maas.domain.errors import Conflict, InferenceUnavailable, Invalid, MaasError, OutOfRange, Problem, RateLimited
from maas.domain.identifiers import new_id
from maas.domain.inference.answers import EmbeddedTexts, WrittenText
from maas.domain.inference.batch import Batch, BatchItem, BatchResult, BatchStatus, ItemType
from maas.domain.inference.conversation import Embeddings, FinishReason, Message, MessageRole, TokenLogprob, TokenUsage
from maas.domain.leases import Lease
from tests.builders import NOW, a_batch
from tests.house import House
from tests.unit.inference.conftest import ENGINE, Deploy, Headers


class Hand(Holding):
    """A holding whose end a test decides: after so many looks the process ends, or the lease is lost."""

    def __init__(self, lease: Lease, *, ends_after: int = 10**9, lost_after: int = 10**9) -> None:
        self.lease = lease
        self._looks = 0
        self._ends_after, self._lost_after = ends_after, lost_after

    @property
    def is_lost(self) -> bool:
        return self._looks > self._lost_after

    @property
    def is_ending(self) -> bool:
        self._looks += 1
        return self._looks > self._ends_after


@pytest.fixture
def actor(house: House, alice: Headers) -> Actor:
    return house.actor(alice)


def items(count: int) -> list[BatchItem]:
    return [BatchItem(id=f"r{number}", type=ItemType.COMPLETION, prompt=f"word{number}") for number in range(count)]


def claim(house: House) -> Lease:
    with house.database() as work:
        lease = work.leases.claim([BATCH_WORK], worker="w", at=house.clock.now(), duration=timedelta(seconds=30))
    assert lease is not None
    return lease


def found(house: House, batch: Batch) -> Batch:
    with house.database(read_only=True) as work:
        after = work.batches.find(batch.id)
    assert after is not None
    return after


def texts(house: House, actor: Actor, batch: Batch) -> Sequence[str]:
    results = house.container.batches().results(actor, batch.id)
    return [result.answer.text if isinstance(result.answer, WrittenText) else "" for result in results]


def test_a_worker_that_ends_puts_a_batch_down_and_the_next_goes_on(house: House, actor: Actor, deploy: Deploy) -> None:
    deployment = deploy()
    batch = house.container.batches().submit(actor, deployment.id, items(50))
    handler = house.container.batch_work()
    lease = claim(house)

    with pytest.raises(WorkInterrupted):
        handler.run(Hand(lease, ends_after=10))
    with house.database() as work:
        work.leases.give_back(lease, at=house.clock.now())
    halfway = found(house, batch)
    assert 0 < halfway.position < 50
    house.work()

    assert found(house, batch).status is BatchStatus.SUCCEEDED
    assert texts(house, actor, batch) == [f"word{number}" for number in range(50)]
    with house.database(read_only=True) as work:
        assert work.usage.of_deployment(deployment.id).total.calls == 50


def test_a_worker_that_died_leaves_nothing_that_counts_twice(house: House, actor: Actor, deploy: Deploy) -> None:
    deployment = deploy()
    batch = house.container.batches().submit(actor, deployment.id, items(150))
    handler = house.container.batch_work()
    dead = claim(house)
    house.clock.advance(timedelta(seconds=31))
    alive = claim(house)
    handler.run(Hand(alive))

    # The dead one wakes up, and answers all again under a lease that is not its own any more.
    handler.run(Hand(dead))

    after = found(house, batch)
    assert (after.status, after.completed, after.parts) == (BatchStatus.SUCCEEDED, 150, 2)
    with house.database(read_only=True) as work:
        assert work.usage.of_deployment(deployment.id).total.calls == 150
        kept = work.batches.roots()
    assert {key for key in house.files.trees if key.startswith("batch")} == kept


def test_a_crash_after_the_file_and_before_the_row_costs_one_part(
    house: House, actor: Actor, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = house.container.batches().submit(actor, deploy().id, items(150))
    handler = house.container.batch_work()
    with house.database(read_only=True) as work:
        usage = type(work.usage)
    adding = usage.add
    calls = 0

    def failing(self: Any, sums: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("the disk is gone")
        adding(self, sums)

    monkeypatch.setattr(usage, "add", failing)
    with pytest.raises(RuntimeError):
        handler.run(Hand(claim(house)))
    assert found(house, batch).completed == 100

    house.clock.advance(timedelta(seconds=31))
    handler.run(Hand(claim(house)))

    assert texts(house, actor, batch) == [f"word{number}" for number in range(150)]


def test_a_batch_that_was_cancelled_midway_stores_no_more(house: House, actor: Actor, deploy: Deploy) -> None:
    batch = house.container.batches().submit(actor, deploy().id, items(50))
    lease = claim(house)
    house.container.batches().cancel(actor, batch.id)

    house.container.batch_work().run(Hand(lease))

    assert found(house, batch).status is BatchStatus.CANCELLED
    assert texts(house, actor, batch) == []


def test_a_batch_that_finds_no_engine_is_tried_again_and_given_up_in_the_end(house: House, actor: Actor, deploy: Deploy) -> None:
    batch = house.container.batches().submit(actor, deploy().id, items(2))
    house.container.patient_batch_answers()._patience_seconds = 0.0
    busy = InferenceUnavailable("the deployment is busy; try again in {retry_after} seconds", retry_after=1)
    house.writer.scripts[ENGINE] = EngineScript(failure=busy)
    handler = house.container.batch_work()
    lease = claim(house)

    with pytest.raises(InferenceUnavailable):
        handler.run(Hand(lease))
    assert found(house, batch).status is BatchStatus.RUNNING
    handler.give_up(lease, "no engine came")

    after = found(house, batch)
    assert (after.status, after.reason) == (BatchStatus.FAILED, "no engine came")
    handler.give_up(lease, "again")
    assert found(house, batch).reason == "no engine came"


def test_a_busy_engine_is_waited_for(house: House, actor: Actor, deploy: Deploy) -> None:
    busy = InferenceUnavailable(
        "the deployment is busy; try again in {retry_after} seconds", retry_after_seconds=0, retry_after=0
    )
    house.writer.scripts[ENGINE] = EngineScript(failure=busy)
    deployment = deploy()
    asked = 0

    def write(request: Any) -> str:
        return "done"

    house.writer.write = write
    batch = house.container.batches().submit(actor, deployment.id, items(1))
    original = house.writer.generate

    def generate(*args: Any, **options: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 3:
            house.writer.scripts.clear()
        return original(*args, **options)

    house.writer.generate = generate  # type: ignore[method-assign]
    house.work()

    assert texts(house, actor, batch) == ["done"]


@pytest.mark.parametrize(
    "item",
    [
        BatchItem(
            id="a",
            messages=(Message(role=MessageRole.USER, content="你好\n"),),
            parameters={"temperature": 0.5, "stop": ("x",), "seed": 7},
        ),
        BatchItem(id="b", type=ItemType.COMPLETION, prompt="p"),
        BatchItem(id="c", type=ItemType.EMBEDDING, texts=("one", "two")),
    ],
)
def test_a_request_comes_back_from_its_line(item: BatchItem) -> None:
    line = item_line(item)
    back = item_in(line)

    assert line.count(b"\n") == 1
    assert (back.id, back.type, back.messages, back.prompt, back.texts) == (
        item.id,
        item.type,
        item.messages,
        item.prompt,
        item.texts,
    )
    assert {
        name: tuple(value) if isinstance(value, list) else value for name, value in back.parameters.items()
    } == item.parameters


@pytest.mark.parametrize(
    "answer",
    [
        WrittenText(
            id=new_id(),
            deployment_id=new_id(),
            model="m",
            is_chat=True,
            text="你好\n",
            finish_reason=FinishReason.LENGTH,
            usage=TokenUsage(prompt_tokens=1, completion_tokens=2),
            logprobs=(TokenLogprob(token="a", logprob=-0.5, top=(("b", -1.0),)),),
        ),
        EmbeddedTexts(model="m", embeddings=Embeddings(vectors=[[0.1, -0.25]], usage=TokenUsage(prompt_tokens=3))),
    ],
)
def test_an_answer_comes_back_from_its_line(answer: WrittenText | EmbeddedTexts) -> None:
    assert result_in(result_line(BatchResult(id="x", answer=answer))) == BatchResult(id="x", answer=answer)


@pytest.mark.parametrize(
    "error",
    [
        OutOfRange("must be from {least} to {most}", field="parameters.top_p", least="0", most="1"),
        Invalid("the input is not valid", problems=[Problem(field="data", template="Unknown field.", code="VALIDATION_001")]),
        InferenceUnavailable("the deployment is busy; try again in {retry_after} seconds", retry_after=new_id()),
        RateLimited(retry_after_seconds=3, limit=5),
    ],
)
def test_an_error_comes_back_from_its_line(error: MaasError) -> None:
    back = result_in(result_line(BatchResult(id="x", error=error))).error

    assert back is not None
    assert (type(back), str(back), back.code) == (type(error), str(error), error.code)
    assert [(one.field, one.message, one.code) for one in back.problems] == [
        (one.field, one.message, one.code) for one in error.problems
    ]


def test_final_is_final() -> None:
    batch = a_batch(new_id())
    batch.start(at=NOW)
    batch.succeed(at=NOW)

    for move in (lambda: batch.cancel(at=NOW), lambda: batch.fail("x", at=NOW), lambda: batch.start(at=NOW)):
        with pytest.raises(Conflict):
            move()
    assert [change.after.value for change in batch.changes] == ["queued", "running", "succeeded"]
