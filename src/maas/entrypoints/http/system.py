"""What operators and developers read: health, readiness, measures, the API document and its page."""

from collections.abc import Callable, Mapping

import orjson
from flask import Flask, Response, send_from_directory
from flask_smorest import Api
from swagger_ui_bundle import swagger_ui_path

from maas.domain.errors import NotFound
from maas.entrypoints.http.access import Gate, RouteRules
from maas.entrypoints.http.blueprint import ROUTE_RULES
from maas.entrypoints.http.envelope import json_response
from maas.entrypoints.http.measures import Measures
from maas.entrypoints.http.readiness import Readiness

_ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-16x16.png", "favicon-32x32.png"})
_PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SCRIPT_TYPE = "text/javascript; charset=utf-8"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>maas API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """"use strict";
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""
# Swagger UI sets styles inline and draws icons from data addresses; scripts come from our own files alone.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def register_system_routes(app: Flask, api: Api, measures: Measures, readiness: Readiness) -> None:
    """Add the routes that need no sign-in and wear no envelope."""
    routes: Mapping[str, tuple[str, Callable[..., Response]]] = {
        "/healthz": ("healthz", _healthz),
        "/readyz": ("readyz", lambda: _readyz(readiness)),
        "/metrics": ("metrics", lambda: Response(measures.text(), content_type=_PROMETHEUS_TYPE)),
        "/openapi.json": ("openapi", _Document(api).answer),
        "/docs": ("docs", lambda: _guarded(Response(_PAGE, content_type="text/html; charset=utf-8"))),
        "/docs/start.js": ("docs_start", lambda: _guarded(Response(_START, content_type=_SCRIPT_TYPE))),
        "/docs/assets/<name>": ("docs_asset", _asset),
    }
    for path, (endpoint, view) in routes.items():
        app.add_url_rule(path, endpoint, view)
        app.extensions[ROUTE_RULES][endpoint] = RouteRules(access=Gate.PUBLIC)


def _healthz() -> Response:
    return json_response({"status": "ok"}, 200)


def _readyz(readiness: Readiness) -> Response:
    report, ready = readiness.report()
    response = json_response(report, 200 if ready else 503)
    if not ready:
        response.headers["Retry-After"] = "5"
    return response


def _asset(name: str) -> Response:
    if name not in _ASSETS:
        raise NotFound
    return _guarded(send_from_directory(str(swagger_ui_path), name, max_age=3600))


class _Document:
    """The API document, written once all routes are known."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._text: bytes | None = None

    def answer(self) -> Response:
        if self._text is None:
            self._text = orjson.dumps(self._api.spec.to_dict(), option=orjson.OPT_NON_STR_KEYS)
        return Response(self._text, content_type="application/json")


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
