"""A transaction over dictionaries."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from maas.adapters.persistence.event_rows import event_payload
from maas.adapters.persistence.memory.batches import MemoryBatches, batch_parts_table, batches_table
from maas.adapters.persistence.memory.catalog import (
    MemoryModels,
    MemoryModelVersions,
    model_likes_table,
    model_versions_table,
    models_table,
)
from maas.adapters.persistence.memory.collections import MemoryStore
from maas.adapters.persistence.memory.datasets import MemoryDatasets, datasets_table
from maas.adapters.persistence.memory.finetuning import FinetuningTables, MemoryFinetuningJobs
from maas.adapters.persistence.memory.idempotency import MemoryIdempotentCalls, idempotent_calls_table
from maas.adapters.persistence.memory.identity import (
    MemoryApiKeys,
    MemoryMailTokens,
    MemorySessions,
    MemoryUsers,
    api_keys_table,
    mail_tokens_table,
    sessions_table,
    users_table,
)
from maas.adapters.persistence.memory.kept_streams import MemoryKeptStreams, kept_stream_chunks_table, kept_streams_table
from maas.adapters.persistence.memory.leases import MemoryLeases, work_items_table
from maas.adapters.persistence.memory.owners import MemoryOwners
from maas.adapters.persistence.memory.serving import (
    MemoryDeploymentLog,
    MemoryDeployments,
    MemoryLeaderships,
    MemoryReplicas,
    deployment_lines_table,
    deployments_table,
    leaderships_table,
    moves_table,
    replicas_table,
)
from maas.adapters.persistence.memory.usage import MemoryUsage, UsageTables
from maas.application.idempotency import note_effect
from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWork
from maas.application.reactions import REACTION_KIND, REACTIONS
from maas.domain.events import Event
from maas.domain.identifiers import new_id


class MemoryDatabase:
    """All tables in dictionaries. Calling it opens a unit of work; one that writes holds the lock, as on SQLite.

    `events` and `announced` hold, in order, what committed units of work published and announced; each of `hearers` is
    told every announced topic.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.events: list[Event] = []
        self.announced: list[str] = []
        self.hearers: list[Callable[[str], None]] = []
        self.users = users_table()
        self.sessions = sessions_table()
        self.api_keys = api_keys_table()
        self.mail_tokens = mail_tokens_table()
        self.work_items = work_items_table()
        self.idempotent_calls = idempotent_calls_table()
        self.models = models_table()
        self.model_versions = model_versions_table()
        self.model_likes = model_likes_table()
        self.datasets = datasets_table()
        self.batches = batches_table()
        self.batch_parts = batch_parts_table()
        self.kept_streams = kept_streams_table()
        self.kept_stream_chunks = kept_stream_chunks_table()
        self.usage = UsageTables()
        self.finetuning = FinetuningTables()
        self.deployments = deployments_table()
        self.replicas = replicas_table()
        self.serving_moves = moves_table()
        self.deployment_lines = deployment_lines_table()
        self.leaderships = leaderships_table()

    def __call__(self, *, read_only: bool = False) -> "MemoryUnitOfWork":
        return MemoryUnitOfWork(self, read_only=read_only)


class MemoryUnitOfWork(UnitOfWork):
    """One transaction over dictionaries: nothing is seen of it by others before it commits."""

    def __init__(self, database: MemoryDatabase, *, read_only: bool = False) -> None:
        self._database = database
        self._read_only = read_only
        self._published: list[Event] = []
        self._announced: list[str] = []

    def __enter__(self) -> Self:
        self._database.lock.acquire()
        self._open_repositories(self._database)
        return self

    def _open_repositories(self, database: MemoryDatabase) -> None:
        self.users = MemoryUsers(database.users)
        self.sessions = MemorySessions(database.sessions)
        self.api_keys = MemoryApiKeys(database.api_keys)
        self.mail_tokens = MemoryMailTokens(database.mail_tokens)
        self.leases = MemoryLeases(database.work_items, self.announce)
        self.idempotent_calls = MemoryIdempotentCalls(database.idempotent_calls)
        self.owners = MemoryOwners(database.users)
        self.models = MemoryModels(database.models, database.model_versions, database.model_likes)
        self.model_versions = MemoryModelVersions(database.model_versions)
        self.datasets = MemoryDatasets(database.datasets)
        self.batches = MemoryBatches(database.batches, database.batch_parts)
        self.kept_streams = MemoryKeptStreams(database.kept_streams, database.kept_stream_chunks)
        self.usage = MemoryUsage(database.usage)
        self.finetuning_jobs = MemoryFinetuningJobs(database.finetuning)
        self.deployments = MemoryDeployments(
            database.deployments, database.replicas, database.serving_moves, database.deployment_lines
        )
        self.replicas = MemoryReplicas(database.replicas, database.serving_moves)
        self.deployment_log = MemoryDeploymentLog(database.deployment_lines)
        self.leaderships = MemoryLeaderships(database.leaderships)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None and not self._read_only:
                self._commit()
        finally:
            self._database.lock.release()

    def _commit(self) -> None:
        note_effect(self)
        for repository in list(vars(self).values()):
            for value in getattr(repository, "__dict__", {}).values():
                if isinstance(value, MemoryStore):
                    value.commit()
        self._database.events.extend(self._published)
        self._database.announced.extend(self._announced)
        for topic in self._announced:
            for hear in self._database.hearers:
                hear(topic)

    def publish(self, *events: Event) -> None:
        now = self._database.clock.now()
        for event in events:
            self._published.append(event)
            for reaction in REACTIONS[type(event)]:
                self.leases.offer(REACTION_KIND + reaction, new_id(), at=now, payload=event_payload(event))

    def announce(self, topic: str) -> None:
        self._announced.append(topic)
