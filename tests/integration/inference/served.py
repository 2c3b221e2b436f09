"""An API process over a database that tests write, its deployments answered by engines that tests run."""

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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from maas.adapters.persistence.tables.every import metadata
from maas.container import Container
from maas.domain.identity import Permission, Role
from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.usage import UsageEntry
from maas.settings import Settings
from tests.builders import a_deployment, a_replica

PASSWORD = "correct horse battery"


@dataclass
class Served:
    """A running API, with its database at hand."""

    container: Container
    process: "subprocess.Popen[str]"
    port: int
    user_id: UUID
    token: str
    key: str
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", "Accept-Language": "en"}

    def deploy(self, *addresses: str, **changes: Any) -> Deployment:
        deployment = a_deployment(owner_id=self.user_id, status=DeploymentStatus.RUNNING, **changes)
        with self.container.unit_of_work()() as work:
            work.deployments.add(deployment)
            for address in addresses:
                replica = a_replica(deployment_id=deployment.id, status=DeploymentStatus.RUNNING, address=address)
                work.replicas.add(replica)
        return deployment

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        connection = self.connect()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def begin(self, path: str, body: Any) -> socket.socket:
        """Send a call, and return the connection that its answer will come by."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        content = json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(content)}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
        return connection

    def events(self, path: str, body: Any) -> list[Any]:
        connection = self.connect()
        try:
            connection.request("POST", path, json.dumps(body), self.headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            return list(events_in(answer.read()))
        finally:
            connection.close()

    def chat(self, deployment: Deployment, *, stream: bool = False, **parameters: Any) -> dict[str, Any]:
        """Return the body of a call."""
        messages = [{"role": "user", "content": "hello"}]
        return {
            "deployment_id": str(deployment.id),
            "messages": messages,
            "parameters": {**parameters, "stream": stream},
        }

    def entries(self) -> list[UsageEntry]:
        """Return what the API wrote down of inference."""
        journal = self.container.usage_journal()
        folder = Path(journal._folder)
        parts = [journal.read(path.name, position=0) for path in sorted(folder.glob("*.journal"))]
        return [entry for part in parts for entry in part.entries if entry.kind != "call"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@contextmanager
def served(data_dir: Path) -> Iterator[Served]:
    """Run an API on an empty database, with one account."""
    settings = Settings(data_dir=data_dir, sync=False, limit_api_calls=1_000_000, limit_address_calls=1_000_000)
    container = Container(settings=settings)
    metadata.create_all(container.engine())
    account = container.accounts().create(username="alice", email="alice@example.com", password=PASSWORD, role=Role.USER)
    signed_in = container.sign_in().sign_in(email="alice@example.com", password=PASSWORD, address="192.0.2.1")
    actor = container.authentication().authenticate(signed_in.tokens.access_token)
    permissions = [Permission.INFERENCE_CREATE.value, Permission.INFERENCE_READ.value]
    key = container.api_keys().create(actor, name="key", permissions=permissions)
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.set_inheritable(True)
    process = subprocess.Popen(
        [sys.executable, "-m", "maas.entrypoints.cli", "api", "--listen-fd", str(listening.fileno())],
        env={**os.environ, **settings.environment(), "PYTHONUNBUFFERED": "1"},
        pass_fds=[listening.fileno()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Served(container, process, listening.getsockname()[1], account.id, signed_in.tokens.access_token, key.secret)
    listening.close()
    reader = threading.Thread(target=_read, args=(running,), daemon=True)
    reader.start()
    try:
        wait_until(lambda: _answers(running), 60)
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(10)
        assert process.stdout is not None
        process.stdout.close()
        container.engine().dispose()


def events_in(raw: bytes) -> Iterator[Any]:
    for block in raw.decode().split("\n\n"):
        if block.startswith("data: "):
            data = block.removeprefix("data: ")
            yield data if data == "[DONE]" else json.loads(data)


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _read(running: Served) -> None:
    assert running.process.stdout is not None
    for line in running.process.stdout:
        running.lines.append(line)


def _answers(running: Served) -> bool:
    assert running.process.poll() is None, "".join(running.lines)
    try:
        return running.call("GET", "/healthz")[0] == 200
    except OSError:
        return False
