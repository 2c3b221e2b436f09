"""The real server against slow, silent, lying and vanishing clients."""

import json
import re
import socket
import time

import pytest

from tests.integration.http.conftest import Server, wait_until

pytestmark = pytest.mark.integration
HEAD = b"Host: x\r\nAuthorization: Bearer alice\r\n"


def receive_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def receive_one(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return head and body of one answer, which may come in pieces."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head) if end else None
        if length is not None and len(body) >= int(length[1]):
            return head, body
        piece = connection.recv(65536)
        assert piece, received
        received += piece


def test_half_sent_heads_do_not_hold_up_others(shared_server: Server) -> None:
    """More of them than there are threads: those are cut after 20 s, others are served before."""
    drips = [shared_server.connect() for _ in range(12)]
    for drip in drips:
        drip.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
    began = time.monotonic()

    status, _ = shared_server.call("GET", "/healthz")

    assert status == 200
    assert time.monotonic() - began < 2
    for drip in drips:
        drip.close()


@pytest.mark.slow
def test_a_head_that_drips_is_cut_off_in_time(shared_server: Server) -> None:
    drip = shared_server.connect()
    drip.sendall(b"GET /healthz HTTP/1.1\r\n")
    began = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel likes
        while time.monotonic() - began < 40:
            drip.sendall(b"X-Drip: 1\r\n")
            time.sleep(0.5)

    assert 15 < time.monotonic() - began < 30


def test_silent_connections_take_no_thread(shared_server: Server) -> None:
    silent = [shared_server.connect() for _ in range(30)]
    time.sleep(0.5)
    began = time.monotonic()

    status, _ = shared_server.call("GET", "/healthz")

    assert status == 200
    assert time.monotonic() - began < 1
    for connection in silent:
        connection.close()


def test_clients_that_never_say_goodbye_do_not_delay_others(shared_server: Server) -> None:
    """Gunicorn alone lingers two seconds for each of these on the thread that accepts."""
    lingering = []
    for _ in range(10):
        connection = shared_server.connect()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        lingering.append(connection)
    time.sleep(0.2)
    began = time.monotonic()

    status, _ = shared_server.call("GET", "/healthz")

    assert status == 200
    assert time.monotonic() - began < 1
    for connection in lingering:
        connection.close()


def test_an_upload_that_breaks_off_is_not_200(shared_server: Server) -> None:
    connection = shared_server.connect()
    connection.sendall(b"PUT /api/v1/things/raw HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 600)
    connection.shutdown(socket.SHUT_WR)

    assert receive_all(connection).startswith(b"HTTP/1.1 400")


def test_a_chunked_upload_that_breaks_off_is_not_200(shared_server: Server) -> None:
    connection = shared_server.connect()
    connection.sendall(b"PUT /api/v1/things/raw HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    connection.shutdown(socket.SHUT_WR)

    assert receive_all(connection).startswith(b"HTTP/1.1 400")


def test_a_malformed_chunk_is_400(shared_server: Server) -> None:
    connection = shared_server.connect()
    connection.sendall(b"PUT /api/v1/things/raw HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n")
    connection.shutdown(socket.SHUT_WR)

    assert receive_all(connection).startswith(b"HTTP/1.1 400")


def test_a_whole_upload_is_counted(shared_server: Server) -> None:
    status, body = shared_server.call("PUT", "/api/v1/things/raw", b"x" * 3_000_000)
    chunked_status, chunked_body = shared_server.call("PUT", "/api/v1/things/raw", iter([b"x" * 1000] * 7))

    assert (status, body["data"]["bytes"]) == (200, 3_000_000)
    assert (chunked_status, chunked_body["data"]["bytes"]) == (200, 7000)


def test_a_chunked_json_body_is_cut_at_the_limit(shared_server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    body = iter([b'{"name": "'] + [b"x" * 1_000_000] * 11 + [b'"}'])

    status, answer = shared_server.call("POST", "/api/v1/things", body, headers)

    assert (status, answer["error"]["code"]) == (413, "VALIDATION_003")


def test_a_body_too_large_is_refused_before_it_is_sent(shared_server: Server) -> None:
    connection = shared_server.connect()
    head = b"POST /api/v1/things HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    connection.sendall(head)

    assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_calls_follow_each_other_on_one_connection(shared_server: Server) -> None:
    connection = shared_server.connect()
    for _ in range(3):
        connection.sendall(b"GET /api/v1/things HTTP/1.1\r\n" + HEAD + b"\r\n")
        head, body = receive_one(connection)
        assert head.startswith(b"HTTP/1.1 200")
        assert json.loads(body)["success"] is True


def test_a_stream_ends_in_done(shared_server: Server) -> None:
    events = stream(shared_server, "/api/v1/things/stream/3/10")

    assert events == ['data: {"number":0}', 'data: {"number":1}', 'data: {"number":2}', "data: [DONE]"]


def test_a_stream_that_fails_tells_so_and_ends_in_done(shared_server: Server) -> None:
    events = stream(shared_server, "/api/v1/things/stream/999/10")
    foreign = stream(shared_server, "/v1/things/stream/999/10")

    error = json.loads(events[3].removeprefix("data: "))["error"]
    assert (error["code"], error["type"]) == ("SYSTEM_001", "SYSTEM_ERROR")
    assert "engine" not in events[3]
    assert events[4] == "data: [DONE]"
    assert set(json.loads(foreign[3].removeprefix("data: "))["error"]) == {"message", "type", "param", "code"}


def stream(server: Server, path: str) -> list[str]:
    connection = server.connect()
    connection.sendall(f"GET {path} HTTP/1.0\r\n".encode() + HEAD + b"\r\n")
    head, _, body = receive_all(connection).partition(b"\r\n\r\n")
    assert b"text/event-stream" in head
    assert b"no-cache" in head
    return [event for event in body.decode().split("\n\n") if event]


def test_a_client_that_leaves_a_silent_stream_frees_its_place(server: Server) -> None:
    """There are eight places: eight clients come and go, and a ninth is served within two seconds."""
    clients = [open_stream(server, "/api/v1/things/stream/100/5000") for _ in range(8)]
    refused, answer = server.call("GET", "/api/v1/things/stream/1/1")
    assert (refused, answer["error"]["code"]) == (503, "SYSTEM_002")

    for client in clients:
        client.close()

    wait_until(lambda: "".join(server.lines).count("client gone") == 8, 2)
    assert "".join(server.lines).count("source closed") == 8
    assert stream(server, "/api/v1/things/stream/1/1")[-1] == "data: [DONE]"


def open_stream(server: Server, path: str) -> socket.socket:
    client = server.connect()
    client.sendall(f"GET {path} HTTP/1.1\r\n".encode() + HEAD + b"\r\n")
    assert client.recv(65536).startswith(b"HTTP/1.1 200")
    return client


def test_a_call_whose_client_leaves_is_given_up(server: Server) -> None:
    client = server.connect()
    client.sendall(b"GET /api/v1/things/wait HTTP/1.1\r\n" + HEAD + b"\r\n")
    time.sleep(0.3)
    client.close()

    assert "True" in server.wait_for_line("given up", 2)


def test_streams_end_well_when_the_server_is_told_to_stop(server: Server) -> None:
    """A stream that ends in time is whole; calls that come later find nobody; the server ends with status 0."""
    clients = [open_stream(server, "/api/v1/things/stream/20/100") for _ in range(5)]

    status = server.stop()

    for client in clients:
        assert b"data: [DONE]" in receive_all(client)
    assert status == 0
    assert "".join(server.lines).count("source closed") == 5


@pytest.mark.slow
def test_a_stream_without_end_is_ended_with_an_error_when_the_server_stops(server: Server) -> None:
    client = open_stream(server, "/api/v1/things/stream/100000/100")
    began = time.monotonic()

    status = server.stop()

    body = receive_all(client)
    assert status == 0
    assert time.monotonic() - began < 30
    assert b"SYSTEM_002" in body
    assert b"data: [DONE]" in body[-60:]
    assert "".join(server.lines).count("source closed") == 1


def test_a_slow_reader_is_dropped_without_harm_to_others(server: Server) -> None:
    """It asks for a fast stream and reads nothing: the server holds little for it, and others are served."""
    slow = server.connect()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.sendall(b"GET /api/v1/things/stream/1000000/0 HTTP/1.1\r\n" + HEAD + b"\r\n")
    time.sleep(1)
    began = time.monotonic()

    status, _ = server.call("GET", "/api/v1/things")

    assert status == 200
    assert time.monotonic() - began < 1
    slow.close()


def test_every_log_line_is_json_and_holds_no_credential(server: Server) -> None:
    server.call("GET", "/api/v1/things?search=hidden-word", headers={"X-Request-ID": "trace-me"})
    server.wait_for_line("trace-me")

    lines = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert any(line.get("request_id") == "trace-me" and line["status"] == 200 for line in lines)
    text = "".join(server.lines)
    assert "Bearer" not in text
    assert "hidden-word" not in text
