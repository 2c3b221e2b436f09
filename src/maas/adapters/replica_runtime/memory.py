"""Replicas in a dictionary, moved by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from maas.application.ports.replica_runtime import ReplicaRuntime, ReplicaSpec, ReplicaState, Sighting, WrittenLine


@dataclass
class _Engine:
    spec: ReplicaSpec
    sighting: Sighting = field(default_factory=lambda: Sighting(state=ReplicaState.STARTING))
    is_draining: bool = False


class MemoryReplicaRuntime(ReplicaRuntime):
    """Plays engines. An obliging one has them ready as soon as they are started, and gone as soon as they are drained."""

    def __init__(self, host: str = "memory", *, obliging: bool = False) -> None:
        self._host = host
        self._obliging = obliging
        self._engines: dict[UUID, _Engine] = {}
        self._lines: list[WrittenLine] = []
        self.started: list[ReplicaSpec] = []

    @property
    def host(self) -> str:
        return self._host

    def start(self, spec: ReplicaSpec) -> None:
        self._engines[spec.replica_id] = _Engine(spec)
        self.started.append(spec)
        if self._obliging:
            self.become_ready(spec.replica_id)

    def sightings(self) -> Mapping[UUID, Sighting]:
        return {replica_id: engine.sighting for replica_id, engine in self._engines.items()}

    def take_lines(self) -> Sequence[WrittenLine]:
        lines, self._lines = self._lines, []
        return lines

    def drain(self, replica_id: UUID) -> None:
        engine = self._engines.get(replica_id)
        if engine is not None:
            engine.is_draining = True
            if self._obliging:
                self.end(replica_id)

    def stop(self, replica_id: UUID) -> None:
        if replica_id in self._engines:
            self.end(replica_id)

    def forget(self, replica_id: UUID) -> None:
        engine = self._engines.get(replica_id)
        if engine is not None and engine.sighting.state is ReplicaState.ENDED:
            del self._engines[replica_id]

    def close(self, *, drain_seconds: float) -> None:
        for replica_id in self._engines:
            self.end(replica_id)

    def become_ready(self, replica_id: UUID) -> None:
        address = f"http://memory/{replica_id}"
        self._see(replica_id, state=ReplicaState.READY, address=address)

    def end(self, replica_id: UUID, reason: str | None = None) -> None:
        self._see(replica_id, state=ReplicaState.ENDED, address=None, reason=reason)

    def use(self, replica_id: UUID, *, cpu_seconds: float = 0.0, busy: float | None = None) -> None:
        """Let an engine have used so much more of a processor."""
        before = self._engines[replica_id].sighting.cpu_seconds
        self._see(replica_id, cpu_seconds=before + cpu_seconds, busy=busy)

    def write(self, replica_id: UUID, text: str) -> None:
        self._lines.append(WrittenLine(replica_id=replica_id, text=text))

    def is_draining(self, replica_id: UUID) -> bool:
        return self._engines[replica_id].is_draining

    def _see(self, replica_id: UUID, **changes: object) -> None:
        engine = self._engines[replica_id]
        engine.sighting = replace(engine.sighting, **changes)  # type: ignore[arg-type]
