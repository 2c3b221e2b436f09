"""Who is at the other end of a WebSocket: signed in by a header or by the first message, and checked again."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog

from maas.application.actor import Actor
from maas.domain.errors import QuotaExceeded, Unauthenticated
from maas.entrypoints.http.request import PlatformRequest
from maas.entrypoints.http.sign_in import SignIn, bearer_token, credential_of
from maas.entrypoints.websocket.client import json_object
from maas.entrypoints.websocket.connection import SocketConnection

log = structlog.get_logger(__name__)

NOT_SIGNED_IN = 4401
SIGN_IN_SECONDS = 10.0
RECHECK_SECONDS = 2.0


def credential_of_client(request: PlatformRequest, connection: SocketConnection) -> str:
    """Return the credential of the upgrade's headers, or of the first message; raise Unauthenticated where there is none."""
    if "Authorization" in request.headers or "X-API-Key" in request.headers:
        return credential_of(request.headers)
    message = connection.receive(SIGN_IN_SECONDS)
    if message is None:
        raise Unauthenticated("sign in within {seconds} seconds", seconds=int(SIGN_IN_SECONDS))
    first = json_object(message)
    token = first.get("token")
    if first.get("type") != "auth" or not isinstance(token, str):
        raise Unauthenticated('the first message must be {{"type": "auth", "token": "Bearer …"}}')
    return bearer_token(token)


class OpenSockets:
    """The signed-in connections of a process: counted per person, and closed soon after their credential dies."""

    def __init__(self, sign_in: SignIn, *, most_per_user: int) -> None:
        self._sign_in = sign_in
        self._most_per_user = most_per_user
        self._of_user: Counter[UUID] = Counter()
        self._credentials: dict[SocketConnection, str] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def holding(self, connection: SocketConnection, actor: Actor, credential: str) -> Iterator[None]:
        """Count and watch `connection` within the block; raise QuotaExceeded where its person has too many."""
        with self._lock:
            if self._of_user[actor.user_id] >= self._most_per_user:
                raise QuotaExceeded("at most {limit} WebSockets at once", field="websockets", limit=self._most_per_user)
            self._of_user[actor.user_id] += 1
            self._credentials[connection] = credential
            self._start()
        try:
            yield
        finally:
            with self._lock:
                del self._credentials[connection]
                self._of_user -= Counter({actor.user_id: 1})

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="socket-checks", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(RECHECK_SECONDS)
            with self._lock:
                held = list(self._credentials.items())
            for connection, credential in held:
                self._check(connection, credential)

    def _check(self, connection: SocketConnection, credential: str) -> None:
        try:
            self._sign_in.authenticate(credential)
        except Unauthenticated:
            connection.close(NOT_SIGNED_IN, "the credential is no longer good")
        except Exception:
            log.warning("a credential could not be checked", exc_info=True)
