"""The real server, with the toy API on it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
ALICE = {"Authorization": "Bearer alice"}


@dataclass
class Server:
    """A running server; `lines` are what it has printed."""

    process: subprocess.Popen[str]
    port: int
    lines: list[str] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    collector: threading.Thread | None = None

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {**ALICE, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Return a plain connection; it is closed with the server at the latest."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.connections.append(connection)
        return connection

    def wait_for_line(self, part: str, seconds: float = 10) -> str:
        """Return the first line that holds `part`, once it is printed."""
        wait_until(lambda: any(part in line for line in list(self.lines)), seconds)
        return next(line for line in self.lines if part in line)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def start_server(*, threads: int = 16, tls: tuple[Path, Path] | None = None) -> Server:
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.set_inheritable(True)
    command = [sys.executable, "-m", "tests.toy_api", str(listening.fileno()), str(threads), *map(str, tls or ())]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        pass_fds=[listening.fileno()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Server(process, listening.getsockname()[1])
    listening.close()
    server.collector = threading.Thread(target=_collect, args=(server,), daemon=True)
    server.collector.start()
    return server


def _collect(server: Server) -> None:
    assert server.process.stdout is not None
    for line in server.process.stdout:
        server.lines.append(line)


@pytest.fixture
def server() -> Iterator[Server]:
    running = start_server()
    wait_until(lambda: _answers(running), 20)
    yield running
    end(running)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    """A server for tests that leave it as it was."""
    running = start_server()
    wait_until(lambda: _answers(running), 20)
    yield running
    end(running)


def end(running: Server) -> None:
    for connection in running.connections:
        connection.close()
    if running.process.poll() is None:
        running.process.terminate()
        try:
            running.process.wait(35)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait(10)
    assert running.collector is not None
    running.collector.join(10)
    assert running.process.stdout is not None
    running.process.stdout.close()


def _answers(running: Server) -> bool:
    assert running.process.poll() is None, "".join(running.lines)
    try:
        return running.call("GET", "/healthz")[0] == 200
    except OSError:
        return False
