"""Pages of a list: what is asked for and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

LARGEST_PAGE = 100

T = TypeVar("T")


class Order(StrEnum):
    """The direction of a sort."""

    ASCENDING = "asc"
    DESCENDING = "desc"


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """Which part of a list, in which order. `number` counts from 1; `search` is literal text, compared without case."""

    number: int = 1
    limit: int = 20
    sort: str = "created_at"
    order: Order = Order.DESCENDING
    search: str | None = None

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.limit


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """A part of a list, with the size of the whole."""

    items: Sequence[T]
    number: int
    limit: int
    total: int

    @property
    def pages(self) -> int:
        return -(-self.total // self.limit)
