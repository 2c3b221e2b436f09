"""A broadcaster within one process, told by hand or by a unit of work in memory."""

from maas.adapters.broadcaster.hub import Hub
from maas.application.ports.broadcaster import Broadcaster, Listener


class MemoryBroadcaster(Broadcaster):
    """Passes announcements on at once."""

    def __init__(self) -> None:
        self._hub = Hub()

    def listen(self, topic: str) -> Listener:
        return self._hub.listen(topic)

    def announce(self, topic: str) -> None:
        """Wake those who listen to `topic`."""
        self._hub.tell(topic)
