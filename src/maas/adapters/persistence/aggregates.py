"""Keeps aggregates in a table: explicit rows, tracked changes, no object-relational magic."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Row, Select, Table, func, select
from sqlalchemy.sql.elements import ColumnElement

from maas.adapters.persistence.engine import READ_ONLY
from maas.domain.errors import NotFound, OutOfRange
from maas.domain.paging import Order, Page, PageRequest

T = TypeVar("T")
Convert = Callable[[Any], Any]


class AggregateMapping(Generic[T]):
    """How a dataclass stands in a table: columns have the names of its attributes.

    `dump` and `load` convert single columns; a None is never converted. Columns that are no field of the dataclass hold
    derived values, such as an address in lower case.
    """

    def __init__(
        self,
        table: Table,
        aggregate: type[T],
        *,
        dump: Mapping[str, Convert] | None = None,
        load: Mapping[str, Convert] | None = None,
    ) -> None:
        self.table = table
        self.aggregate = aggregate
        self.key = tuple(column.name for column in table.primary_key.columns)
        self._columns = tuple(column.name for column in table.columns)
        known = {field.name for field in fields(aggregate)}  # type: ignore[arg-type]
        self._fields = tuple(name for name in self._columns if name in known)
        self._dump = dict(dump or {})
        self._load = dict(load or {})

    def to_row(self, aggregate: T) -> dict[str, Any]:
        row = {name: getattr(aggregate, name) for name in self._columns}
        for name, convert in self._dump.items():
            if row[name] is not None:
                row[name] = convert(row[name])
        return row

    def from_row(self, row: Row[Any]) -> T:
        values = row._mapping  # noqa: SLF001 - the documented way to read columns by name
        arguments = {name: values[name] for name in self._fields}
        for name, convert in self._load.items():
            if arguments[name] is not None:
                arguments[name] = convert(arguments[name])
        return self.aggregate(**arguments)


class AggregateStore(Generic[T]):
    """The aggregates of one table within one transaction: what was loaded is tracked, and stored by `flush` where it changed."""

    def __init__(self, connection: Connection, mapping: AggregateMapping[T]) -> None:
        self._connection = connection
        self._mapping = mapping
        self._tracked: dict[tuple[Any, ...], tuple[T, dict[str, Any]]] = {}
        self._read_only: bool = connection.get_execution_options().get(READ_ONLY, False)

    @property
    def table(self) -> Table:
        return self._mapping.table

    def add(self, aggregate: T) -> None:
        row = self._mapping.to_row(aggregate)
        self._connection.execute(self.table.insert().values(row))
        self._tracked[self._key_of(row)] = (aggregate, _kept(row))

    def remove(self, aggregate: T) -> None:
        row = self._mapping.to_row(aggregate)
        self._connection.execute(self.table.delete().where(*self._is(row)))
        self._tracked.pop(self._key_of(row), None)

    def find(self, *conditions: ColumnElement[bool], for_update: bool = False) -> T | None:
        statement = select(self.table).where(*conditions).limit(1)
        found = self.all(statement.with_for_update() if for_update else statement)
        return found[0] if found else None

    def get(self, *conditions: ColumnElement[bool], for_update: bool = False) -> T:
        """Return the one that fits, or raise NotFound."""
        found = self.find(*conditions, for_update=for_update)
        if found is None:
            raise NotFound
        return found

    def all(self, statement: Select[Any]) -> list[T]:
        """Return what a select over the whole rows of the table finds, tracked."""
        self.flush()
        return [self._track(row) for row in self._connection.execute(statement)]

    def page(
        self,
        request: PageRequest,
        *conditions: ColumnElement[bool],
        search_in: Sequence[str] = (),
        sort_by: Sequence[str] = ("created_at", "updated_at", "name"),
    ) -> Page[T]:
        """Return a page of those that fit; raise OutOfRange for a sort that is not in `sort_by`."""
        if request.sort not in sort_by:
            raise OutOfRange("cannot sort by {sort}", field="sort", sort=request.sort)
        where = [*conditions, *self._matches(request.search, search_in)]
        self.flush()
        total = self._connection.execute(select(func.count()).select_from(self.table).where(*where)).scalar_one()
        statement = select(self.table).where(*where).order_by(*self._ordering(request))
        items = self.all(statement.limit(request.limit).offset(request.offset))
        return Page(items=items, number=request.number, limit=request.limit, total=total)

    def flush(self) -> None:
        """Store what has changed since it was loaded; a read-only transaction stores nothing."""
        if self._read_only:
            return
        for key, (aggregate, before) in self._tracked.items():
            after = self._mapping.to_row(aggregate)
            if after == before:
                continue
            changed = {name: value for name, value in after.items() if value != before[name]}
            self._connection.execute(self.table.update().where(*self._is(before)).values(changed))
            self._tracked[key] = (aggregate, _kept(after))

    def _track(self, row: Row[Any]) -> T:
        key = tuple(row._mapping[name] for name in self._mapping.key)  # noqa: SLF001 - see from_row
        if key not in self._tracked:
            aggregate = self._mapping.from_row(row)
            self._tracked[key] = (aggregate, {} if self._read_only else _kept(self._mapping.to_row(aggregate)))
        return self._tracked[key][0]

    def _ordering(self, request: PageRequest) -> list[ColumnElement[Any]]:
        names = [request.sort, *(name for name in self._mapping.key if name != request.sort)]
        columns = [self.table.c[name] for name in names]
        return [column.asc() if request.order is Order.ASCENDING else column.desc() for column in columns]

    def _matches(self, search: str | None, names: Sequence[str]) -> list[ColumnElement[bool]]:
        if not search or not names:
            return []
        return [contains(self.table, names, search)]

    def _key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._mapping.key)

    def _is(self, row: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        return [self.table.c[name] == row[name] for name in self._mapping.key]


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a row to compare with: its lists and dictionaries may be changed in place, all else is replaced."""
    return {name: copy.deepcopy(value) if isinstance(value, (list, dict)) else value for name, value in row.items()}


def contains(table: Table, names: Sequence[str], search: str) -> ColumnElement[bool]:
    """Build the condition that one of the columns holds `search`, literally and without case.

    SQLite's own lower() knows ASCII alone; every connection replaces it by one that knows all of Unicode.
    """
    wanted = search.lower()
    conditions = [func.lower(func.coalesce(table.c[name], "")).contains(wanted, autoescape=True) for name in names]
    condition = conditions[0]
    for other in conditions[1:]:
        condition = condition | other
    return condition


def dump_names(values: Any) -> list[str]:
    """Convert a set of enum members to a sorted list of their values."""
    return sorted(value.value for value in values)
