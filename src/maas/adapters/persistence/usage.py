"""Sums of usage in SQL."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from maas.adapters.persistence.tables.usage import usage_days, usage_durations, usage_journals, usage_served
from maas.application.ports.repositories.usage import Usage
from maas.domain.usage import DeploymentUsage, Durations, Served, UsageSums, UserDay, deployment_usage

_LATENCY, _FIRST_TOKEN = "latency", "first_token"
_COUNTS = ("calls", "failed_calls", "prompt_tokens", "completion_tokens", "busy_seconds")


class SqlUsage(Usage):
    """Adds by upserts, row by row in the order of their keys, so that two who add at once wait for each other in one order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = postgresql if connection.dialect.name == "postgresql" else sqlite

    def add(self, sums: UsageSums) -> None:
        self._add(usage_days, [vars(sums.days[key]) for key in sorted(sums.days)])
        served = sorted(sums.served.items())
        self._add(usage_served, [_served_row(key, part) for key, part in served])
        self._add(usage_durations, [row for key, part in served for row in _duration_rows(key, part)])

    def position(self, journal: str) -> int:
        found = self._connection.execute(select(usage_journals.c.position).where(usage_journals.c.name == journal)).scalar()
        return 0 if found is None else int(found)

    def advance(self, journal: str, *, position: int, to: int) -> bool:
        if position == 0:
            begin = self._dialect.insert(usage_journals).values(name=journal, position=to).on_conflict_do_nothing()
            return self._connection.execute(begin.returning(usage_journals.c.name)).first() is not None
        at = (usage_journals.c.name == journal, usage_journals.c.position == position)
        return self._connection.execute(usage_journals.update().where(*at).values(position=to)).rowcount == 1

    def end(self, journal: str, *, at: datetime) -> None:
        self._connection.execute(usage_journals.update().where(usage_journals.c.name == journal).values(ended_at=at))

    def forget_ended(self, *, before: datetime) -> None:
        self._connection.execute(usage_journals.delete().where(usage_journals.c.ended_at < before))

    def days_of(self, user_id: UUID, *, first: date, last: date) -> Sequence[UserDay]:
        columns = usage_days.c
        wanted = select(usage_days).where(columns.user_id == user_id, columns.day.between(first, last)).order_by(columns.day)
        return [UserDay(**row) for row in self._connection.execute(wanted).mappings()]

    def of_deployment(self, deployment_id: UUID) -> DeploymentUsage:
        parts: dict[UUID, Served] = {}
        wanted = select(usage_served).where(usage_served.c.deployment_id == deployment_id).order_by(usage_served.c.replica_id)
        for row in self._connection.execute(wanted).mappings():
            parts[row["replica_id"]] = Served(**{name: row[name] for name in _COUNTS})
        durations = select(usage_durations).where(usage_durations.c.deployment_id == deployment_id)
        for row in self._connection.execute(durations).mappings():
            _durations(parts[row["replica_id"]], row["measure"]).include({row["bucket"]: row["count"]})
        return deployment_usage(parts)

    def _add(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        key = [column.name for column in table.primary_key.columns]
        for row in rows:
            insert = self._dialect.insert(table).values(dict(row))
            more = {column.name: column + insert.excluded[column.name] for column in table.columns if column.name not in key}
            self._connection.execute(insert.on_conflict_do_update(index_elements=key, set_=more))


def _served_row(key: tuple[UUID, UUID], part: Served) -> dict[str, Any]:
    deployment_id, replica_id = key
    return {"deployment_id": deployment_id, "replica_id": replica_id, **{name: getattr(part, name) for name in _COUNTS}}


def _duration_rows(key: tuple[UUID, UUID], part: Served) -> Iterator[dict[str, Any]]:
    deployment_id, replica_id = key
    for measure in (_FIRST_TOKEN, _LATENCY):
        for bucket, count in sorted(_durations(part, measure).counts.items()):
            yield {
                "deployment_id": deployment_id,
                "replica_id": replica_id,
                "measure": measure,
                "bucket": bucket,
                "count": count,
            }


def _durations(part: Served, measure: str) -> Durations:
    return part.latencies if measure == _LATENCY else part.first_tokens
