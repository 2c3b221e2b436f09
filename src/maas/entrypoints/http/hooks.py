"""What happens around every call: admission, headers, the access log, and the measures."""

import time

import structlog
from flask import Flask, Response
from werkzeug.datastructures import Headers

from maas.entrypoints.http.blueprint import ROUTE_RULES
from maas.entrypoints.http.measures import Measures
from maas.entrypoints.http.request import PlatformRequest, current_request
from maas.entrypoints.http.sign_in import UNCOUNTED, SignIn, tell_allowance

log = structlog.get_logger("maas.access")


def register_hooks(app: Flask, sign_in: SignIn, measures: Measures) -> None:
    """Put the platform's hooks around the calls of `app`."""
    rules_of = app.extensions.setdefault(ROUTE_RULES, {})

    @app.before_request
    def admit() -> None:
        request = current_request()
        request.started_at = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        request.rules = rules_of.get(request.endpoint)
        sign_in.admit(request)

    @app.after_request
    def finish(response: Response) -> Response:
        request = current_request()
        _add_headers(request, response.headers)
        seconds = time.perf_counter() - request.started_at
        route = request.url_rule.rule if request.url_rule else "(none)"
        measures.count(request.method, route, response.status_code, seconds)
        sign_in.answered(request)
        if request.path not in UNCOUNTED:
            log.info(
                "call",
                method=request.method,
                path=request.path[:500],
                status=response.status_code,
                milliseconds=round(seconds * 1000, 2),
                user_id=str(request.actor.user_id) if request.actor else None,
            )
        return response


def _add_headers(request: PlatformRequest, headers: Headers) -> None:
    headers.add("X-Request-ID", request.request_id)
    headers.add("X-Content-Type-Options", "nosniff")
    if "Cache-Control" not in headers:
        headers.add("Cache-Control", "no-store")
    if request.allowance is not None:
        tell_allowance(request.allowance, headers)
