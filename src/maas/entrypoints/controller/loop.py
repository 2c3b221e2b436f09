"""The loop that reconciles deployments."""

import threading
from datetime import datetime
from typing import Protocol

import structlog

from maas.application.ports.broadcaster import Broadcaster
from maas.application.ports.clock import Clock

log = structlog.get_logger(__name__)

DEPLOYMENTS_TOPIC = "deployments"
PERIOD_SECONDS = 0.5
_BROKEN_SECONDS = 1.0


class Reconciler(Protocol):
    """What makes rows true, one look at a time."""

    def reconcile(self, at: datetime) -> None: ...

    def close(self) -> None:
        """End what this process runs: it is about to end itself."""
        ...


class ControllerLoop:
    """Reconciles twice a second, and at once when somebody announces a change."""

    def __init__(self, *, controller: Reconciler, broadcaster: Broadcaster, clock: Clock, ending: threading.Event) -> None:
        self._controller = controller
        self._broadcaster = broadcaster
        self._clock = clock
        self._ending = ending

    def run(self) -> None:
        """Reconcile until the process ends."""
        with self._broadcaster.listen(DEPLOYMENTS_TOPIC) as listener:
            while not self._ending.is_set():
                try:
                    self._controller.reconcile(self._clock.now())
                except Exception:
                    log.exception("deployments could not be reconciled")
                    self._ending.wait(_BROKEN_SECONDS)
                listener.wait(PERIOD_SECONDS)
        self._controller.close()
