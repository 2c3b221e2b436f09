"""What a caller may set about an answer, each value with its range."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from maas.domain.errors import Invalid, OutOfRange, Problem

MOST_STOPS = 16
LONGEST_STOP = 200
MOST_TOP_LOGPROBS = 20
MOST_TOKENS = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class GenerationParameters:
    """How to go on from a prompt; None leaves a value to the model.

    `temperature` 0 takes the likeliest token. `max_tokens` None means all that the context leaves.
    `stop` are texts at which the answer ends, without them. `logprobs` asks for the log-probability of each token,
    `top_logprobs` for those of so many of the likeliest ones.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    stream: bool = False

    @classmethod
    def merged(
        cls, defaults: Mapping[str, Any], given: Mapping[str, Any], *, prefix: str = "parameters"
    ) -> "GenerationParameters":
        """Make parameters of a request's own and a deployment's defaults; raise Invalid for what lies outside its range."""
        values = {**defaults, **{name: value for name, value in given.items() if value is not None}}
        if "stop" in values:
            values["stop"] = _stops(values["stop"])
        made = cls(**values)
        problems = list(made.problems(prefix))
        if problems:
            raise Invalid("some parameters are out of range", problems=problems)
        return made

    def problems(self, prefix: str) -> Iterator[Problem]:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                yield _outside(_path(prefix, name), least, most)
        if len(self.stop) > MOST_STOPS:
            yield _problem(_path(prefix, "stop"), "at most {limit} stop strings", limit=MOST_STOPS)
        if any(not 1 <= len(text) <= LONGEST_STOP for text in self.stop):
            yield _problem(_path(prefix, "stop"), "a stop string has 1 to {limit} characters", limit=LONGEST_STOP)

    def check_context(self, context_length: int | None, *, field: str = "parameters.max_tokens") -> None:
        """Raise OutOfRange where more tokens are asked for than the model has room for at all."""
        if context_length is not None and self.max_tokens is not None and self.max_tokens > context_length:
            raise OutOfRange("the model's context is {context} tokens", field=field, context=context_length)


RANGES: Mapping[str, tuple[float, float]] = {
    "max_tokens": (1, MOST_TOKENS),
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, 1_000_000),
    "seed": (0, 2**63 - 1),
    "repetition_penalty": (0.01, 10),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, MOST_TOP_LOGPROBS),
}
NAMES = tuple(field.name for field in fields(GenerationParameters))


def checked_defaults(values: Mapping[str, Any], *, prefix: str = "config.inference_config") -> dict[str, Any]:
    """Return a deployment's defaults, or raise Invalid for what lies outside its range."""
    given = {name: value for name, value in values.items() if value is not None}
    if "stop" in given:
        given["stop"] = list(_stops(given["stop"]))
    GenerationParameters.merged({}, given, prefix=prefix)
    return given


def _stops(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)  # type: ignore[arg-type] # the schema takes nothing else


def _path(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _outside(field: str, least: float, most: float) -> Problem:
    return _problem(field, "must be from {least} to {most}", least=f"{least:g}", most=f"{most:,.12g}".replace(",", ""))


def _problem(field: str, template: str, **values: object) -> Problem:
    return Problem(field=field, template=template, code="VALIDATION_003", values=values)
