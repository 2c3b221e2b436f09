"""A small API on the platform's foundation, for the tests of the foundation itself."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flask import Flask, Response
from marshmallow import fields, validate

from maas.application.actor import Actor
from maas.application.usage import CallAllowance
from maas.domain.errors import NotFound, RateLimited, TokenExpired, Unauthenticated
from maas.domain.identity import Permission, Role
from maas.domain.paging import Page
from maas.entrypoints.api.application import build_application
from maas.entrypoints.http.access import Gate
from maas.entrypoints.http.app import HttpParts
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.body import BodyStream
from maas.entrypoints.http.client_watch import given_up_with_client
from maas.entrypoints.http.event_stream import event_stream
from maas.entrypoints.http.fields import Boolean, Identifier, Integer, Number, QueryBoolean, Text, Timestamp
from maas.entrypoints.http.paging import ListQuery, paged
from maas.entrypoints.http.readiness import PartCheck, Readiness
from maas.entrypoints.http.request import current_request
from maas.entrypoints.http.schemas import StrictSchema
from maas.entrypoints.http.sign_in import SignIn, current_actor
from maas.entrypoints.websocket.client import SocketClient
from maas.entrypoints.websocket.routes import SocketRoutes

Client = Any
"""Flask's test client; the JSON of its answers is taken to be there."""
ALICE, BOB, ADA = (UUID(int=number) for number in (0xA11CE, 0xB0B, 0xADA))
KNOWN_THING = UUID("01900000-0000-7000-8000-000000000001")
LIMIT = 1000
TOKENS: Mapping[str, Actor] = {
    "alice": Actor(user_id=ALICE),
    "bob": Actor(user_id=BOB),
    "ada": Actor(user_id=ADA, roles=frozenset({Role.USER, Role.ADMIN})),
    "maas_reader": Actor(user_id=ALICE, permissions=frozenset({Permission.MODEL_READ})),
    "maas_nothing": Actor(user_id=ALICE, permissions=frozenset()),
}


@dataclass
class Sessions:
    """Who may sign in, and how many calls are left; tests change both."""

    revoked: set[str] = field(default_factory=set)
    calls_left: int = LIMIT

    def authenticate(self, credential: str) -> Actor:
        if credential == "old":
            raise TokenExpired("the access token has expired")
        if credential in self.revoked or credential not in TOKENS:
            raise Unauthenticated("the access token is not valid")
        return TOKENS[credential]

    def count_call(self, actor: Actor, _address: str) -> CallAllowance | None:
        if actor.is_admin:
            return None
        if self.calls_left <= 0:
            raise RateLimited(retry_after_seconds=17, limit=LIMIT)
        self.calls_left -= 1
        return CallAllowance(limit=LIMIT, remaining=self.calls_left, reset_seconds=60)


class Part(StrictSchema):
    """A nested object."""

    size = Integer(validate=validate.Range(1, 64))


class Thing(StrictSchema):
    """What the toy keeps."""

    id = Identifier(dump_only=True)
    name = Text(required=True, validate=validate.Length(1, 200))
    size = Integer(validate=validate.Range(min=1))
    ratio = Number(validate=validate.Range(0, 1))
    public = Boolean()
    expires_at = Timestamp(allow_none=True)
    parts = fields.List(fields.Nested(Part()))
    metadata = fields.Dict(keys=Text())


class ThingQuery(ListQuery):
    """The toy's list."""

    sorts = (*ListQuery.sorts, "size")
    public = QueryBoolean()


blueprint = Blueprint("things", __name__, url_prefix="/api/v1/things", description="Things.")
openai = Blueprint("openai_things", __name__, url_prefix="/v1/things")
sockets = SocketRoutes()
seen: list[Any] = []
"""What the views were called with."""


def find_thing(thing_id: UUID) -> Mapping[str, Any]:
    if thing_id != KNOWN_THING:
        raise NotFound
    return {"id": thing_id, "name": "known"}


@blueprint.route("", access=Permission.MODEL_READ)
@blueprint.arguments(ThingQuery(), location="query")
@blueprint.response(200, paged("things", Thing()))
def list_things(query: dict[str, Any]) -> Page[Mapping[str, Any]]:
    seen.append(query)
    page = query["page"]
    return Page(items=[find_thing(KNOWN_THING)], number=page.number, limit=page.limit, total=41)


@blueprint.route("", methods=["POST"], access=Permission.MODEL_CREATE)
@blueprint.arguments(Thing())
@blueprint.response(201, Thing(), location="/api/v1/things/{id}")
def create_thing(body: dict[str, Any]) -> Mapping[str, Any]:
    seen.append(body)
    return {"id": KNOWN_THING, **body}


@blueprint.route("/<uuid:thing_id>", access=Permission.MODEL_READ)
@blueprint.response(200, Thing())
def get_thing(thing_id: UUID) -> Mapping[str, Any]:
    return find_thing(thing_id)


@blueprint.route("/<uuid:thing_id>", methods=["PUT"], access=Permission.MODEL_UPDATE, locate=find_thing)
@blueprint.arguments(Thing(partial=True))
@blueprint.response(200, Thing())
def change_thing(body: dict[str, Any], thing_id: UUID) -> Mapping[str, Any]:
    return {**find_thing(thing_id), **body}


@blueprint.route("/<uuid:thing_id>", methods=["DELETE"], access=Permission.MODEL_DELETE)
@blueprint.response(200)
def delete_thing(thing_id: UUID) -> None:
    find_thing(thing_id)


@blueprint.route("/<uuid:thing_id>/restart", methods=["POST"], access=Permission.MODEL_UPDATE)
@blueprint.arguments(Part(), required=False)
@blueprint.response(200)
def restart_thing(body: dict[str, Any], thing_id: UUID) -> dict[str, Any]:
    return {"given": body, "id": str(thing_id)}


@blueprint.route("/mine", access=Gate.PERSON)
@blueprint.response(200)
def mine() -> dict[str, str]:
    return {"user_id": str(current_actor().user_id)}


@blueprint.route("/all", access=Gate.ADMIN)
@blueprint.response(200)
def everything() -> dict[str, str]:
    return {}


@blueprint.route("/bug", access=Gate.PUBLIC)
@blueprint.response(200)
def bug() -> None:
    raise RuntimeError("secret: /etc/passwd")


@blueprint.route("/raise/<name>", access=Gate.PUBLIC)
@blueprint.response(200)
def fail(name: str) -> None:
    raise FAILURES[name]()


@blueprint.route("/raw", methods=["PUT"], access=Permission.MODEL_CREATE)
@blueprint.response(200)
def raw() -> dict[str, int]:
    stream = BodyStream(current_request())
    return {"bytes": sum(len(chunk) for chunk in stream)}


FAILURES: dict[str, Callable[[], Exception]] = {}


@blueprint.route("/stream/<int:count>/<int:milliseconds>", access=Permission.MODEL_READ)
@blueprint.response(200)
def stream(count: int, milliseconds: int) -> Response:
    return event_stream(chunks(count, milliseconds))


@openai.route("/stream/<int:count>/<int:milliseconds>", access=Permission.MODEL_READ)
@openai.response(200, enveloped=False)
def openai_stream(count: int, milliseconds: int) -> Response:
    return event_stream(chunks(count, milliseconds))


def chunks(count: int, milliseconds: int) -> Iterator[dict[str, Any] | None]:
    """`count` chunks; 999 fails after the third. Silence is told every 0.2 s."""
    try:
        for number in range(count):
            if count == 999 and number == 3:
                raise RuntimeError("the engine broke")
            yield from ticks(milliseconds / 1000)
            yield {"number": number}
    finally:
        print("source closed", flush=True)


def ticks(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(0.2, left))
        if left > 0.2:
            yield None


@blueprint.route("/wait", access=Permission.MODEL_READ)
@blueprint.response(200)
def wait() -> dict[str, bool]:
    gone = threading.Event()
    with given_up_with_client(gone.set):
        given_up = gone.wait(10)
    print(f"given up: {given_up}", flush=True)
    return {"given_up": given_up}


@sockets.route("/things/<uuid:thing_id>/echo", access=Permission.MODEL_READ)
def echo(client: SocketClient, thing_id: UUID) -> None:
    find_thing(thing_id)
    while client.is_open:
        message = client.receive(1.0)
        if message is None:
            continue
        if message.get("flood"):
            for _ in range(200):
                client.send({"flood": "x" * 100_000})
        if message.get("end"):
            return
        client.send({"echo": message})


def make_app(sessions: Sessions | None = None, checks: Mapping[str, PartCheck] | None = None, **options: Any) -> Flask:
    """Return the toy's application."""
    sessions = sessions or Sessions()
    sign_in = SignIn(authenticate=sessions.authenticate, count_call=sessions.count_call)
    parts = HttpParts(sign_in=sign_in, readiness=Readiness(checks or {}), **options)
    app = build_application(parts, [blueprint, openai], [sockets])
    app.extensions["toy"] = sessions
    return app


def main(arguments: list[str]) -> None:
    """Serve the toy at an inherited listening socket, for tests with the real server."""
    from maas.entrypoints.api.server import ServerOptions, run_api
    from maas.entrypoints.logs import configure_logs

    configure_logs()
    listen_fd, threads = int(arguments[0]), int(arguments[1])
    certificate, key = (arguments[2], arguments[3]) if len(arguments) > 2 else (None, None)
    options = ServerOptions(listen_fd=listen_fd, threads=threads, tls_certificate=certificate, tls_key=key)  # type: ignore[arg-type]
    run_api(lambda: make_app(most_streams=8), options)


if __name__ == "__main__":
    main(sys.argv[1:])
