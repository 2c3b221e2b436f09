"""The process that keeps all others running."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException

import structlog

from maas.entrypoints.supervisor.role import Role
from maas.settings import Settings

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
_ALL_ENDED_SECONDS = 29.0
_FRONT_SECONDS = 22.0
_READY_PAUSE_SECONDS = 0.05
_BACKLOG = 1024
_BIND_SECONDS = 5.0


class Supervisor:
    """Runs every role of one host.

    The listening socket is its own, so that calls wait rather than fail while the API process is started again. All processes hold
    one end of a pipe of which it holds the other: they end with it, even where it is killed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ending = threading.Event()
        self._listener = _listen(settings.host, settings.port)
        self._lifeline, self._own_end = os.pipe()
        self._front = [self._role("api", "--listen-fd", str(self._listener.fileno()), inherited=[self._listener.fileno()])]
        self._front.append(self._role("worker"))
        self._back = [self._role("controller")]

    @property
    def roles(self) -> Sequence[Role]:
        return [*self._back, *self._front]

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        scheme = "https" if self._settings.tls_cert else "http"
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"{scheme}://{host}:{self.port}"

    def run(self, on_ready: Callable[[str], None]) -> int:
        """Run until SIGTERM or SIGINT; return 0 where all ended by themselves."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        for role in self.roles:
            role.start()
        threading.Thread(target=self._tell_when_ready, args=(on_ready,), name="readiness", daemon=True).start()
        while not self._ending.wait(_LOOK_SECONDS):
            for role in self.roles:
                role.tend()
        return self._end_all()

    def _role(self, name: str, *arguments: str, inherited: Sequence[int] = ()) -> Role:
        environment = self._settings.environment()
        return Role(name=name, arguments=arguments, environment=environment, inherited=inherited, lifeline=self._lifeline)

    def _end(self, _number: int, _frame: object) -> None:
        self._ending.set()

    def _end_all(self) -> int:
        """End the API and the workers first: their streams still need the engines that the controller runs."""
        deadline = time.monotonic() + _ALL_ENDED_SECONDS
        ended = [self._end_these(self._front, time.monotonic() + _FRONT_SECONDS), self._end_these(self._back, deadline)]
        return 0 if all(ended) else 1

    def _end_these(self, roles: Sequence[Role], deadline: float) -> bool:
        for role in roles:
            role.terminate()
        ended = [role.wait(deadline - time.monotonic()) for role in roles]
        for role in roles:
            role.kill()
        return all(ended)

    def _tell_when_ready(self, on_ready: Callable[[str], None]) -> None:
        while not self._ending.is_set():
            if self._is_ready():
                on_ready(self.url)
                return
            self._ending.wait(_READY_PAUSE_SECONDS)

    def _is_ready(self) -> bool:
        """Ask the API, as anybody would; over TLS a connection that is accepted must do, since the name on it may be another."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104 - compared, not bound
        if self._settings.tls_cert:
            return all(role.is_running for role in self.roles)
        connection = HTTPConnection(host, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz", headers={"Connection": "close"})
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            listener.bind((host, port))
        except OSError:
            # The processes of a supervisor that was killed a moment ago may not have ended yet.
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            listener.listen(_BACKLOG)
            return listener
