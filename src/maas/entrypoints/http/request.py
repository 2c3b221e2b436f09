"""The request as the platform sees it: its id, its language, its caller."""

import re
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, cast

from flask import Request, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from maas.application.actor import Actor
from maas.application.usage.limits import CallAllowance
from maas.domain.identifiers import new_id

if TYPE_CHECKING:
    from maas.entrypoints.http.access import RouteRules
    from maas.entrypoints.http.body_fingerprint import BodyFingerprint

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
CHINESE, ENGLISH = "zh", "en"


class PlatformRequest(Request):
    """A Flask request with what the platform's hooks learn about it."""

    actor: Actor | None = None
    allowance: CallAllowance | None = None
    rules: "RouteRules | None" = None
    started_at: float = 0.0
    client_address: str = ""
    is_counted: bool = False
    fingerprint: "BodyFingerprint | None" = None

    @cached_property
    def request_id(self) -> str:
        """The caller's X-Request-ID where it is well-formed, else a new one."""
        given = self.headers.get("X-Request-ID", "")
        return given if _REQUEST_ID.fullmatch(given) else str(new_id())

    @cached_property
    def language(self) -> str:
        """The language of messages: Chinese unless the caller prefers English; /v1 is English."""
        if self.speaks_openai:
            return ENGLISH
        return language_of(self.headers.get("Accept-Language"))

    @cached_property
    def blueprints(self) -> list[str]:
        """The names of the route's blueprints, which Flask asks for several times."""
        return super().blueprints

    @property
    def speaks_openai(self) -> bool:
        return self.path.startswith("/v1/") or self.path == "/v1"


def current_request() -> PlatformRequest:
    """Return the request that is being answered: itself, not the proxy, which costs a look-up at each access."""
    return cast("PlatformRequest", request._get_current_object())  # type: ignore[attr-defined] # noqa: SLF001 - its documented use


@lru_cache(maxsize=256)
def language_of(accept_language: str | None) -> str:
    """Return the one of our languages that an Accept-Language header likes best (RFC 9110, 12.5.4)."""
    if not accept_language:
        return CHINESE
    accepted = parse_accept_header(accept_language[:1000], LanguageAccept)
    chinese, english = (_quality(accepted, language) for language in (CHINESE, ENGLISH))
    return ENGLISH if english > chinese else CHINESE


def _quality(accepted: LanguageAccept, language: str) -> float:
    """The best quality of a range that `language` or one of its regions falls in; a named range beats `*`."""
    named = [quality for name, quality in accepted if re.split(r"[-_]", name.lower())[0] == language]
    if named:
        return max(named)
    return max((quality for name, quality in accepted if name == "*"), default=0.0)
