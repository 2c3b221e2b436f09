"""What the runs of fine-tuning jobs told, in SQL: points, log lines, checkpoints."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select

from maas.adapters.persistence.aggregates import contains
from maas.adapters.persistence.tables.finetuning import finetuning_checkpoints, finetuning_log_lines, finetuning_points
from maas.application.ports.repositories.finetuning import FinetuningJobs
from maas.domain.errors import OutOfRange
from maas.domain.finetuning.training import Checkpoint, LogLevel, LogLine, MetricsPoint
from maas.domain.identifiers import new_id
from maas.domain.paging import Order, Page, PageRequest

_POINT = finetuning_points.c
_LINE = finetuning_log_lines.c
_CHECKPOINT = finetuning_checkpoints.c


class SqlRunRecords(FinetuningJobs):
    """The part of the repository that is appended to while a run goes on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_points(self, job_id: UUID, points: Iterable[MetricsPoint]) -> None:
        rows = {point.step: {"job_id": job_id, **vars(point)} for point in points}
        if rows:
            same = (_POINT.job_id == job_id) & _POINT.step.in_(list(rows))
            self._connection.execute(finetuning_points.delete().where(same))
            self._connection.execute(finetuning_points.insert(), list(rows.values()))

    def points(self, job_id: UUID, *, after_step: int = 0) -> Sequence[MetricsPoint]:
        wanted = (_POINT.job_id == job_id, _POINT.step > after_step)
        rows = self._connection.execute(select(finetuning_points).where(*wanted).order_by(_POINT.step))
        return [_point(row) for row in rows]

    def latest_point(self, job_id: UUID) -> MetricsPoint | None:
        newest = select(finetuning_points).where(_POINT.job_id == job_id).order_by(_POINT.step.desc()).limit(1)
        row = self._connection.execute(newest).first()
        return None if row is None else _point(row)

    def drop_points(self, job_id: UUID, *, after_step: int) -> None:
        self._connection.execute(finetuning_points.delete().where(_POINT.job_id == job_id, _POINT.step > after_step))

    def add_lines(self, job_id: UUID, lines: Iterable[LogLine]) -> None:
        rows = [
            {"id": new_id(), "job_id": job_id, "level": line.level.value, "message": line.message, "at": line.at}
            for line in lines
        ]
        if rows:
            self._connection.execute(finetuning_log_lines.insert(), rows)

    def lines(self, job_id: UUID, request: PageRequest, *, level: LogLevel | None = None) -> Page[LogLine]:
        if request.sort != "created_at":
            raise OutOfRange("cannot sort by {sort}", field="sort", sort=request.sort)
        where = [_LINE.job_id == job_id]
        if level is not None:
            where.append(_LINE.level == level.value)
        if request.search:
            where.append(contains(finetuning_log_lines, ["message"], request.search))
        total = self._connection.execute(select(func.count()).select_from(finetuning_log_lines).where(*where)).scalar_one()
        order = _LINE.id.asc() if request.order is Order.ASCENDING else _LINE.id.desc()
        page = select(finetuning_log_lines).where(*where).order_by(order).limit(request.limit).offset(request.offset)
        lines = [LogLine(level=LogLevel(row.level), message=row.message, at=row.at) for row in self._connection.execute(page)]
        return Page(items=lines, number=request.number, limit=request.limit, total=total)

    def keep_checkpoint(self, checkpoint: Checkpoint, *, newest: int) -> Sequence[str]:
        kept = [old for old in self.checkpoints(checkpoint.job_id) if old.is_kept]
        replaced = [old for old in kept if old.step == checkpoint.step]
        others = sorted((old for old in kept if old.step != checkpoint.step), key=lambda old: old.step, reverse=True)
        outdated = others[max(newest - 1, 0) :]
        mine = finetuning_checkpoints.c.job_id == checkpoint.job_id
        self._connection.execute(finetuning_checkpoints.delete().where(mine, _CHECKPOINT.step == checkpoint.step))
        self._connection.execute(finetuning_checkpoints.insert().values(**vars(checkpoint)))
        steps = [old.step for old in outdated]
        self._connection.execute(finetuning_checkpoints.update().where(mine, _CHECKPOINT.step.in_(steps)).values(files_key=None))
        return [old.files_key for old in (*replaced, *outdated) if old.files_key is not None]

    def checkpoints(self, job_id: UUID) -> Sequence[Checkpoint]:
        statement = select(finetuning_checkpoints).where(_CHECKPOINT.job_id == job_id).order_by(_CHECKPOINT.step)
        return [Checkpoint(**row._mapping) for row in self._connection.execute(statement)]  # noqa: SLF001 - public

    def forget_checkpoint_files(self, job_id: UUID) -> None:
        statement = finetuning_checkpoints.update().where(_CHECKPOINT.job_id == job_id)
        self._connection.execute(statement.values(files_key=None))

    def drop_checkpoints(self, job_id: UUID) -> None:
        self._connection.execute(finetuning_checkpoints.delete().where(_CHECKPOINT.job_id == job_id))


def _point(row: Row[Any]) -> MetricsPoint:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to read columns by name
    del values["job_id"]
    return MetricsPoint(**values)
