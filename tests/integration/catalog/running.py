"""A real API process on a data folder of its own, with an account, and clients that misbehave."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas.container import Container, migrate_database
from maas.domain.identity import Role
from maas.settings import Settings
from tests.integration.platform.running import ROOMY, eventually

PASSWORD = "correct horse battery"
BOUNDARY = b"----a-boundary-of-the-tests"


@dataclass
class RunningApi:
    """The process, and what it needs to be called."""

    process: "subprocess.Popen[str]"
    port: int
    data_dir: Path
    token: str
    lines: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Accept-Language": "en"}

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        status, raw, _ = self.fetch(method, path, body, headers)
        return status, json.loads(raw)

    def fetch(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def begin(self, path: str, length: int | None) -> socket.socket:
        """Send the head of a multipart upload; its body may be `length` bytes, or come in chunks."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\nAccept-Language: en\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n{framing}\r\n\r\n"
        )
        connection.sendall(head.encode())
        return connection

    def staged(self) -> list[Path]:
        # os.walk takes folders that vanish meanwhile for empty ones.
        return [Path(folder, name) for folder, _, names in os.walk(self.data_dir / "files" / "staging") for name in names]

    def kept(self) -> list[Path]:
        return [path for path in (self.data_dir / "files" / "kept").rglob("*") if path.is_file()]


def text_part(name: str, value: str) -> bytes:
    return b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (BOUNDARY, name.encode(), value.encode())


def file_head(name: str, file_name: str) -> bytes:
    disposition = f'form-data; name="{name}"; filename="{file_name}"'.encode()
    return b"--%s\r\nContent-Disposition: %s\r\nContent-Type: application/octet-stream\r\n\r\n" % (BOUNDARY, disposition)


def file_part(name: str, file_name: str, content: bytes) -> bytes:
    return file_head(name, file_name) + content + b"\r\n"


END = b"--%s--\r\n" % BOUNDARY


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    """Return the answer that a connection gets."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, json.loads(answer.read())


@contextmanager
def running_api(data_dir: Path, **settings: str) -> Iterator[RunningApi]:
    """Start `maas api`, wait until it answers, and end it whatever happens."""
    made = Settings(data_dir=data_dir)
    migrate_database(made)
    container = Container(settings=made)
    with container.unit_of_work()(read_only=True) as work:
        is_new = work.users.find_by_username("alice") is None
    if is_new:
        container.accounts().create(username="alice", email="alice@example.com", password=PASSWORD, role=Role.USER)
    tokens = container.sign_in().sign_in(email="alice@example.com", password=PASSWORD, address="127.0.0.1").tokens
    container.engine().dispose()
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    listening.set_inheritable(True)
    environment = {**os.environ, **ROOMY, **{f"MAAS_{name.upper()}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "maas.entrypoints.cli", "api", "--data-dir", str(data_dir)]
    process = subprocess.Popen(
        [*command, "--listen-fd", str(listening.fileno())],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        pass_fds=[listening.fileno()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = RunningApi(process, listening.getsockname()[1], data_dir, tokens.access_token)
    listening.close()
    reader = threading.Thread(target=_read, args=(running,), daemon=True)
    reader.start()
    try:
        eventually(lambda: _answers(running), seconds=60)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10)
        if process.stdout is not None:
            process.stdout.close()


def _read(running: RunningApi) -> None:
    assert running.process.stdout is not None
    for line in running.process.stdout:
        running.lines.append(line)


def _answers(running: RunningApi) -> bool:
    assert running.process.poll() is None, "".join(running.lines)
    try:
        return running.fetch("GET", "/healthz")[0] == 200
    except OSError:
        return False
