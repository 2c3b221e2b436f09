"""WebSocket routes: the upgrade, sign-in, and what each error closes a connection with."""

import base64
import binascii
import hashlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import Flask, Response
from wsproto.frame_protocol import CloseReason

from maas.domain.errors import (
    Forbidden,
    MaasError,
    NotFound,
    PlatformUnavailable,
    QuotaExceeded,
    RateLimited,
    Unauthenticated,
    WrongForm,
)
from maas.entrypoints.http.access import Access, Gate, RouteRules, check_access
from maas.entrypoints.http.blueprint import ROUTE_RULES
from maas.entrypoints.http.errors import as_maas_error
from maas.entrypoints.http.event_stream import StreamSlots
from maas.entrypoints.http.request import PlatformRequest, current_request
from maas.entrypoints.http.sign_in import SignIn
from maas.entrypoints.websocket.client import SocketClient, error_message
from maas.entrypoints.websocket.connection import SocketClosed, SocketConnection
from maas.entrypoints.websocket.hub import SocketHub
from maas.entrypoints.websocket.sign_in import NOT_SIGNED_IN, OpenSockets, credential_of_client

log = structlog.get_logger(__name__)

SOCKET_ACCESS = "maas.socket_access"
_PREFIXES = ("/v1", "/api/v1")
_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_GOODBYE_SECONDS = 5.0
_CLOSE_CODES: Mapping[type[MaasError], int] = {
    Unauthenticated: NOT_SIGNED_IN,
    Forbidden: 4403,
    NotFound: 4404,
    RateLimited: 4429,
    QuotaExceeded: 4429,
    PlatformUnavailable: 1013,
}
Handler = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class SocketParts:
    """What all WebSockets of a process share."""

    sign_in: SignIn
    hub: SocketHub
    open_sockets: OpenSockets
    slots: StreamSlots


@dataclass(frozen=True, kw_only=True)
class SocketRoutes:
    """The WebSockets of one capability, each at `/v1{path}` and at `/api/v1{path}`.

        @routes.route("/finetune/jobs/<uuid:job_id>/monitor", access=Permission.FINETUNE_READ)
        @inject
        def monitor(client: SocketClient, job_id: UUID, jobs: FinetuningJobs = Provide[Container.finetuning_jobs]) -> None:

    A handler serves one client on a thread of its own, and looks at `client.is_open` at least every second. When it returns
    the connection is closed with 1000; a MaasError is sent as `{"type": "error", "error": …}` and closes with 4401, 4403,
    4404 or 4429.
    """

    handlers: list[tuple[str, Access, Handler]] = field(default_factory=list)

    def route(self, path: str, *, access: Access) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            self.handlers.append((path, access, handler))
            return handler

        return keep


def register_sockets(app: Flask, parts: SocketParts, capabilities: Iterable[SocketRoutes]) -> None:
    """Add the WebSockets of `capabilities` to `app`."""
    for routes in capabilities:
        for path, access, handler in routes.handlers:
            for prefix in _PREFIXES:
                endpoint = f"websocket{prefix.replace('/', '.')}.{handler.__module__}.{handler.__name__}"
                # Sign-in happens within the connection; the HTTP gate lets the upgrade through.
                app.extensions.setdefault(ROUTE_RULES, {})[endpoint] = RouteRules(access=Gate.PUBLIC)
                app.extensions.setdefault(SOCKET_ACCESS, {})[endpoint] = access
                app.add_url_rule(f"{prefix}{path}", endpoint, _view(parts, access, handler), websocket=True)


def _view(parts: SocketParts, access: Access, handler: Handler) -> Callable[..., Response]:
    def upgrade(**path: Any) -> Response:
        request = current_request()
        accept = _accept_key(request)
        connected = request.environ.get("gunicorn.socket")
        if not isinstance(connected, socket.socket):
            raise PlatformUnavailable("this server takes no WebSockets")
        parts.slots.take()
        try:
            _answer_upgrade(connected, accept)
            _Visit(parts, access, handler, request).serve(connected, path)
        finally:
            parts.slots.give_back()
        return _Taken()

    return upgrade


class _Visit:
    """One client's stay."""

    def __init__(self, parts: SocketParts, access: Access, handler: Handler, request: PlatformRequest) -> None:
        self._parts = parts
        self._access = access
        self._handler = handler
        self._request = request
        self._client: SocketClient | None = None

    def serve(self, connected: socket.socket, path: Mapping[str, Any]) -> None:
        began = time.monotonic()
        connection = SocketConnection(connected, on_change=self._parts.hub.refresh)
        connected.settimeout(0)
        self._parts.hub.join(connection, busy=self._is_busy)
        try:
            # A client that left is no error; the log line below tells the code.
            with suppress(SocketClosed):
                self._serve_signed_in(connection, path)
                connection.close()
        except Exception as error:
            self._close_with(connection, as_maas_error(error))
        finally:
            connection.finish(_GOODBYE_SECONDS)
            self._parts.hub.leave(connection)
            connected.settimeout(_GOODBYE_SECONDS)
            log.info("socket ended", code=connection.close_code, seconds=round(time.monotonic() - began, 3))

    def _serve_signed_in(self, connection: SocketConnection, path: Mapping[str, Any]) -> None:
        credential = credential_of_client(self._request, connection)
        actor = self._parts.sign_in.authenticate(credential)
        check_access(self._access, actor)
        self._client = SocketClient(connection, actor, self._request.language)
        with self._parts.open_sockets.holding(connection, actor, credential):
            self._client.send({"type": "authenticated"})
            self._handler(self._client, **path)

    def _is_busy(self) -> bool:
        return self._client is not None and self._client.busy

    def _close_with(self, connection: SocketConnection, error: MaasError) -> None:
        code = next((_CLOSE_CODES[kind] for kind in type(error).__mro__ if kind in _CLOSE_CODES), CloseReason.INTERNAL_ERROR)
        with suppress(SocketClosed):
            connection.send(error_message(error, self._request.language))
            connection.close(code, str(error))


class _Taken(Response):
    """The answer of a request whose connection has been used up: gunicorn is to write nothing, and to close."""

    def __init__(self) -> None:
        super().__init__(status=101)

    def __call__(self, *_arguments: Any, **_options: Any) -> Any:
        raise StopIteration


def _accept_key(request: PlatformRequest) -> str:
    """Return what proves that the upgrade was understood (RFC 6455, 4.2.2), or raise WrongForm."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    if request.headers.get("Sec-WebSocket-Version") != "13" or not _is_key(key):
        raise WrongForm("this is no upgrade to a WebSocket of version 13", field="Sec-WebSocket-Key")
    return base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT_SUFFIX, usedforsecurity=False).digest()).decode()


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _answer_upgrade(connected: socket.socket, accept: str) -> None:
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connected.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
