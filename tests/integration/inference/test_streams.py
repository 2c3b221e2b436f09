"""Streams through a real server: clients that leave or are slow, engines that die, processes that end."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.inference.served import Served, served, wait_until
from tests.unit.inference.wire import END, HEAD, event, piece, usage, wire_engine

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CHAT = "/api/v1/inference/chat"
SILENCE = 60.0


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API for tests that leave it as it was."""
    with served(tmp_path_factory.mktemp("platform") / "data") as running:
        yield running


def words(count: int) -> list[bytes]:
    return [piece("word ", usage=usage(3, number + 1)) for number in range(count)]


def ended(count: int) -> list[bytes]:
    return [piece("", "stop", usage=usage(3, count)), event(b"[DONE]"), END]


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    received = b""
    while wanted not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def test_pieces_go_on_as_they_come(api: Served) -> None:
    """The first word is there while the engine waits for us to read it: it goes on only when we have left."""
    with wire_engine([HEAD, words(1)[0], SILENCE]) as engine:
        connection = api.begin(CHAT, api.chat(api.deploy(engine.address), stream=True))

        assert b"word" in read_until(connection, b"word")
        connection.close()
        assert engine.hung_up.wait(10)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_slot_though_the_engine_is_silent(api: Served, *, stream: bool) -> None:
    before = len(api.entries())
    with wire_engine([HEAD, words(1)[0], SILENCE]) as engine:
        connection = api.begin(CHAT, api.chat(api.deploy(engine.address), stream=stream))
        wait_until(lambda: bool(engine.calls))
        time.sleep(0.3)
        connection.close()

        assert engine.hung_up.wait(10)
        wait_until(lambda: len(api.entries()) == before + 1)

    entry = api.entries()[-1]
    assert (entry.failed, entry.prompt_tokens, entry.completion_tokens) == (False, 3, 1)


def test_a_client_that_leaves_an_embedding_frees_its_slot(api: Served) -> None:
    with wire_engine([SILENCE]) as engine:
        deployment = api.deploy(engine.address, task="feature-extraction", can_chat=False)
        connection = api.begin("/api/v1/inference/embedding", {"deployment_id": str(deployment.id), "texts": ["x"]})
        wait_until(lambda: bool(engine.calls))
        connection.close()

        assert engine.hung_up.wait(10)


def test_a_client_that_leaves_a_batch_frees_its_slots(api: Served) -> None:
    with wire_engine([SILENCE]) as engine:
        deployment = api.deploy(engine.address)
        items = [{"id": str(n), "type": "completion", "data": {"prompt": "x"}} for n in range(60)]
        connection = api.begin("/api/v1/inference/batch", {"deployment_id": str(deployment.id), "requests": items})
        wait_until(lambda: len(engine.calls) >= 20)
        connection.close()

        assert engine.hung_up.wait(10)
        assert len(engine.calls) < 60


def test_an_engine_that_dies_in_the_midst_ends_the_stream_with_an_error(api: Served) -> None:
    with wire_engine([HEAD, *words(2), None]) as engine:
        told = api.events(CHAT, api.chat(api.deploy(engine.address), stream=True))

    assert told[-1] == "[DONE]"
    assert told[-2]["error"]["code"] == "INFERENCE_001"
    assert "word " in json.dumps(told[0])


def test_an_engine_that_dies_before_its_first_word_is_replaced_unseen(api: Served) -> None:
    with wire_engine([HEAD, None]) as dying, wire_engine([HEAD, *words(2), *ended(3)]) as good:
        deployment = api.deploy(dying.address, good.address)

        for _ in range(4):
            told = api.events(CHAT, api.chat(deployment, stream=True))
            assert told[-2]["choices"][0]["finish_reason"] == "stop"


def test_a_client_that_reads_nothing_hurts_nobody(api: Served) -> None:
    with wire_engine([HEAD, *words(60_000), *ended(60_000)]) as long, wire_engine([HEAD, *words(1), *ended(2)]) as short:
        slow = api.begin(CHAT, api.chat(api.deploy(long.address), stream=True))
        other = api.deploy(short.address)
        wait_until(lambda: bool(long.calls))

        for _ in range(5):
            assert api.call("POST", CHAT, api.chat(other))[0] == 200
        assert not long.hung_up.is_set()
        slow.close()
        assert long.hung_up.wait(10)


def test_a_revoked_session_ends_its_stream(api: Served) -> None:
    with wire_engine([HEAD, *words(1), SILENCE]) as engine:
        api_token = api.token
        signed_in = api.container.sign_in().sign_in(
            email="alice@example.com", password="correct horse battery", address="192.0.2.1"
        )
        api.token = signed_in.tokens.access_token
        try:
            connection = api.begin(CHAT, api.chat(api.deploy(engine.address), stream=True))
            api.call("POST", "/api/v1/auth/logout")
        finally:
            api.token = api_token
        received = read_until(connection, b"[DONE]")
        connection.close()

    assert b"AUTH_001" in received


def test_streams_end_with_an_error_where_the_process_ends(tmp_path: Path) -> None:
    with served(tmp_path / "data") as api, wire_engine([HEAD, *words(1), SILENCE]) as engine:
        deployment = api.deploy(engine.address)
        told: list[object] = []
        stream = threading.Thread(target=lambda: told.extend(api.events(CHAT, api.chat(deployment, stream=True))))
        stream.start()
        wait_until(lambda: bool(engine.calls))
        time.sleep(0.3)

        assert api.stop() == 0
        stream.join(10)

    assert told[-1] == "[DONE]"
    assert isinstance(told[-2], dict)
    assert told[-2]["error"]["code"] == "SYSTEM_002"


def test_the_journal_has_each_of_many_calls_at_once(api: Served) -> None:
    before = len(api.entries())
    with wire_engine([HEAD, *words(3), *ended(4)]) as engine:
        deployment = api.deploy(engine.address)
        threads = [
            threading.Thread(target=lambda: [api.call("POST", CHAT, api.chat(deployment)) for _ in range(10)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    entries = api.entries()[before:]
    assert [(entry.prompt_tokens, entry.completion_tokens) for entry in entries] == [(3, 4)] * 80
