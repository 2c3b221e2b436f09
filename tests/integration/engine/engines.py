"""Engines to test: started as their parent starts them, spoken to as clients speak to them."""

import http.client
import json
import os
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


@dataclass
class RunningEngine:
    """An engine's process, its reports, and calls to its routes."""

    process: "subprocess.Popen[str]"
    port: int
    reports: list[dict[str, Any]] = field(default_factory=list)
    reader: threading.Thread | None = None
    told: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> "Reply":
        return self.call("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    def get(self, path: str) -> "Reply":
        return self.call("GET", path)

    def call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> "Reply":
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    @contextmanager
    def streaming(self, path: str, body: Any) -> Iterator[Iterator[Any]]:
        """Open a stream and yield its events; leaving the block leaves the stream."""
        connection = self.connect()
        try:
            connection.request("POST", path, json.dumps(body).encode())
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            yield events_of(answer)
        finally:
            connection.close()

    @contextmanager
    def streaming_soon(self, path: str, body: Any) -> Iterator[None]:
        """Ask for a stream without waiting for its beginning; leaving the block leaves it."""
        connection = self.connect()
        try:
            connection.request("POST", path, json.dumps(body).encode())
            yield
        finally:
            connection.close()

    def stream(self, path: str, body: Any) -> list[Any]:
        """Return all events of a stream."""
        with self.streaming(path, body) as events:
            return list(events)

    def load(self) -> dict[str, float]:
        load: dict[str, float] = self.get("/info").json()["load"]
        return load

    def command(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def wait_for(self, *kinds: str, seconds: float = 60) -> dict[str, Any]:
        """Take the next report of one of these kinds out of those that came."""
        with self.told:
            found: list[dict[str, Any]] = []

            def there() -> bool:
                found[:] = [report for report in self.reports if report["type"] in kinds]
                return bool(found) or (self.reader is not None and not self.reader.is_alive())

            self.told.wait_for(there, seconds)
            assert found, f"no report of {kinds} among {self.reports}"
            self.reports.remove(found[0])
            return found[0]

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)
        assert self.reader is not None
        self.reader.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def events_of(answer: http.client.HTTPResponse) -> Iterator[Any]:
    for line in answer:
        if line.startswith(b"data:"):
            data = line[5:].strip()
            yield "[DONE]" if data == b"[DONE]" else json.loads(data)


def start_engine(model_dir: Path, **spec: Any) -> RunningEngine:
    """Start an engine without waiting for its reports."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    listening.set_inheritable(True)
    process = subprocess.Popen(
        [sys.executable, "-m", "maas.programs.engine"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr if os.environ.get("SHOW_ENGINE") else subprocess.DEVNULL,
        pass_fds=[listening.fileno()],
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    engine = RunningEngine(process, listening.getsockname()[1])
    assert process.stdin is not None
    values = {"model_dir": str(model_dir), "socket_fd": listening.fileno(), "task": "text-generation", "threads": 1, **spec}
    process.stdin.write(json.dumps(values) + "\n")
    process.stdin.flush()
    listening.close()
    engine.reader = threading.Thread(target=_collect, args=(engine,), daemon=True)
    engine.reader.start()
    return engine


@contextmanager
def running_engine(model_dir: Path, **spec: Any) -> Iterator[RunningEngine]:
    """Run an engine that is ready."""
    engine = start_engine(model_dir, **spec)
    try:
        report = engine.wait_for("ready", "failed")
        assert report["type"] == "ready", report
        engine.reports.insert(0, report)
        yield engine
    finally:
        engine.end()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def _collect(engine: RunningEngine) -> None:
    assert engine.process.stdout is not None
    for line in engine.process.stdout:
        with engine.told:
            engine.reports.append(json.loads(line))
            engine.told.notify_all()
    with engine.told:
        engine.told.notify_all()
