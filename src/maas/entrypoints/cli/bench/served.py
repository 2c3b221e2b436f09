"""`python -m maas.entrypoints.cli.bench.served platform|bare FD`: what the item `requests` calls, under the platform's server.

`platform` is the whole application with routes of the bench beside its own, `bare` a Flask application with one route.
"""

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify

from maas.entrypoints.api.server import ServerOptions, run_api
from maas.entrypoints.cli.api_process import make_app
from maas.entrypoints.http.access import Gate
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.event_stream import STREAMING, Streaming, StreamSlots, event_stream
from maas.entrypoints.lifeline import hold_on
from maas.entrypoints.logs import configure_logs
from maas.entrypoints.websocket.client import SocketClient
from maas.entrypoints.websocket.hub import SocketHub
from maas.entrypoints.websocket.routes import SocketParts, SocketRoutes, register_sockets
from maas.entrypoints.websocket.sign_in import OpenSockets
from maas.settings import Settings

EVENTS_PER_SECOND = 20
ANSWER = {"id": "0190a5ea-0000-7000-8000-000000000000", "name": "bench", "values": [1, 2, 3]}
_CHUNK = {"id": "chunk", "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}]}
_SILENCE_SECONDS = 1.0

blueprint = Blueprint("bench", __name__, url_prefix="/api/v1/bench", description="Routes of the bench alone.")
sockets = SocketRoutes()


@blueprint.route("/call", access=Gate.SIGNED_IN)
@blueprint.response(200)
def call() -> dict[str, Any]:
    """Answer something small."""
    return ANSWER


@blueprint.route("/stream", access=Gate.SIGNED_IN)
def stream() -> Response:
    """Stream chunks as an engine's tokens come, until the client leaves."""
    return event_stream(_chunks())


@sockets.route("/bench/socket", access=Gate.SIGNED_IN)
def socket(client: SocketClient) -> None:
    """Send a message every second."""
    while client.is_open:
        client.receive(_SILENCE_SECONDS)
        client.send(_CHUNK)


def _chunks() -> Iterator[dict[str, Any]]:
    pause, next_at = 1 / EVENTS_PER_SECOND, time.monotonic()
    waiting = threading.Event()
    while True:
        next_at += pause
        waiting.wait(max(0.0, next_at - time.monotonic()))
        yield _CHUNK


def platform_app() -> Flask:
    """Return the platform's application, with the routes above."""
    settings = Settings.load()
    app = make_app(settings)
    app.register_blueprint(blueprint)
    streaming: Streaming = app.extensions[STREAMING]
    parts = SocketParts(
        sign_in=streaming.sign_in,
        hub=SocketHub(streaming.draining),
        open_sockets=OpenSockets(streaming.sign_in, most_per_user=settings.max_websockets),
        slots=StreamSlots(settings.most_sockets),
    )
    register_sockets(app, parts, [sockets])
    return app


def bare_app() -> Flask:
    """Return what a call costs without the platform."""
    app = Flask("bare", static_folder=None)
    app.add_url_rule("/call", "call", lambda: jsonify(ANSWER))
    return app


def main() -> None:
    """Serve until SIGTERM on an inherited listening socket."""
    hold_on()
    settings = Settings.load()
    configure_logs(settings.log_level)
    make = platform_app if sys.argv[1] == "platform" else bare_app
    run_api(make, ServerOptions(listen_fd=int(sys.argv[2]), workers=1, threads=settings.api_threads))


if __name__ == "__main__":
    main()
