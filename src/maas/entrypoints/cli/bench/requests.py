"""Item `requests`: what the platform adds to a call, and how well one API process holds streams and sockets."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.children import BenchFailed
from maas.entrypoints.cli.bench.clients import Held, call_often, head, holding, upgrade
from maas.entrypoints.cli.bench.figures import Figure, Goal, absolute
from maas.entrypoints.cli.bench.platforms import ROOMY, cpu_seconds, peak_memory_bytes, signed_in

_CONNECTIONS = 4
_STREAMS, _SOCKETS = 300, 100
_PROBES_PER_SECOND = 50
_READY_SECONDS = 60
_MICROSECONDS = 1e6


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both on the platform's application with a route of the bench's own."""
    from maas.container import migrate_database
    from maas.settings import Settings

    folder = bench.folder / "requests"
    folder.mkdir()
    migrate_database(Settings.load(data_dir=folder))
    headers = signed_in(folder)
    with _serving(bench, "platform", folder) as platform, _serving(bench, "bare", folder) as bare:
        yield _added_per_call(bench, platform, bare, headers)
        yield from _held(bench, platform, headers)


@dataclass(frozen=True)
class _Server:
    port: int
    worker: int


@contextmanager
def _serving(bench: Bench, kind: str, folder: Path) -> Iterator[_Server]:
    """Run a server with one worker process."""
    environment = {**os.environ, **ROOMY, "MAAS_DATA_DIR": str(folder), "MAAS_MAX_WEBSOCKETS": str(_SOCKETS)}
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening, (bench.folder / f"{kind}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "maas.entrypoints.cli.bench.served", kind, str(listening.fileno())],
            env=environment,
            stdout=log,
            stderr=log,
            pass_fds=[listening.fileno()],
        )
        port = int(listening.getsockname()[1])
    try:
        yield _Server(port, _worker_of(process))
    finally:
        process.terminate()
        process.wait()


def _worker_of(process: "subprocess.Popen[bytes]") -> int:
    """Wait for gunicorn's worker; calls wait for it in the socket's queue."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        children = psutil.Process(process.pid).children()
        if children:
            return int(children[0].pid)
        time.sleep(0.05)
    raise BenchFailed("a server did not start")


def _added_per_call(bench: Bench, platform: _Server, bare: _Server, headers: dict[str, str]) -> Figure:
    """Return the processor time that the platform takes for a signed-in call beyond a bare route, in both processes alike."""
    calls = 80 if bench.quick else 4000
    pairs: list[tuple[float, float | None]] = []
    for repetition in range(len(bench.repetitions(7)) + 1):
        bench.say(f"requests: repetition {repetition}")
        mine = _cpu_per_call(platform, "/api/v1/bench/call", headers, calls)
        theirs = _cpu_per_call(bare, "/call", {}, calls)
        if repetition:
            pairs.append((mine, theirs))
    added = [mine - float(theirs or 0) for mine, theirs in pairs]
    note = f"{sorted(mine for mine, _ in pairs)[len(pairs) // 2]:.0f} µs a call, of which the bare route's are taken off"
    return absolute("added to a signed-in JSON call", "µs of CPU", *added, goal=Goal(at_most=120), note=note)


def _cpu_per_call(server: _Server, path: str, headers: dict[str, str], calls: int) -> float:
    before = cpu_seconds(server.worker)
    call_often(server.port, path, headers, calls=calls, connections=_CONNECTIONS)
    return (cpu_seconds(server.worker) - before) / calls * _MICROSECONDS


def _held(bench: Bench, platform: _Server, headers: dict[str, str]) -> Iterator[Figure]:
    """Hold streams and sockets, call beside them, and see how long the calls take."""
    streams, sockets = (10, 5) if bench.quick else (_STREAMS, _SOCKETS)
    requests = [head("/api/v1/bench/stream", headers)] * streams
    requests += [upgrade("/api/v1/bench/socket", headers) for _ in range(sockets)]
    bench.say(f"{streams} streams and {sockets} sockets")
    with holding(platform.port, requests) as held:
        _wait_until_all_flow(held)
        before, began, events = cpu_seconds(platform.worker), time.monotonic(), held.events
        seconds = _probe(platform, headers, 50 if bench.quick else 1000)
        elapsed = time.monotonic() - began
        events = held.events - events
        cpu = (cpu_seconds(platform.worker) - before) / elapsed
        closed = held.closed
    if closed:
        raise BenchFailed(f"{closed} of {streams + sockets} streams and sockets were cut off")
    p50, p99 = (1000 * sorted(seconds)[int(part * (len(seconds) - 1))] for part in (0.5, 0.99))
    beside = f"beside {streams} SSE streams and {sockets} WebSockets"
    note = f"median {p50:.1f} ms; {events / elapsed:,.0f} events/s"
    yield absolute(f"JSON p99 {beside}", "ms", p99, goal=Goal(at_most=100), note=note)
    yield absolute(f"one API process {beside}", "of a core", cpu)
    yield absolute(f"memory {beside}, at most", "MB", peak_memory_bytes(platform.worker) / 1e6)


def _wait_until_all_flow(held: Held) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while held.events < 3 * len(held.connections):
        if time.monotonic() > deadline:
            raise BenchFailed("the streams do not flow")
        time.sleep(0.05)


def _probe(platform: _Server, headers: dict[str, str], calls: int) -> list[float]:
    wanted = {"port": platform.port, "path": "/api/v1/bench/call", "headers": headers}
    wanted |= {"calls": calls, "per_second": _PROBES_PER_SECOND}
    command = [sys.executable, "-m", "maas.entrypoints.cli.bench.prober"]
    done = subprocess.run(command, input=json.dumps(wanted).encode(), capture_output=True, check=False)
    if done.returncode:
        raise BenchFailed(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    seconds: list[float] = json.loads(done.stdout)
    return seconds
