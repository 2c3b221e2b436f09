"""An engine of bytes: it answers each call with what a test lays down, and keeps what was sent."""

import json
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Step = bytes | float | None
"""Bytes are sent, a number is a pause in seconds, None hangs up."""


@dataclass
class WireEngine:
    """`answers` are taken one a call; the last one stays. `calls` are the bodies of what was asked, `connections` counts."""

    answers: list[Sequence[Step]] = field(default_factory=list)
    calls: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def serve(self, client: socket.socket) -> None:
        try:
            self._serve(client)
        except OSError:
            self.hung_up.set()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            while (line := stream.readline()).startswith(b"POST"):
                headers = list(iter(stream.readline, b"\r\n"))
                length = next(int(header.split(b":")[1]) for header in headers if header.lower().startswith(b"content-length"))
                self.paths.append(line.split()[1].decode())
                self.calls.append(json.loads(stream.read(length)))
                steps = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not self._take(client, steps):
                    return

    def _take(self, client: socket.socket, steps: Sequence[Step]) -> bool:
        for step in steps:
            if step is None:
                return False
            if isinstance(step, bytes):
                client.sendall(step)
            elif _left_within(client, step):
                self.hung_up.set()
                return False
        return True


def _left_within(client: socket.socket, seconds: float) -> bool:
    """Wait, and tell whether the client hung up meanwhile."""
    readable, _, _ = select.select([client], [], [], seconds)
    return bool(readable) and not client.recv(1, socket.MSG_PEEK)


@contextmanager
def wire_engine(*answers: Sequence[Step]) -> Iterator[WireEngine]:
    """Serve these answers within the block."""
    engine = WireEngine(list(answers))
    threads: list[threading.Thread] = []
    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        engine.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        accepting = threading.Thread(target=_accept, args=(listening, engine, threads, clients))
        accepting.start()
        yield engine
        listening.shutdown(socket.SHUT_RDWR)
        for client in clients:
            _shut(client)
        for thread in [accepting, *threads]:
            thread.join()


def _accept(listening: socket.socket, engine: WireEngine, threads: list[threading.Thread], clients: list[socket.socket]) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:
            return
        engine.connections += 1
        clients.append(client)
        threads.append(threading.Thread(target=engine.serve, args=(client,)))
        threads[-1].start()


def _shut(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def plain(status: int, body: Any, *headers: str) -> Sequence[Step]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = "".join(f"{header}\r\n" for header in (f"Content-Length: {len(content)}", *headers))
    return [f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{head}\r\n".encode() + content]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def event(value: Any) -> bytes:
    data = b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def piece(text: str, finish_reason: str | None = None, **more: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}], **more})


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
