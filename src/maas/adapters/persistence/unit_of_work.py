"""A transaction in SQL, with its repositories."""

from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from maas.adapters.persistence.batches import SqlBatches
from maas.adapters.persistence.catalog import SqlModels, SqlModelVersions
from maas.adapters.persistence.datasets import SqlDatasets
from maas.adapters.persistence.engine import READ_ONLY
from maas.adapters.persistence.event_rows import event_payload
from maas.adapters.persistence.finetuning import SqlFinetuningJobs
from maas.adapters.persistence.idempotency import SqlIdempotentCalls
from maas.adapters.persistence.identity import SqlApiKeys, SqlMailTokens, SqlSessions, SqlUsers
from maas.adapters.persistence.kept_streams import SqlKeptStreams
from maas.adapters.persistence.leaderships import SqlLeaderships
from maas.adapters.persistence.leases import SqlLeases
from maas.adapters.persistence.owners import SqlOwners
from maas.adapters.persistence.serving import SqlDeploymentLog, SqlDeployments, SqlReplicas
from maas.adapters.persistence.tables.work import events, topics
from maas.adapters.persistence.usage import SqlUsage
from maas.application.idempotency import note_effect
from maas.application.ports.clock import Clock
from maas.application.ports.unit_of_work import UnitOfWork
from maas.application.reactions import REACTION_KIND, REACTIONS
from maas.domain.errors import AlreadyExists
from maas.domain.events import Event
from maas.domain.identifiers import new_id


class SqlUnitOfWork(UnitOfWork):
    """One transaction on one pooled connection. A read-only one stores nothing of what it loaded."""

    _connection: Connection

    def __init__(self, engine: Engine, clock: Clock, *, read_only: bool = False) -> None:
        self._engine = engine
        self._clock = clock
        self._read_only = read_only
        self._announced: dict[str, None] = {}

    def __enter__(self) -> Self:
        connection = self._engine.connect()
        self._connection = connection.execution_options(**{READ_ONLY: self._read_only})
        try:
            self._connection.begin()
            self._open_repositories(self._connection)
        except BaseException:
            connection.close()
            raise
        return self

    def _open_repositories(self, connection: Connection) -> None:
        self.users = SqlUsers(connection)
        self.sessions = SqlSessions(connection)
        self.api_keys = SqlApiKeys(connection)
        self.mail_tokens = SqlMailTokens(connection)
        self.leases = SqlLeases(connection, self.announce)
        self.idempotent_calls = SqlIdempotentCalls(connection)
        self.owners = SqlOwners(connection)
        self.models = SqlModels(connection)
        self.model_versions = SqlModelVersions(connection)
        self.datasets = SqlDatasets(connection)
        self.batches = SqlBatches(connection)
        self.kept_streams = SqlKeptStreams(connection)
        self.usage = SqlUsage(connection)
        self.finetuning_jobs = SqlFinetuningJobs(connection)
        self.deployments = SqlDeployments(connection)
        self.replicas = SqlReplicas(connection)
        self.deployment_log = SqlDeploymentLog(connection)
        self.leaderships = SqlLeaderships(connection)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None and not self._read_only:
                self._flush()
                self._connection.commit()
            else:
                self._connection.rollback()
        except IntegrityError as clash:
            self._connection.rollback()
            raise AlreadyExists("this exists already") from clash
        finally:
            self._connection.close()
        if isinstance(error, IntegrityError):
            raise AlreadyExists("this exists already") from error

    def _flush(self) -> None:
        note_effect(self)
        for repository in list(vars(self).values()):
            for part in _stores_of(repository):
                part.flush()
        for topic in self._announced:
            self._bump(topic)

    def publish(self, *published: Event) -> None:
        now = self._clock.now()
        for event in published:
            payload = event_payload(event)
            event_id = new_id()
            self._connection.execute(
                events.insert().values(
                    id=event_id,
                    name=type(event).__name__,
                    owner_id=event.owner_id,
                    payload=payload,
                    occurred_at=now,
                )
            )
            for reaction in REACTIONS[type(event)]:
                self.leases.offer(REACTION_KIND + reaction, event_id, at=now, payload=payload)

    def announce(self, topic: str) -> None:
        self._announced[topic] = None

    def _bump(self, topic: str) -> None:
        now = self._clock.now()
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        row = dialect.insert(topics).values(topic=topic, version=1, announced_at=now)
        self._connection.execute(
            row.on_conflict_do_update(
                index_elements=[topics.c.topic], set_={"version": topics.c.version + 1, "announced_at": now}
            )
        )


class SqlUnitsOfWork:
    """Opens transactions on a database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def __call__(self, *, read_only: bool = False) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._engine, self._clock, read_only=read_only)


def _stores_of(repository: Any) -> list[Any]:
    """Return the tracking stores of a repository: its attributes named `store` or `…_store`."""
    attributes = getattr(repository, "__dict__", {})
    return [value for name, value in attributes.items() if name == "store" or name.endswith("_store")]
