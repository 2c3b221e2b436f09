"""A broadcaster over the table of topics: one thread a process looks whether it changed, while anybody listens."""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, column, select, table
from sqlalchemy.exc import SQLAlchemyError

from maas.adapters.broadcaster.hub import Hub
from maas.application.ports.broadcaster import Broadcaster, Listener

log = logging.getLogger(__name__)

_TOPICS = table("topics", column("topic"), column("version"), column("announced_at"))
_SQLITE_SECONDS, _POSTGRES_SECONDS, _RETRY_SECONDS = 0.05, 0.1, 1.0
_MOST_TOPICS_ASKED = 500
# A row may be swept away and begin anew at version 1: the time tells the two apart.
_State = tuple[int, Any]


class SqlBroadcaster(Broadcaster):
    """Hears what any process announced in the database of `engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hub = Hub()
        self._states: dict[str, _State | None] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def listen(self, topic: str) -> Listener:
        # The thread must not look between the two: it would tell what was announced before.
        with self._lock:
            if topic not in self._hub.topics():
                self._states.pop(topic, None)
            listener = self._hub.listen(topic)
            try:
                self._states.setdefault(topic, self._read([topic]).get(topic))
            except BaseException:
                listener.close()
                raise
            self._start()
        return listener

    def _start(self) -> None:
        """Start the thread with the first listener: it would not live through a fork."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="broadcaster", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._hub.awaited.wait()
            try:
                self._watch()
            except SQLAlchemyError:
                log.warning("the topics cannot be read; trying again", exc_info=True)
                time.sleep(_RETRY_SECONDS)

    def _watch(self) -> None:
        signal = _SqliteSignal(self._engine) if self._engine.dialect.name == "sqlite" else _AlwaysSignal()
        try:
            self._tell_changes()
            while self._hub.awaited.is_set():
                time.sleep(signal.pause_seconds)
                if signal.may_have_changed():
                    self._tell_changes()
        finally:
            signal.close()

    def _tell_changes(self) -> None:
        with self._lock:
            topics = self._hub.topics()
            for topic in set(self._states) - set(topics):
                del self._states[topic]
            for start in range(0, len(topics), _MOST_TOPICS_ASKED):
                self._tell_changes_of(topics[start : start + _MOST_TOPICS_ASKED])

    def _tell_changes_of(self, topics: Sequence[str]) -> None:
        for topic, state in self._read(topics).items():
            if state != self._states.get(topic):
                self._states[topic] = state
                self._hub.tell(topic)

    def _read(self, topics: Sequence[str]) -> dict[str, _State]:
        statement = select(_TOPICS).where(_TOPICS.c.topic.in_(topics))
        with self._engine.connect().execution_options(maas_read_only=True) as connection:
            return {row.topic: (row.version, row.announced_at) for row in connection.execute(statement)}


class _AlwaysSignal:
    """Looks at the table each time."""

    pause_seconds = _POSTGRES_SECONDS

    def may_have_changed(self) -> bool:
        return True

    def close(self) -> None:
        """Hold nothing."""


class _SqliteSignal(_AlwaysSignal):
    """Asks SQLite whether another connection committed anything: a few microseconds."""

    pause_seconds = _SQLITE_SECONDS

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        self._seen = self._data_version()

    def may_have_changed(self) -> bool:
        before, self._seen = self._seen, self._data_version()
        return self._seen != before

    def close(self) -> None:
        self._connection.close()

    def _data_version(self) -> int:
        cursor = self._connection.cursor()
        try:
            cursor.execute("PRAGMA data_version")
            (version,) = cursor.fetchall()[0]
            return int(version)
        finally:
            cursor.close()
