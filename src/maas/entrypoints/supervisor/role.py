"""One supervised process."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from maas.entrypoints.lifeline import ENVIRONMENT

log = structlog.get_logger(__name__)

_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 10.0
_HEALTHY_SECONDS = 20.0


@dataclass(eq=False, kw_only=True)
class Role:
    """A process that is to run: `maas <name>`. It is started again after it dies, sooner where it had run for long."""

    name: str
    environment: Mapping[str, str]
    arguments: Sequence[str] = ()
    inherited: Sequence[int] = ()
    lifeline: int
    _process: "subprocess.Popen[bytes] | None" = None
    _started_at: float = 0.0
    _restart_at: float = 0.0
    _pause_seconds: float = field(default=_SHORTEST_PAUSE_SECONDS)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        environment = {**os.environ, **self.environment, ENVIRONMENT: str(self.lifeline)}
        command = [sys.executable, "-m", "maas.entrypoints.cli", self.name, *self.arguments]
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(*self.inherited, self.lifeline),
            # A Ctrl-C at the terminal reaches the supervisor alone, which then ends the others in order.
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        log.info("started", role=self.name, pid=self._process.pid)

    def tend(self) -> None:
        """Start the process again where it has died, after a pause that grows while it dies young."""
        if self.is_running:
            return
        now = time.monotonic()
        if self._process is not None:
            self._note_death(now)
        if now >= self._restart_at:
            self.start()

    def _note_death(self, now: float) -> None:
        assert self._process is not None
        log.error("a process died", role=self.name, pid=self._process.pid, status=self._process.returncode)
        healthy = now - self._started_at >= _HEALTHY_SECONDS
        self._pause_seconds = _SHORTEST_PAUSE_SECONDS if healthy else min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self._restart_at = now + self._pause_seconds
        self._process = None

    def terminate(self) -> None:
        if self._process is not None and self.is_running:
            self._process.terminate()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return whether it came."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout=max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        if self._process is not None and self.is_running:
            log.warning("a process did not end by itself", role=self.name, pid=self._process.pid)
            self._process.kill()
            self._process.wait()
