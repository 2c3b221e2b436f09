"""A table in a dictionary, and the part of it that one transaction has touched."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from maas.domain.errors import AlreadyExists, NotFound, OutOfRange
from maas.domain.paging import Order, Page, PageRequest

T = TypeVar("T")
Key = Any


class MemoryTable(Generic[T]):
    """Committed aggregates by key. `unique` gives values that no two may share (None shares with nobody)."""

    def __init__(self, *, key: Callable[[T], Key], unique: Sequence[Callable[[T], object]] = ()) -> None:
        self.rows: dict[Key, T] = {}
        self.key = key
        self.unique = tuple(unique)


class MemoryStore(Generic[T]):
    """What one transaction sees of a table: copies, written back when it commits."""

    def __init__(self, table: MemoryTable[T]) -> None:
        self._table = table
        self._touched: dict[Key, T] = {}
        self._removed: set[Key] = set()

    def add(self, aggregate: T) -> None:
        key = self._table.key(aggregate)
        taken = [(value, value(aggregate)) for value in self._table.unique]
        if self.find(lambda other: self._table.key(other) == key or any(value(other) == own is not None for value, own in taken)):
            raise AlreadyExists("this exists already")
        self._removed.discard(key)
        self._touched[key] = aggregate

    def remove(self, aggregate: T) -> None:
        key = self._table.key(aggregate)
        self._touched.pop(key, None)
        self._removed.add(key)

    def __iter__(self) -> Iterator[T]:
        return self._fitting(lambda _aggregate: True)

    def find(self, condition: Callable[[T], bool]) -> T | None:
        return next(self._fitting(condition), None)

    def get(self, condition: Callable[[T], bool]) -> T:
        """Return the one that fits, or raise NotFound."""
        found = self.find(condition)
        if found is None:
            raise NotFound
        return found

    def all(self, condition: Callable[[T], bool]) -> list[T]:
        return list(self._fitting(condition))

    def page(
        self,
        request: PageRequest,
        condition: Callable[[T], bool],
        *,
        search_in: Sequence[str] = (),
        sort_by: Sequence[str] = ("created_at", "updated_at", "name"),
    ) -> Page[T]:
        """Return a page of those that fit; raise OutOfRange for a sort that is not in `sort_by`."""
        if request.sort not in sort_by:
            raise OutOfRange("cannot sort by {sort}", field="sort", sort=request.sort)
        found = [item for item in self.all(condition) if _contains(item, search_in, request.search)]
        found.sort(
            key=lambda item: (getattr(item, request.sort), self._table.key(item)),
            reverse=request.order is Order.DESCENDING,
        )
        items = found[request.offset : request.offset + request.limit]
        return Page(items=items, number=request.number, limit=request.limit, total=len(found))

    def commit(self) -> None:
        for key in self._removed:
            self._table.rows.pop(key, None)
        self._table.rows.update(copy.deepcopy(self._touched))

    def _fitting(self, condition: Callable[[T], bool]) -> Iterator[T]:
        """Yield those that fit; what does not fit is looked at without being copied."""
        keys = [*self._table.rows, *(key for key in self._touched if key not in self._table.rows)]
        for key in keys:
            if key not in self._removed and condition(self._touched[key] if key in self._touched else self._table.rows[key]):
                yield self._touch(key)

    def _touch(self, key: Key) -> T:
        if key not in self._touched:
            self._touched[key] = copy.deepcopy(self._table.rows[key])
        return self._touched[key]


def _contains(item: object, names: Sequence[str], search: str | None) -> bool:
    if not search or not names:
        return True
    return any(search.lower() in (getattr(item, name) or "").lower() for name in names)
