"""Replicas as child processes on this machine."""

import http.client
import json
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from maas.adapters.replica_runtime.engine_process import EngineProcess
from maas.application.ports.file_store import FileStore
from maas.application.ports.replica_runtime import ReplicaRuntime, ReplicaSpec, Sighting, WrittenLine
from maas.domain.identifiers import new_id

log = logging.getLogger(__name__)

_QUARANTINE_SECONDS = 60.0
_LAST_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What holds for every engine on this machine. `dtype` is one of auto, float32 and bfloat16."""

    dtype: str = "auto"
    threads: int | None = None
    max_slots: int = 16
    max_queue: int = 64


@dataclass(frozen=True, kw_only=True)
class HealthWatch:
    """Every engine is asked for its health so often; one that is silent so many times in a row is killed."""

    every_seconds: float = 5.0
    patience_seconds: float = 10.0
    silent_times: int = 4


class LocalReplicaRuntime(ReplicaRuntime):
    """Runs each engine in a child process, which ends when this one does.

    A thread asks every engine for its health; one that is silent for long is killed, as a crash would have it.
    """

    def __init__(self, files: FileStore, options: EngineOptions | None = None, *, health: HealthWatch | None = None) -> None:
        self._files = files
        self._options = options or EngineOptions()
        self._health = health or HealthWatch()
        self._host = f"{os.uname().nodename}/{os.getpid()}/{new_id()}"
        self._lock = threading.Lock()
        self._engines: dict[UUID, EngineProcess] = {}
        self._quarantine: list[tuple[float, EngineProcess]] = []
        self._silent_times: dict[UUID, int] = {}
        self._closing = threading.Event()
        self._health_thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        return self._host

    def start(self, spec: ReplicaSpec) -> None:
        if self._closing.is_set():
            return
        engine = EngineProcess(lambda: self._engine_spec(spec))
        with self._lock:
            self._engines[spec.replica_id] = engine
        engine.start()
        self._watch_health()

    def sightings(self) -> Mapping[UUID, Sighting]:
        self._release_ports()
        return {replica_id: engine.sighting() for replica_id, engine in self._snapshot().items()}

    def take_lines(self) -> Sequence[WrittenLine]:
        return [
            WrittenLine(replica_id=replica_id, text=text)
            for replica_id, engine in self._snapshot().items()
            for text in engine.take_lines()
        ]

    def drain(self, replica_id: UUID) -> None:
        engine = self._snapshot().get(replica_id)
        if engine is not None:
            engine.drain()

    def stop(self, replica_id: UUID) -> None:
        engine = self._snapshot().get(replica_id)
        if engine is not None:
            engine.stop()

    def forget(self, replica_id: UUID) -> None:
        with self._lock:
            engine = self._engines.get(replica_id)
            if engine is not None and engine.has_ended:
                del self._engines[replica_id]
                self._silent_times.pop(replica_id, None)
                self._quarantine.append((time.monotonic() + _QUARANTINE_SECONDS, engine))

    def close(self, *, drain_seconds: float) -> None:
        self._closing.set()
        engines = self._snapshot().values()
        for engine in engines:
            engine.drain()
        deadline = time.monotonic() + drain_seconds
        for engine in engines:
            if not engine.wait(max(deadline - time.monotonic(), 0)):
                engine.stop()
        for engine in engines:
            engine.wait(_LAST_PATIENCE_SECONDS)
        for engine in (*engines, *(engine for _, engine in self._quarantine)):
            engine.release()

    def _snapshot(self) -> dict[UUID, EngineProcess]:
        with self._lock:
            return dict(self._engines)

    def _engine_spec(self, spec: ReplicaSpec) -> dict[str, Any]:
        """Fetch the files, and say to an engine what it is to load."""
        model, hardware, options = spec.model, spec.hardware, self._options
        folder = str(self._files.local_copy(model.files_key))
        adapters = []
        if model.base_files_key is not None:
            adapters = [{"name": spec.adapter, "path": folder}]
            folder = str(self._files.local_copy(model.base_files_key))
        return {
            "model_dir": folder,
            "model_name": str(model.model_id),
            "task": spec.task,
            "adapters": adapters,
            "device": _device(spec),
            "dtype": options.dtype,
            "threads": hardware.cpu_cores or options.threads,
            "max_slots": options.max_slots,
            "max_queue": options.max_queue,
            "memory_bytes": hardware.memory_bytes,
        }

    def _release_ports(self) -> None:
        now = time.monotonic()
        with self._lock:
            over = [engine for until, engine in self._quarantine if until <= now]
            self._quarantine = [(until, engine) for until, engine in self._quarantine if until > now]
        for engine in over:
            engine.release()

    def _watch_health(self) -> None:
        with self._lock:
            if self._health_thread is None:
                self._health_thread = threading.Thread(target=self._look_after_health, name="engine-health", daemon=True)
                self._health_thread.start()

    def _look_after_health(self) -> None:
        while not self._closing.wait(self._health.every_seconds):
            for replica_id, engine in self._snapshot().items():
                if engine.is_ready and engine.address is not None:
                    self._look_at(replica_id, engine, engine.address)

    def _look_at(self, replica_id: UUID, engine: EngineProcess, address: str) -> None:
        patience = self._health.patience_seconds
        if _get(address, "/health", patience) is not None:
            self._silent_times.pop(replica_id, None)
            engine.busy = _busy(_get(address, "/info", patience))
            return
        times = self._silent_times[replica_id] = self._silent_times.get(replica_id, 0) + 1
        if times >= self._health.silent_times and engine.is_ready:
            log.error("an engine does not answer and is killed: %s", replica_id)
            engine.stop("the engine did not answer any more")


def _device(spec: ReplicaSpec) -> str:
    if spec.hardware.gpu_count == 0:
        return "cpu"
    return "cuda" if spec.hardware.wants_gpu else "auto"


def _get(address: str, path: str, patience_seconds: float) -> bytes | None:
    """Return the answer of an engine, or None where it has none."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=patience_seconds)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _busy(info: bytes | None) -> float | None:
    """Return the percentage of slots in use, where the engine computes on a GPU: its processor time says nothing then."""
    told = {} if info is None else json.loads(info)
    slots = told.get("load", {}).get("slots")
    if told.get("model_device_type") != "cuda" or not slots:
        return None
    return 100.0 * float(told["load"]["running"]) / float(slots)
