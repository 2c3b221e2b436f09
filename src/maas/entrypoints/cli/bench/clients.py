"""Clients that put load on an API process: calls over kept connections, and streams and sockets that are only held."""

import base64
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from maas.entrypoints.cli.bench.children import BenchFailed

_END_OF_HEAD = b"\r\n\r\n"


class KeptConnection:
    """An HTTP connection that asks for one thing over and over; as cheap as a client in Python can be."""

    def __init__(self, port: int, path: str, headers: Mapping[str, str]) -> None:
        self._request = head(path, headers)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self) -> float:
        """Call once; return the seconds until the whole answer was there."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        received = self._socket.recv(65536)
        while _END_OF_HEAD not in received:
            received += self._more()
        answer_head, _, body = received.partition(_END_OF_HEAD)
        if not answer_head.startswith(b"HTTP/1.1 200"):
            raise BenchFailed(f"a call was answered {answer_head[:60]!r}: {body[:300]!r}")
        missing = _content_length(answer_head) - len(body)
        while missing > 0:
            missing -= len(self._more())
        return time.perf_counter() - began

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise BenchFailed("the server closed a connection in the midst of an answer")
        return part


def head(path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def call_often(port: int, path: str, headers: Mapping[str, str], *, calls: int, connections: int) -> None:
    """Make so many calls over so many connections at once."""

    def some() -> None:
        connection = KeptConnection(port, path, headers)
        try:
            for _ in range(calls // connections):
                connection.call()
        finally:
            connection.close()

    with ThreadPoolExecutor(connections) as pool:
        for done in [pool.submit(some) for _ in range(connections)]:
            done.result()


@dataclass
class Held:
    """Connections that are held, and the bytes and events that came over them."""

    connections: Sequence[socket.socket]
    events: int = 0
    closed: int = 0
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def holding(port: int, requests: Sequence[bytes]) -> Iterator[Held]:
    """Send each request over a connection of its own, and read what comes, without end, while the block runs."""
    held = Held([])
    reader = threading.Thread(target=_read_all, args=(held,), daemon=True)
    opened: list[socket.socket] = []
    try:
        for request in requests:
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            opened.append(connection)
            connection.sendall(request)
        held.connections = opened
        reader.start()
        yield held
    finally:
        held.ended.set()
        if reader.is_alive():
            reader.join()
        for connection in opened:
            connection.close()


def upgrade(path: str, headers: Mapping[str, str]) -> bytes:
    """Return the request that opens a WebSocket (RFC 6455, 4.1)."""
    key = base64.b64encode(os.urandom(16)).decode()
    more = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    return head(path, {**headers, **more})


def _read_all(held: Held) -> None:
    with selectors.DefaultSelector() as selector:
        for connection in held.connections:
            connection.settimeout(0)
            selector.register(connection, selectors.EVENT_READ, connection)
        while not held.ended.is_set():
            for key, _ in selector.select(0.2):
                part = key.data.recv(65536)
                held.events += part.count(b'"choices"')
                if not part:
                    held.closed += 1
                    selector.unregister(key.fileobj)


def _content_length(answer_head: bytes) -> int:
    for line in answer_head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise BenchFailed("an answer came without its length")
