"""Streams that go on without their client, over HTTP."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from maas.adapters.text_generator.scripted import EngineScript
from maas.domain.errors import EngineLost, InferenceFailed
from maas.domain.inference.kept_stream import KEPT_FOR, KeptChunk, KeptStream
from tests.house import House
from tests.unit.inference.conftest import ENGINE, Deploy, Headers


def begin(house: House, headers: Headers, deployment: Any) -> Any:
    sent = {
        "deployment_id": str(deployment.id),
        "messages": [{"role": "user", "content": "one two three"}],
        "parameters": {"stream": True},
        "resumable": True,
    }
    return house.client.post("/api/v1/inference/chat", json=sent, headers=headers)


def resume(house: House, headers: Headers, identity: str, after: str | None = None) -> Any:
    more = {} if after is None else {"Last-Event-ID": after}
    return house.client.get(f"/api/v1/inference/streams/{identity}", headers={**headers, **more})


def events(answer: Any) -> list[tuple[str, Any]]:
    assert answer.status_code == 200, answer.json
    blocks = [block for block in answer.get_data(as_text=True).split("\n\n") if block]
    assert blocks[-1] == "data: [DONE]"
    lines = [block.split("\n") for block in blocks[:-1]]
    return [(first.removeprefix("id: "), json.loads(second.removeprefix("data: "))) for first, second in lines]


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def written(house: House, alice: Headers, deploy: Deploy) -> list[tuple[str, Any]]:
    """The events of a stream that has ended and is read from what is kept."""
    told = events(begin(house, alice, deploy()))
    wait_until(lambda: not house.container.resumable_streams()._written)
    return told


def test_chunks_carry_ids_and_are_those_of_any_stream(written: list[tuple[str, Any]]) -> None:
    assert [identity for identity, _ in written] == ["1", "2", "3", "4"]
    assert [chunk["choices"][0]["delta"].get("content") for _, chunk in written] == ["one", " two", " three", None]
    assert written[-1][1]["usage"]["total_tokens"] == 7


def test_a_stream_is_taken_up_after_the_event_that_was_seen_last(
    house: House, alice: Headers, written: list[tuple[str, Any]]
) -> None:
    identity = written[0][1]["id"]

    assert events(resume(house, alice, identity)) == written
    assert events(resume(house, alice, identity, "2")) == written[2:]
    assert events(resume(house, alice, identity, "99")) == []


def test_a_stream_goes_on_without_its_client(house: House, alice: Headers, deploy: Deploy) -> None:
    script = EngineScript(pauses_after=1)
    house.writer.scripts[ENGINE] = script
    answer = begin(house, alice, deploy())
    stream = answer.response
    first = next(iter(stream))
    answer.close()
    identity = json.loads(first.decode().split("data: ")[1])["id"]

    script.go_on.set()

    told = events(resume(house, alice, identity, "1"))
    assert [chunk["choices"][0]["delta"].get("content") for _, chunk in told] == [" two", " three", None]
    assert house.writer.running == 0
    entries = [entry for entry in house.usage_journal.entries if entry.kind == "chat"]
    assert [(entry.completion_tokens, entry.failed) for entry in entries] == [(3, False)]


def test_a_failure_in_the_midst_is_kept_too(house: House, alice: Headers, deploy: Deploy) -> None:
    house.writer.scripts[ENGINE] = EngineScript(failure=EngineLost("the engine went away while it answered"), fails_after=1)

    told = events(begin(house, alice, deploy()))

    assert told[-1][1]["error"]["code"] == "INFERENCE_001"
    assert events(resume(house, alice, told[0][1]["id"])) == told


def test_a_failure_before_the_first_byte_has_its_status(house: House, alice: Headers, deploy: Deploy) -> None:
    house.writer.scripts[ENGINE] = EngineScript(failure=InferenceFailed("the engine failed to answer"))

    assert begin(house, alice, deploy()).status_code == 502


def test_another_persons_stream_is_hidden_and_an_old_one_is_gone(
    house: House, alice: Headers, written: list[tuple[str, Any]]
) -> None:
    identity = written[0][1]["id"]

    assert resume(house, house.sign_up("bob"), identity).status_code == 404
    assert resume(house, alice, "01900000-0000-7000-8000-000000000001").status_code == 404
    house.clock.advance(KEPT_FOR + timedelta(seconds=1))
    assert resume(house, house.sign_in("alice"), identity).status_code == 404
    assert house.container.resumable_streams().sweep() == 1


@pytest.mark.parametrize("told", ["x", "-1", "1.5", "1" * 10])
def test_an_event_id_is_a_number(house: House, alice: Headers, written: list[tuple[str, Any]], told: str) -> None:
    answer = resume(house, alice, written[0][1]["id"], told)

    assert (answer.status_code, answer.json["error"]["details"][0]["field"]) == (422, "Last-Event-ID")


def test_a_stream_whose_process_died_ends_with_an_error(house: House, alice: Headers, deploy: Deploy) -> None:
    now = house.clock.now()
    stream = KeptStream(id=deploy().id, owner_id=house.user_id(alice), deployment_id=deploy().id, created_at=now, heard_at=now)
    with house.database() as work:
        work.kept_streams.add(stream)
        work.kept_streams.append(stream.id, [KeptChunk(number=1, content='{"id":"x"}')], at=now, ended=False)
    house.clock.advance(timedelta(seconds=60))

    told = [chunk for _, chunk in events_with_error(resume(house, alice, str(stream.id)))]

    assert told[0] == {"id": "x"}
    assert told[1]["error"]["code"] == "INFERENCE_001"


def events_with_error(answer: Any) -> list[tuple[str, Any]]:
    blocks = [block for block in answer.get_data(as_text=True).split("\n\n") if block]
    assert blocks[-1] == "data: [DONE]"
    return [("", json.loads(block.split("data: ")[1])) for block in blocks[:-1]]


def test_what_is_written_as_the_process_ends_does_not_look_complete(house: House, alice: Headers, deploy: Deploy) -> None:
    house.writer.scripts[ENGINE] = EngineScript(pauses_after=1)
    answer = begin(house, alice, deploy())
    identity = json.loads(next(iter(answer.response)).decode().split("data: ")[1])["id"]
    answer.close()

    house.container.resumable_streams().close()

    assert events(resume(house, alice, identity))[-1][1]["error"]["code"] == "SYSTEM_002"
    assert house.writer.running == 0
