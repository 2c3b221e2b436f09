"""Who listens to what, within one process."""

import threading

from maas.application.ports.broadcaster import Listener


class Hub:
    """The listeners of a process by topic. `awaited` is set while there are any."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[HubListener]] = {}
        self._lock = threading.Lock()
        self.awaited = threading.Event()

    def listen(self, topic: str) -> "HubListener":
        listener = HubListener(self, topic)
        with self._lock:
            self._listeners.setdefault(topic, set()).add(listener)
            self.awaited.set()
        return listener

    def leave(self, listener: "HubListener") -> None:
        with self._lock:
            others = self._listeners.get(listener.topic, set())
            others.discard(listener)
            if not others:
                self._listeners.pop(listener.topic, None)
            if not self._listeners:
                self.awaited.clear()

    def topics(self) -> list[str]:
        """Return the topics that somebody listens to."""
        with self._lock:
            return list(self._listeners)

    def tell(self, topic: str) -> None:
        """Wake those who listen to `topic`."""
        with self._lock:
            for listener in self._listeners.get(topic, ()):
                listener.wake()


class HubListener(Listener):
    """A listener that a hub wakes."""

    def __init__(self, hub: Hub, topic: str) -> None:
        self.topic = topic
        self._hub = hub
        self._announced = threading.Event()

    def wake(self) -> None:
        self._announced.set()

    def wait(self, timeout_seconds: float) -> bool:
        heard = self._announced.wait(timeout_seconds)
        if heard:
            self._announced.clear()
        return heard

    def close(self) -> None:
        self._hub.leave(self)
