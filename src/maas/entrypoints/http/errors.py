"""Which answer each error becomes."""

import math
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

import structlog
from flask import Flask, Response
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from maas.domain import errors as domain
from maas.domain.errors import MaasError
from maas.entrypoints.http.envelope import failure
from maas.entrypoints.http.request import current_request
from maas.entrypoints.http.sign_in import refused_allowance

log = structlog.get_logger(__name__)

STATUSES: Mapping[type[MaasError], int] = {
    MaasError: 500,
    domain.Unauthenticated: 401,
    domain.TokenExpired: 401,
    domain.ApiKeyInvalid: 401,
    domain.CredentialsWrong: 401,
    domain.Forbidden: 403,
    domain.NotFound: 404,
    domain.AlreadyExists: 409,
    domain.Conflict: 409,
    domain.QuotaExceeded: 429,
    domain.Invalid: 422,
    domain.MissingValue: 422,
    domain.WrongForm: 422,
    domain.OutOfRange: 422,
    domain.UnsupportedFile: 422,
    domain.Malformed: 400,
    domain.TooLarge: 413,
    domain.UnsupportedContentType: 415,
    domain.LengthRequired: 411,
    domain.PreconditionFailed: 412,
    domain.RangeNotSatisfiable: 416,
    domain.RateLimited: 429,
    domain.ModelUnavailable: 503,
    domain.ModelUnsuitable: 422,
    domain.InferenceFailed: 502,
    domain.InferenceUnavailable: 503,
    domain.InferenceTimeout: 504,
    domain.EngineLost: 502,
    domain.JobImpossible: 422,
    domain.PlatformUnavailable: 503,
    domain.StorageFull: 507,
}
"""Every error of the platform has its status here (a test says so); its code it carries itself."""

STATUS_AND_CODE: Mapping[type[MaasError], tuple[int, str]] = {kind: (status, kind.code) for kind, status in STATUSES.items()}


class MethodNotAllowed(MaasError):
    """The path exists, the method does not (status 405)."""

    code = "RESOURCE_001"


class AddressTooLong(MaasError):
    """The address is longer than the platform takes (status 414)."""

    code = "VALIDATION_002"


class HeadersTooLarge(MaasError):
    """The header fields are larger than the platform takes (status 431)."""

    code = "VALIDATION_003"


def _internal() -> MaasError:
    return MaasError("something went wrong inside the platform; the request id finds it in the log")


def _unavailable() -> domain.PlatformUnavailable:
    return domain.PlatformUnavailable("the platform cannot answer now; try again in a moment")


def status_of(error: MaasError) -> int:
    """Return the HTTP status of `error`, or of its nearest ancestor that has one."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def answer_error(error: MaasError, status: int | None = None) -> Response:
    """Return the answer that `error` becomes."""
    status = status or status_of(error)
    if isinstance(error, domain.RateLimited):
        # The headers tell of the limit that refused.
        current_request().allowance = refused_allowance(error)
    response = failure(error, status)
    response.headers.extend(_error_headers(error, status))
    return response


def register_error_handlers(app: Flask) -> None:
    """Give every error of `app` its answer, unknown ones included."""
    app.register_error_handler(MaasError, answer_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(ParseException, _answer_broken_body)
    app.register_error_handler(OperationalError, _answer_database_gone)
    app.register_error_handler(PoolTimeout, _answer_database_gone)
    app.register_error_handler(Exception, _answer_unknown)


def as_maas_error(error: Exception) -> MaasError:
    """Return `error` as one of ours, for streams and sockets, where a status can no longer be told; unknown ones are logged."""
    if isinstance(error, MaasError):
        return error
    if isinstance(error, (OperationalError, PoolTimeout)):
        log.error("the database cannot be reached", exc_info=error)
        return _unavailable()
    log.error("unexpected error", exc_info=error)
    return _internal()


def _error_headers(error: MaasError, status: int) -> Iterable[tuple[str, str]]:
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        yield "Retry-After", str(min(3600, max(1, math.ceil(retry_after))))
    if status == HTTPStatus.UNAUTHORIZED:
        yield "WWW-Authenticate", 'Bearer realm="maas"'
    if isinstance(error, domain.RangeNotSatisfiable):
        yield "Content-Range", f"bytes */{error.size}"


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(status=status, headers=[("Location", getattr(error, "new_url", "/"))])
    response = answer_error(_of_status(status), status)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _of_status(status: int) -> MaasError:
    """Return our error for a status that Werkzeug raised."""
    make = _OF_STATUS.get(status)
    if make is not None:
        return make()
    return _internal() if status >= 500 else domain.Malformed("the request cannot be read")


_OF_STATUS: Mapping[int, Callable[[], MaasError]] = {
    401: lambda: domain.Unauthenticated("sign in first: the request carries no credential"),
    403: lambda: domain.Forbidden("this is not allowed"),
    404: domain.NotFound,
    405: lambda: MethodNotAllowed("this address does not take that method"),
    411: lambda: domain.LengthRequired("the request must declare the length of its body"),
    412: lambda: domain.PreconditionFailed("a condition of the request does not hold"),
    413: lambda: domain.TooLarge("the body is larger than allowed"),
    414: lambda: AddressTooLong("the address is too long"),
    415: lambda: domain.UnsupportedContentType("this content type is not taken"),
    416: lambda: domain.RangeNotSatisfiable(size=0),
    431: lambda: HeadersTooLarge("the header fields are too large"),
    503: _unavailable,
    507: lambda: domain.StorageFull("there is no room on the disk"),
}


def _answer_broken_body(_error: ParseException) -> Response:
    return answer_error(domain.Malformed("the body of the request broke off or is not well-formed"))


def _answer_database_gone(error: Exception) -> Response:
    return answer_error(as_maas_error(error))


def _answer_unknown(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error, path=current_request().path)
    return answer_error(_internal())
