"""The port for running replicas: start an engine, look at it, let it end."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from maas.domain.serving.hardware import HardwareSpec
from maas.domain.serving.served import ServedModel


class ReplicaState(StrEnum):
    """How far an engine is, as it is seen from outside."""

    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class ReplicaSpec:
    """What an engine is to serve. `adapter` is the name under which the model is loaded where it is an adapter to its base."""

    replica_id: UUID
    task: str
    model: ServedModel
    adapter: str | None
    hardware: HardwareSpec


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """An engine at one moment.

    `address` is there once it is ready. `reason` says why it ended, a sentence without paths; None where it was told to.
    `cpu_seconds` counts from its start. `busy` is the percentage of its slots that are in use, where that is known.
    """

    state: ReplicaState
    address: str | None = None
    reason: str | None = None
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    busy: float | None = None


@dataclass(frozen=True, kw_only=True)
class WrittenLine:
    """A line that an engine wrote for people, without paths of the machine."""

    replica_id: UUID
    text: str


class ReplicaRuntime(ABC):
    """Runs engines for as long as this process lives; all of them end with it."""

    @property
    @abstractmethod
    def host(self) -> str:
        """The name of this very runtime; another one, and the same after a restart, has another name."""

    @abstractmethod
    def start(self, spec: ReplicaSpec) -> None:
        """Begin to start an engine, and return at once; what goes wrong is seen as its end."""

    @abstractmethod
    def sightings(self) -> Mapping[UUID, Sighting]:
        """Look at every engine that was started and not forgotten."""

    @abstractmethod
    def take_lines(self) -> Sequence[WrittenLine]:
        """Return what engines wrote since the last call, the oldest first; of very much the newest is kept."""

    @abstractmethod
    def drain(self, replica_id: UUID) -> None:
        """Have an engine refuse new requests, answer those it has, and end. May be called again, and for one that is gone."""

    @abstractmethod
    def stop(self, replica_id: UUID) -> None:
        """End an engine now. May be called again, and for one that is gone."""

    @abstractmethod
    def forget(self, replica_id: UUID) -> None:
        """Look at an ended engine no more."""

    @abstractmethod
    def close(self, *, drain_seconds: float) -> None:
        """Drain all engines for so long, then end those that are left. Nothing is started afterwards."""
