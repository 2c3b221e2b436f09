"""A whole platform in processes of its own, as an operator starts it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

ROOMY = {
    "MAAS_LIMIT_UPLOADS": "1000",
    "MAAS_LIMIT_DEPLOYMENTS": "1000",
    "MAAS_LIMIT_REGISTRATIONS": "1000",
    "MAAS_LIMIT_API_CALLS": "100000",
    "MAAS_ENGINE_THREADS": "1",
    "MAAS_TRAINER_THREADS": "1",
    "MAAS_LEASE_SECONDS": "4",
    "MAAS_SYNC": "false",
}


@dataclass
class Platform:
    """A running `maas serve`; its output is kept."""

    process: "subprocess.Popen[str]"
    data_dir: Path
    url: str = ""
    lines: list[str] = field(default_factory=list)

    def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Return status and JSON of a call."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data=data, method=method, headers={**(headers or {})})
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def pids(self, role: str) -> list[int]:
        """Return the processes below this one whose command line names `role`."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child.pid for child in children if f"maas {role}" in command_line(child)]

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def platform(data_dir: Path, *, port: int = 0, **settings: str) -> Iterator[Platform]:
    """Start a platform, wait until it is ready, and end it whatever happens."""
    environment = {**os.environ, **ROOMY, **{f"MAAS_{name.upper()}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "maas.entrypoints.cli", "serve", "--data-dir", str(data_dir), "--port", str(port)]
    with (data_dir.parent / f"{data_dir.name}.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    running = Platform(process, data_dir)
    threading.Thread(target=_read, args=(running,), daemon=True).start()
    try:
        eventually(lambda: any("ready" in line for line in running.lines), seconds=60)
        running.url = running.lines[0].split(" at ")[1].split()[0]
        yield running
    finally:
        everything = [*_descendants_of(process), process.pid]
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        eventually(lambda: not [pid for pid in everything if _lives(pid)], seconds=20)


def _read(running: Platform) -> None:
    assert running.process.stdout is not None
    for line in running.process.stdout:
        running.lines.append(line)


def _descendants_of(process: "subprocess.Popen[str]") -> list[int]:
    try:
        return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], bool], *, seconds: float) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)
