"""What can be wrong: with the engine's model, and with one request."""


class EngineUnusable(Exception):
    """The engine cannot serve; the message is a sentence for the model's owner."""


class RequestRefused(Exception):
    """A request that gets an error for an answer. `kind` is TGI's `error_type`."""

    status = 500
    kind = "generation"
    retry_after_seconds: int | None = None


class RequestInvalid(RequestRefused):
    """The request can never succeed as it is."""

    status = 422
    kind = "validation"


class NoSuchRoute(RequestRefused):
    """This engine has no such route."""

    status = 404
    kind = "validation"


class NoSuchMethod(NoSuchRoute):
    """This engine has the route, but not with this method."""

    status = 405


class Overloaded(RequestRefused):
    """There is no room now; `retry_after_seconds` says when there may be."""

    status = 503
    kind = "overloaded"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unhealthy(RequestRefused):
    """The engine does not compute as it should."""

    status = 503
    kind = "unhealthy"


class GenerationFailed(RequestRefused):
    """The engine itself failed in the midst of an answer."""


class ClientLeft(ConnectionError):
    """Nobody waits for the answer any more."""
