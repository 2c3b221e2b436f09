"""Which route answers what, and how what goes wrong is answered."""

import json
import logging
from collections.abc import Callable, Mapping

from maas.programs.engine.failures import NoSuchMethod, NoSuchRoute, RequestRefused
from maas.programs.engine.http_server import Answer, EventStream, Request

Route = Callable[[Request], Answer | EventStream]


class Router:
    """Answers requests by method and path."""

    def __init__(self, routes: Mapping[tuple[str, str], Route]) -> None:
        self._routes = dict(routes)
        self._paths = {path for _, path in routes}

    def __call__(self, request: Request) -> Answer | EventStream:
        path = request.path.rstrip("/") or "/"
        try:
            return self._route(request.method, path)(request)
        except RequestRefused as error:
            return refusal(error)
        except ConnectionError:
            raise
        except Exception:
            logging.exception("a request failed")
            return refusal(RequestRefused("the engine failed to answer"))

    def _route(self, method: str, path: str) -> Route:
        route = self._routes.get((method, path))
        if route is not None:
            return route
        kind = NoSuchMethod if path in self._paths else NoSuchRoute
        raise kind(f"there is no {method[:10]} {path[:100]} here")


def refusal(error: RequestRefused) -> Answer:
    """Return TGI's form of an error."""
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    body = json.dumps({"error": str(error), "error_type": error.kind}).encode()
    return Answer(body, error.status, headers=headers)
