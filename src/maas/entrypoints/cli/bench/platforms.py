"""A whole platform for the bench: `maas serve` on a folder of its own, with an account, spoken to by HTTP."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from maas.domain.identity import Role
from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.children import BenchFailed
from maas.settings import Settings

COMMAND = ("-m", "maas.entrypoints.cli")
# Every limit stands and is checked; none is in the way.
ROOMY = {
    "MAAS_LIMIT_API_CALLS": "1000000000",
    "MAAS_LIMIT_ADDRESS_CALLS": "1000000000",
    "MAAS_LIMIT_UPLOADS": "1000000",
    "MAAS_LIMIT_DEPLOYMENTS": "1000000",
    "MAAS_LIMIT_REGISTRATIONS": "1000000",
}
_PASSWORD = "a password of the bench"  # noqa: S105 (of an account that lives as long as the run)
_END_SECONDS = 40


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    process: "subprocess.Popen[str]"
    data_dir: Path
    host: str
    port: int

    def processes(self) -> dict[int, str]:
        """Return the command lines of its processes by their ids."""
        everything = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return {one.pid: " ".join(one.cmdline()).strip() for one in everything if one.is_running()}

    def pids(self, role: str) -> list[int]:
        """Return the processes of a role; gunicorn writes its name in brackets."""
        return [pid for pid, line in self.processes().items() if line.startswith(f"maas {role}") or f"[maas {role}]" in line]

    def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str], expected: Sequence[int] = (200, 201)
    ) -> Any:
        """Return what a call answers within its envelope; raise BenchFailed where the status is another than expected."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=600)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {**headers, **({"Content-Type": "application/json"} if content else {})})
            answer = connection.getresponse()
            told = json.loads(answer.read() or b"null")
        finally:
            connection.close()
        if answer.status not in expected:
            raise BenchFailed(f"{method} {path} answered {answer.status}: {json.dumps(told, ensure_ascii=False)[:500]}")
        return told["data"]


@contextmanager
def running_platform(bench: Bench, data_dir: Path, **settings: str) -> Iterator[Platform]:
    """Run a platform; it is ready within the block, and ended by SIGTERM after it."""
    environment = {**os.environ, **ROOMY, **{f"MAAS_{name.upper()}": value for name, value in settings.items()}}
    command = [sys.executable, *COMMAND, "serve", "--data-dir", str(data_dir), "--port", "0"]
    with (bench.folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if " at " not in line:
            raise BenchFailed(f"maas serve ended with status {process.wait()} before it was ready")
        address = urlsplit(line.split(" at ")[1].split()[0])
        yield Platform(process, data_dir, str(address.hostname), int(address.port or 0))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def signed_in(data_dir: Path, username: str = "bench") -> dict[str, str]:
    """Make an account on a data folder that has its database; return the headers of its calls."""
    from maas.container import Container

    container = Container(settings=Settings.load(data_dir=data_dir))
    email = f"{username}@example.com"
    try:
        container.accounts().create(username=username, email=email, password=_PASSWORD, role=Role.USER)
        session = container.sign_in().sign_in(email=email, password=_PASSWORD, address="127.0.0.1")
    finally:
        container.engine().dispose()
    return {"Authorization": f"Bearer {session.tokens.access_token}", "Accept-Language": "en"}


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


def peak_memory_bytes(pid: int) -> int:
    """Return the most memory that a process has held at once."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
