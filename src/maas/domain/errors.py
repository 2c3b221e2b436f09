"""The errors that the platform raises, each saying what is the case.

    MaasError
    ├── Unauthenticated ── TokenExpired, ApiKeyInvalid, CredentialsWrong
    ├── Forbidden
    ├── NotFound
    ├── AlreadyExists, Conflict, QuotaExceeded
    ├── Invalid ── MissingValue, WrongForm, OutOfRange, UnsupportedFile
    ├── Malformed, TooLarge, UnsupportedContentType, LengthRequired
    ├── PreconditionFailed, RangeNotSatisfiable
    ├── RateLimited
    ├── ModelUnavailable, ModelUnsuitable
    ├── InferenceFailed ── InferenceUnavailable, InferenceTimeout, EngineLost
    ├── JobImpossible
    └── PlatformUnavailable ── StorageFull

A message is an English format string with its values, so that the entrypoint can say it in another language.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, at `field` (dotted path, or the name of a parameter)."""

    field: str
    template: str
    code: str = "VALIDATION_002"
    values: dict[str, object] = dataclasses.field(default_factory=dict)
    line: int | None = None

    @property
    def message(self) -> str:
        return self.template.format(**self.values)


class MaasError(Exception):
    """Something that the caller should know. `str()` gives the English sentence.

    `template` is a format string filled from `values`; `field` names the part of the input at fault;
    `problems` lists several such parts.
    """

    code = "SYSTEM_001"

    def __init__(self, template: str, /, *, field: str | None = None, problems: Sequence[Problem] = (), **values: object) -> None:
        super().__init__(template, values)
        self.template = template
        self.values = values
        self.problems = tuple(problems)
        if field is not None:
            self.problems = (Problem(field=field, template=template, code=self.code, values=values), *self.problems)

    def __str__(self) -> str:
        return self.template.format(**self.values)


class Unauthenticated(MaasError):
    """No credential, or one that is malformed, forged or revoked."""

    code = "AUTH_001"


class TokenExpired(Unauthenticated):
    """The access token was good once."""

    code = "AUTH_002"


class ApiKeyInvalid(Unauthenticated):
    """The API key is unknown, revoked or expired."""

    code = "AUTH_004"


class CredentialsWrong(Unauthenticated):
    """E-mail or password is wrong; which of them is not said."""

    code = "AUTH_005"


class Forbidden(MaasError):
    """Known caller, action not allowed."""

    code = "AUTH_003"


class NotFound(MaasError):
    """Missing, or hidden from this caller: the two cannot be told apart."""

    code = "RESOURCE_001"

    def __init__(
        self,
        template: str = "there is no such thing, or it is not visible to you",
        /,
        *,
        field: str | None = None,
        problems: Sequence[Problem] = (),
        **values: object,
    ) -> None:
        super().__init__(template, field=field, problems=problems, **values)


class AlreadyExists(MaasError):
    """A name, e-mail, version or key is taken."""

    code = "RESOURCE_002"


class Conflict(MaasError):
    """The thing is in use, or its state does not allow this."""

    code = "RESOURCE_003"


class QuotaExceeded(MaasError):
    """A quota or a limit on concurrency is reached."""

    code = "RESOURCE_004"


class Invalid(MaasError):
    """Well-formed input with wrong content; its code is that of its first problem."""

    code = "VALIDATION_002"

    def __init__(self, template: str, /, *, field: str | None = None, problems: Sequence[Problem] = (), **values: object) -> None:
        super().__init__(template, field=field, problems=problems, **values)
        if field is None and self.problems:
            self.code = self.problems[0].code


class MissingValue(Invalid):
    """A required value is absent."""

    code = "VALIDATION_001"


class WrongForm(Invalid):
    """A value has the wrong type or form."""

    code = "VALIDATION_002"


class OutOfRange(Invalid):
    """A value lies outside its range."""

    code = "VALIDATION_003"


class UnsupportedFile(Invalid):
    """A file's format is not supported, it is corrupt, or not what its name says."""

    code = "VALIDATION_004"


class Malformed(MaasError):
    """The request cannot be read at all (status 400)."""

    code = "VALIDATION_002"


class TooLarge(MaasError):
    """A body or a part of it is larger than allowed (status 413)."""

    code = "VALIDATION_003"


class UnsupportedContentType(MaasError):
    """The content type or encoding is not taken (status 415)."""

    code = "VALIDATION_004"


class LengthRequired(MaasError):
    """The request must declare its length (status 411)."""

    code = "VALIDATION_002"


class PreconditionFailed(MaasError):
    """A condition that the request states does not hold (status 412)."""

    code = "RESOURCE_003"


class RangeNotSatisfiable(MaasError):
    """The range asked for lies outside the thing (status 416). `size` is its length in bytes."""

    code = "VALIDATION_003"

    def __init__(self, *, size: int) -> None:
        super().__init__("the range lies outside the file of {size} bytes", field="Range", size=size)
        self.size = size


class RateLimited(MaasError):
    """Too many calls; `retry_after_seconds` says when the next is taken."""

    code = "RATE_001"

    def __init__(
        self,
        template: str = "too many calls: try again in {retry_after_seconds} seconds",
        /,
        *,
        retry_after_seconds: int,
        limit: int,
        field: str | None = None,
    ) -> None:
        super().__init__(template, field=field, retry_after_seconds=retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit


class ModelUnavailable(MaasError):
    """The model could not be loaded."""

    code = "MODEL_001"


class ModelUnsuitable(MaasError):
    """The model cannot do this."""

    code = "MODEL_002"


class InferenceFailed(MaasError):
    """The engine failed while answering (status 502)."""

    code = "INFERENCE_001"


class InferenceUnavailable(InferenceFailed):
    """No engine is ready, or all are full (status 503)."""

    retry_after_seconds: int

    def __init__(self, template: str, /, *, retry_after_seconds: int = 5, field: str | None = None, **values: object) -> None:
        super().__init__(template, field=field, problems=(), **values)
        self.retry_after_seconds = retry_after_seconds


class InferenceTimeout(InferenceFailed):
    """The engine took too long (status 504)."""


class EngineLost(InferenceFailed):
    """The engine went away while it answered (status 502)."""


class JobImpossible(MaasError):
    """A fine-tuning job cannot be made from these model, data and parameters."""

    code = "FINETUNE_001"


class PlatformUnavailable(MaasError):
    """The platform cannot answer now: draining, database or storage out of reach (status 503)."""

    code = "SYSTEM_002"
    retry_after_seconds: int

    def __init__(self, template: str, /, *, retry_after_seconds: int = 5, field: str | None = None, **values: object) -> None:
        super().__init__(template, field=field, problems=(), **values)
        self.retry_after_seconds = retry_after_seconds


class StorageFull(PlatformUnavailable):
    """The disk has no room for this (status 507)."""
