"""Which route answers what, and how what goes wrong is answered."""

import json
import logging
from collections.abc import Callable, Mapping

from maas.programs.engine.failures import NoSuchRoute, RequestRefused
from maas.programs.engine.http_server import Answer, EventStream, Request

Route = Callable[[Request], Answer | EventStream]


class Router:
    """Answers requests by method and path; the first of two tables with a route for it wins."""

    def __init__(self, routes: Mapping[tuple[str, str], Route]) -> None:
        self._routes = dict(routes)

    def __call__(self, request: Request) -> Answer | EventStream:
        path = request.path.rstrip("/") or "/"
        try:
            route = self._routes.get((request.method, path))
            if route is None:
                raise NoSuchRoute(f"there is no {request.method[:10]} {path[:100]} here")
            return route(request)
        except RequestRefused as error:
            return refusal(error)
        except ConnectionError:
            raise
        except Exception:
            logging.exception("a request failed")
            return refusal(RequestRefused("the engine failed to answer"))


def refusal(error: RequestRefused) -> Answer:
    """Return TGI's form of an error."""
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    body = json.dumps({"error": str(error), "error_type": error.kind}).encode()
    return Answer(body, error.status, headers=headers)
