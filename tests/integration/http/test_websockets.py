"""WebSockets on the real server: sign-in, limits, and how they end."""

import json
import socket
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.http.conftest import Server, wait_until
from tests.toy_api import KNOWN_THING

pytestmark = pytest.mark.integration
ECHO = f"/things/{KNOWN_THING}/echo"


def open_socket(server: Server, path: str = f"/v1{ECHO}", **headers: str) -> ClientConnection:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return connect(f"ws://127.0.0.1:{server.port}{path}", additional_headers=named, max_size=None, legacy=True)


def signed_in(server: Server, token: str = "alice") -> ClientConnection:
    client = open_socket(server, Authorization=f"Bearer {token}")
    assert receive(client) == {"type": "authenticated"}
    return client


def receive(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=10))


def close_code(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.recv(timeout=15)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


@pytest.mark.parametrize("prefix", ["/v1", "/api/v1"])
def test_a_header_signs_in(shared_server: Server, prefix: str) -> None:
    with open_socket(shared_server, prefix + ECHO, Authorization="Bearer alice") as client:
        assert receive(client) == {"type": "authenticated"}
        client.send('{"a": 1}')
        assert receive(client) == {"echo": {"a": 1}}


def test_a_key_signs_in(shared_server: Server) -> None:
    with open_socket(shared_server, X_API_Key="maas_reader") as client:
        assert receive(client) == {"type": "authenticated"}


def test_the_first_message_signs_in(shared_server: Server) -> None:
    with open_socket(shared_server) as client:
        client.send('{"type": "auth", "token": "Bearer alice"}')
        assert receive(client) == {"type": "authenticated"}
        client.send("{}")
        assert receive(client) == {"echo": {}}


@pytest.mark.parametrize(
    "first",
    [
        '{"type": "auth", "token": "Bearer forged"}',
        '{"type": "auth", "token": "alice"}',
        '{"type": "auth"}',
        '{"type": "chat", "token": "Bearer alice"}',
        '{"type": "auth", "token": 7}',
    ],
)
def test_without_a_good_credential_it_closes_with_4401(shared_server: Server, first: str) -> None:
    with open_socket(shared_server) as client:
        client.send(first)
        assert receive(client)["error"]["code"] == "AUTH_001"
        assert close_code(client) == 4401


@pytest.mark.slow
def test_who_says_nothing_is_closed_with_4401_after_ten_seconds(shared_server: Server) -> None:
    began = time.monotonic()
    with open_socket(shared_server) as client:
        assert close_code(client) == 4401
    assert 9 < time.monotonic() - began < 13


def test_a_key_without_the_permission_is_closed_with_4403(shared_server: Server) -> None:
    with open_socket(shared_server, X_API_Key="maas_nothing") as client:
        assert close_code(client) == 4403


def test_what_does_not_exist_closes_with_4404(shared_server: Server) -> None:
    for name in ("01900000-0000-7000-8000-00000000ffff", "no-uuid"):
        with open_socket(shared_server, f"/v1/things/{name}/echo", Authorization="Bearer alice") as client:
            assert close_code(client) == 4404


def test_a_message_over_one_megabyte_closes_with_1009(shared_server: Server) -> None:
    with signed_in(shared_server) as client:
        client.send('{"a": "' + "x" * 1_100_000 + '"}')
        assert close_code(client) == 1009


def test_a_message_of_just_under_one_megabyte_comes_back_whole(shared_server: Server) -> None:
    with signed_in(shared_server) as client:
        client.send('{"a": "' + "é" * 500_000 + '"}')
        assert receive(client)["echo"]["a"] == "é" * 500_000


def test_a_handler_that_ends_closes_with_1000(shared_server: Server) -> None:
    with signed_in(shared_server) as client:
        client.send('{"end": true}')
        assert close_code(client) == 1000


def test_pings_are_answered(shared_server: Server) -> None:
    with signed_in(shared_server) as client:
        assert client.ping().wait(5)


def test_malformed_frames_close_the_connection_and_nothing_else(shared_server: Server) -> None:
    client = shared_server.connect()
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    client.sendall(
        f"GET /v1{ECHO} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in client.recv(65536), "RFC 6455's own example"
    client.sendall(b"\xff\xff\xff\xff\xff\xff")
    client.settimeout(5)

    received = client.recv(65536)

    assert not received or received[0] == 0x88
    assert shared_server.call("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("missing", ["Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_a_bad_upgrade_is_refused_by_plain_http(shared_server: Server, missing: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    headers["Sec-WebSocket-Version"] = "13"
    del headers[missing]

    status, _ = shared_server.call("GET", f"/v1{ECHO}", headers=headers)

    assert 400 <= status < 500


def test_a_client_that_does_not_read_is_dropped_at_one_megabyte(server: Server) -> None:
    slow = signed_in(server)
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.send('{"flood": true}')
    slow.recv_bufsize = 1

    with signed_in(server) as other:
        other.send("{}")
        assert receive(other) == {"echo": {}}
    wait_until(lambda: any('"code":1008' in line for line in list(server.lines)), 10)
    slow.close()


def test_sockets_are_closed_with_1001_when_the_server_stops(server: Server) -> None:
    with signed_in(server) as client:
        began = time.monotonic()
        server.process.terminate()

        assert close_code(client) == 1001
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 10


def test_a_client_that_vanishes_frees_its_thread(server: Server) -> None:
    clients = [signed_in(server) for _ in range(6)]
    for client in clients:
        client.socket.shutdown(socket.SHUT_RDWR)

    wait_until(lambda: "".join(server.lines).count("socket ended") == 6, 3)
    for client in clients:
        client.close()
