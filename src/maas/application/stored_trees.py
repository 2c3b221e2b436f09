"""Trees of files and the rows that they belong to: neither is left without the other."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from maas.application.ports.file_store import FileStore, Staging

log = logging.getLogger(__name__)


@contextmanager
def committed(file_store: FileStore, staging: Staging, key: str, *, has_row: Callable[[], bool]) -> Iterator[None]:
    """Make a tree durable, then let the block store its row; where that fails, the tree goes.

    Where nobody can tell whether the row was stored (the database went away just then), the tree is left for the sweep.
    """
    staging.commit(key)
    try:
        yield
    except BaseException:
        _remove_without_row(file_store, key, has_row)
        raise


def _remove_without_row(file_store: FileStore, key: str, has_row: Callable[[], bool]) -> None:
    try:
        if not has_row():
            file_store.delete(key)
    except Exception:
        log.exception("a tree of files is left for the sweep")


class RemoveTree:
    """What follows when a row is gone: its tree goes too. `named` is the event's field with the key."""

    def __init__(self, *, file_store: FileStore, named: str) -> None:
        self.file_store = file_store
        self.named = named

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.file_store.delete(event[self.named])
