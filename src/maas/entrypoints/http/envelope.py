"""The envelopes of answers: ours under /api/v1, OpenAI's under /v1."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response

from maas.domain.errors import MaasError, Problem
from maas.entrypoints.http.messages import translate
from maas.entrypoints.http.request import PlatformRequest, current_request

JSON_TYPE = "application/json"
LONGEST_FIELD = 200
MOST_DETAILS = 100
DEFAULT_MESSAGE = "done"


def utc_timestamp(at: datetime) -> str:
    """Return `at` as RFC 3339 in UTC, ending in Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_response(content: object, status: int) -> Response:
    """Return `content` as JSON, without an envelope."""
    return Response(orjson.dumps(content), status=status, content_type=JSON_TYPE)


def success(data: object, status: int = 200, message: str = DEFAULT_MESSAGE) -> Response:
    """Return `data` in the envelope; `message` is an English sentence of the catalogue."""
    request = current_request()
    envelope = {
        "success": True,
        "data": data,
        "message": translate(message, {}, request.language),
        "code": status,
        "timestamp": utc_timestamp(datetime.now(UTC)),
        "request_id": request.request_id,
    }
    return json_response(envelope, status)


def failure(error: MaasError, status: int) -> Response:
    """Return `error` in the envelope of the API that was called."""
    request = current_request()
    body = openai_error(error, status) if request.speaks_openai else _error_envelope(error, status, request)
    return json_response(body, status)


def error_body(error: MaasError, language: str) -> dict[str, Any]:
    """Return the `error` object of the envelope; streams, batches and sockets use it as well."""
    details = [problem_entry(problem, language) for problem in error.problems[:MOST_DETAILS]]
    return {
        "code": error.code,
        "type": f"{error.code.partition('_')[0]}_ERROR",
        "message": translate(error.template, error.values, language),
        "details": details,
    }


def problem_entry(problem: Problem, language: str) -> dict[str, Any]:
    """Return a problem as an entry of `details`."""
    entry: dict[str, Any] = {
        "field": problem.field[:LONGEST_FIELD],
        "code": problem.code,
        "message": translate(problem.template, problem.values, language),
    }
    if problem.line is not None:
        entry["line"] = problem.line
    return entry


def openai_error(error: MaasError, status: int) -> dict[str, Any]:
    """Return `error` in the shape that OpenAI's clients read."""
    problem = error.problems[0] if error.problems else None
    message = str(error)
    if problem is not None and problem.template != error.template:
        message = f"{error}: {problem.field}: {problem.message}"
    return {
        "error": {
            "message": message,
            "type": _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
            "param": problem.field[:LONGEST_FIELD] if problem else None,
            "code": error.code,
        }
    }


_OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def _error_envelope(error: MaasError, status: int, request: PlatformRequest) -> dict[str, Any]:
    return {
        "success": False,
        "error": error_body(error, request.language),
        "data": None,
        "message": translate(error.template, error.values, request.language),
        "code": status,
        "timestamp": utc_timestamp(datetime.now(UTC)),
        "request_id": request.request_id,
    }
