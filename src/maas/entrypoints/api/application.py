"""The application with its WebSockets."""

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask

from maas.entrypoints.http.app import HttpParts, build_app
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.event_stream import StreamSlots
from maas.entrypoints.websocket.hub import SocketHub
from maas.entrypoints.websocket.routes import SocketParts, SocketRoutes, register_sockets
from maas.entrypoints.websocket.sign_in import OpenSockets


@dataclass(frozen=True, kw_only=True)
class SocketNumbers:
    """How many WebSockets there may be at once: in this process, and of one person."""

    most: int = 400
    most_per_user: int = 100


def build_application(
    parts: HttpParts, blueprints: Iterable[Blueprint], sockets: Iterable[SocketRoutes], numbers: SocketNumbers | None = None
) -> Flask:
    """Return the application with these parts, routes and WebSockets."""
    numbers = numbers or SocketNumbers()
    app = build_app(parts, blueprints)
    socket_parts = SocketParts(
        sign_in=parts.sign_in,
        hub=SocketHub(parts.draining),
        open_sockets=OpenSockets(parts.sign_in, most_per_user=numbers.most_per_user),
        slots=StreamSlots(numbers.most),
    )
    register_sockets(app, socket_parts, sockets)
    return app
