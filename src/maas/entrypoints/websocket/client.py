"""The signed-in client of a WebSocket, as handlers see it."""

from collections.abc import Mapping
from typing import Any

from maas.application.actor import Actor
from maas.domain.errors import Invalid, MaasError
from maas.entrypoints.http.body import parse_json
from maas.entrypoints.http.envelope import error_body
from maas.entrypoints.websocket.connection import SocketConnection


class SocketClient:
    """Messages to and from a signed-in caller. Sending and receiving raise SocketClosed once the connection has ended.

    `busy` says that an answer is on its way: when the process drains, a busy connection is closed last.
    """

    def __init__(self, connection: SocketConnection, actor: Actor, language: str) -> None:
        self.actor = actor
        self.language = language
        self.busy = False
        self._connection = connection

    @property
    def is_open(self) -> bool:
        return self._connection.is_open

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a JSON object. Any thread may."""
        self._connection.send(message)

    def send_error(self, error: MaasError, **fields: Any) -> None:
        """Send `{"type": "error", …fields, "error": {…}}`; the connection stays open."""
        self.send(error_message(error, self.language, **fields))

    def receive(self, timeout_seconds: float) -> dict[str, Any] | None:
        """Return the next JSON object, or None after the timeout; raise Malformed or Invalid for what is none."""
        message = self._connection.receive(timeout_seconds)
        if message is None:
            return None
        return json_object(message)

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._connection.close(code, reason)


def json_object(message: bytes) -> dict[str, Any]:
    """Return the JSON object that a message holds, or raise Malformed or Invalid."""
    value = parse_json(message)
    if not isinstance(value, dict):
        raise Invalid("the message must be a JSON object", field="message")
    return value


def error_message(error: MaasError, language: str, **fields: Any) -> dict[str, Any]:
    """Return the message that tells of `error`."""
    return {"type": "error", **fields, "error": error_body(error, language)}
