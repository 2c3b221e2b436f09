"""The Flask application."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any
from uuid import UUID

import flask_smorest
import orjson
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Request, Response
from flask.json.provider import JSONProvider
from flask.sessions import NullSession, SessionInterface, SessionMixin
from marshmallow import Schema, fields
from werkzeug.routing import BaseConverter

from maas.application.idempotency import Idempotency
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.draining import Draining
from maas.entrypoints.http.errors import register_error_handlers
from maas.entrypoints.http.event_stream import STREAMING, Streaming, StreamSlots
from maas.entrypoints.http.fields import Text
from maas.entrypoints.http.hooks import register_hooks
from maas.entrypoints.http.idempotency import IDEMPOTENCY, IdempotentAnswers
from maas.entrypoints.http.measures import Measures
from maas.entrypoints.http.readiness import Readiness
from maas.entrypoints.http.request import PlatformRequest
from maas.entrypoints.http.schemas import StrictSchema
from maas.entrypoints.http.sign_in import SignIn
from maas.entrypoints.http.system import register_system_routes

NOBODY = UUID(int=0)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class HttpParts:
    """What the application is made of besides its routes."""

    sign_in: SignIn
    readiness: Readiness
    idempotency: Idempotency | None = None
    draining: Draining = field(default_factory=Draining)
    most_streams: int = 400
    """At once, in this process; with the WebSockets fewer than the server's threads, so that other calls are still answered."""


def build_app(parts: HttpParts, blueprints: Iterable[Blueprint]) -> Flask:
    """Return the application with these parts and routes."""
    app = _LeanFlask("maas", static_folder=None)
    app.request_class = PlatformRequest
    app.json = _OrjsonProvider(app)
    app.url_map.merge_slashes = False
    app.url_map.converters["uuid"] = _IdentifierConverter
    app.config.update(_SETTINGS)
    app.extensions[STREAMING] = Streaming(slots=StreamSlots(parts.most_streams), draining=parts.draining, sign_in=parts.sign_in)
    if parts.idempotency is not None:
        app.extensions[IDEMPOTENCY] = IdempotentAnswers(parts.idempotency)
    measures = Measures()
    api = _Api(app, spec_kwargs={"marshmallow_plugin": MarshmallowPlugin(schema_name_resolver=_schema_name)})
    register_error_handlers(app)
    register_hooks(app, parts.sign_in, measures)
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    register_system_routes(app, api, measures, parts.readiness)
    return app


class _NoSessions(SessionInterface):
    """Nothing is kept in cookies."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep nothing."""


class _LeanFlask(Flask):
    """Flask without coroutines, for which it would look at every view and hook, and without sessions."""

    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


_SETTINGS = {
    "API_TITLE": "maas",
    "API_VERSION": "v1",
    "OPENAPI_VERSION": "3.0.3",
    "PROVIDE_AUTOMATIC_OPTIONS": False,
    "API_SPEC_OPTIONS": {
        "info": {"description": f"Model as a Service on your own machines, release {version('maas')}."},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token, or an API key."},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        },
    },
}


class ProblemSchema(StrictSchema):
    """One thing that is wrong."""

    field = Text()
    code = Text()
    message = Text()
    line = fields.Integer()


class ErrorSchema(StrictSchema):
    """What went wrong."""

    code = Text(metadata={"description": "A code of section 11."})
    type = Text(metadata={"description": "The family of the code."})
    message = Text()
    details = fields.List(fields.Nested(ProblemSchema()))


class ErrorEnvelope(StrictSchema):
    """The envelope of an error."""

    success = fields.Boolean(metadata={"enum": [False]})
    error = fields.Nested(ErrorSchema())
    data = fields.Raw(allow_none=True)
    message = Text()
    code = fields.Integer(metadata={"description": "The HTTP status."})
    timestamp = fields.AwareDateTime()
    request_id = Text()


class _Api(flask_smorest.Api):  # type: ignore[misc] # flask-smorest is untyped
    ERROR_SCHEMA = ErrorEnvelope

    def _register_error_handlers(self) -> None:
        """Leave errors to our own handlers."""


def _schema_name(schema: Schema | type[Schema]) -> str:
    """Name a schema in the API document; one with only some of its fields, or none required, is another than its class."""
    if isinstance(schema, type):
        return schema.__name__
    kept = "".join(sorted(name.title() for name in schema.only or ()))
    dropped = "".join(sorted(name.title() for name in schema.exclude))
    suffixes = ("Change" if schema.partial else "", f"Only{kept}" if kept else "", f"Without{dropped}" if dropped else "")
    return type(schema).__name__ + "".join(suffixes)


class _OrjsonProvider(JSONProvider):
    """Flask's JSON by orjson."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        return orjson.loads(s)


class _IdentifierConverter(BaseConverter):
    """An id in a path. What is no UUID becomes the id of nothing, so that a malformed id and an unknown one are told alike."""

    def to_python(self, value: str) -> UUID:
        return UUID(value) if _UUID.fullmatch(value) else NOBODY

    def to_url(self, value: UUID) -> str:
        return str(value)
