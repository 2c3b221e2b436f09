"""Who calls: the credential of a request becomes an actor, and the call is counted."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from werkzeug.datastructures import Headers

from maas.application.actor import Actor
from maas.application.usage.limits import CallAllowance
from maas.domain.errors import RateLimited, Unauthenticated
from maas.entrypoints.http.access import Gate, check_access
from maas.entrypoints.http.client_address import TrustedProxies
from maas.entrypoints.http.request import PlatformRequest, current_request

UNCOUNTED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What probes ask every other second."""


def _count_nothing(_whom: object) -> None:
    """Leave it uncounted."""


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """How callers are known and counted.

    `authenticate` turns a token or key into an actor, or raises Unauthenticated.
    `count_call` counts one call of a person from a network address, or raises RateLimited; None for those without a limit.
    `record_call` writes down that a counted call is answered.
    `count_address` counts one call of somebody unknown from a network address, or raises RateLimited.
    """

    authenticate: Callable[[str], Actor]
    count_call: Callable[[Actor, str], CallAllowance | None]
    record_call: Callable[[Actor], None] = _count_nothing
    count_address: Callable[[str], None] = _count_nothing
    proxies: TrustedProxies = field(default_factory=TrustedProxies)

    def admit(self, request: PlatformRequest) -> None:
        """Check, in this order: sign-in, calls per hour, permission. Nothing of the body is read."""
        access = request.rules.access if request.rules else None
        request.client_address = self.proxies.client_of(request.remote_addr or "", request.environ.get("HTTP_X_FORWARDED_FOR"))
        if access is Gate.PUBLIC or (access is None and not _carries_credential(request)):
            if request.path not in UNCOUNTED:
                self.count_address(request.client_address)
            return
        request.actor = self._known(request)
        request.allowance = self.count_call(request.actor, request.client_address)
        request.is_counted = True
        if access is not None:
            check_access(access, request.actor)

    def _known(self, request: PlatformRequest) -> Actor:
        try:
            return self.authenticate(credential_of(request.headers))
        except Unauthenticated:
            self.count_address(request.client_address)
            raise

    def answered(self, request: PlatformRequest) -> None:
        """Take note that a call is answered: the last thing before the answer goes out."""
        if request.actor is not None and request.is_counted:
            self.record_call(request.actor)


def current_actor() -> Actor:
    """Return the caller; only routes that ask for sign-in have one."""
    actor = current_request().actor
    if actor is None:
        raise Unauthenticated("sign in first: the request carries no credential")
    return actor


def credential_of(headers: Headers) -> str:
    """Return the token or key of `Authorization: Bearer …` or `X-API-Key`, or raise Unauthenticated."""
    authorization = headers.get("Authorization")
    if authorization is None:
        key = headers.get("X-API-Key")
        if not key:
            raise Unauthenticated("sign in first: the request carries no credential")
        return key
    return bearer_token(authorization)


def bearer_token(authorization: str) -> str:
    """Return the token of `Bearer <token>` (RFC 6750), or raise Unauthenticated."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token or token != token.strip() or not token.isascii():
        raise Unauthenticated("the credential must be written as: Bearer <token>")
    return token


def tell_allowance(allowance: CallAllowance, headers: Headers) -> None:
    """Tell a signed-in caller what is left of their hour."""
    headers.add("X-RateLimit-Limit", str(allowance.limit))
    headers.add("X-RateLimit-Remaining", str(allowance.remaining))
    headers.add("X-RateLimit-Reset", str(math.ceil(time.time() + allowance.reset_seconds)))


def refused_allowance(error: RateLimited) -> CallAllowance:
    """Return the allowance that a refusal tells of."""
    return CallAllowance(limit=error.limit, remaining=0, reset_seconds=error.retry_after_seconds)


def _carries_credential(request: PlatformRequest) -> bool:
    return "Authorization" in request.headers or "X-API-Key" in request.headers
