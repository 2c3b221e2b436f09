"""Item `adapters`: adapters mixed in one batch, and what a newcomer waits and costs the others."""

import time
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from statistics import mean, median
from typing import Any

from maas.entrypoints.cli.bench.bench import Bench, Models
from maas.entrypoints.cli.bench.engines import Stream, completion, draw, draw_one, drawing, gaps, running_engine
from maas.entrypoints.cli.bench.figures import Figure, Goal

_PRECISIONS = {"float32": ("fp32", 1.2), "bfloat16": ("bf16", 1.5)}
_STREAMS = 16
_NEWCOMERS = 3
_STEPS_BETWEEN = 6
_UNIT = "ms"


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both in both precisions."""
    models = bench.models()
    for dtype, (name, most) in _PRECISIONS.items():
        loaded = [{"name": folder.name, "path": str(folder)} for folder in models.adapters]
        with running_engine(bench, models.decoder, dtype=dtype) as bare:
            with running_engine(bench, models.decoder, dtype=dtype, adapters=loaded) as mixed:
                yield _steps(bench, models, (bare, mixed), name, most)
            for kind, prompt in (("short", models.tokens()[7]), ("long", models.long_tokens)):
                yield from _newcomers(bench, models, bare, f"{kind} prompt, {name}", prompt)


def _steps(bench: Bench, models: Models, ports: tuple[int, int], name: str, most: float) -> Figure:
    tokens = 64
    bodies = [completion(prompt, tokens=tokens) for prompt in models.tokens()]
    with_adapters = [
        completion(prompt, tokens=tokens, model=models.adapters[place % len(models.adapters)].name)
        for place, prompt in enumerate(models.tokens())
    ]
    pairs: list[tuple[float, float | None]] = []
    for repetition in range(len(bench.repetitions(5)) + 1):
        bench.say(f"adapters, {name}: repetition {repetition}")
        theirs, mine = _step_ms(draw(ports[0], bodies)), _step_ms(draw(ports[1], with_adapters))
        if repetition:
            pairs.append((mine, theirs))
    title = f"step at {_STREAMS} streams, {len(models.adapters)} adapters, {name}"
    return Figure(name=title, unit=_UNIT, pairs=pairs, reference="the bare base", goal=Goal(at_most=most))


def _step_ms(streams: Sequence[Stream]) -> float:
    """Return the mean time between tokens while all streams run, of the usual stream."""
    since = max(stream.arrivals[0] for stream in streams)
    until = min(stream.arrivals[-1] for stream in streams)
    together = [gaps(stream.arrivals, since=since, until=until) for stream in streams]
    # A tiny model's first stream may end before the last one begins: then each one's own time must do.
    paces = [mean(some) for some in together if some] or [mean(gaps(one.arrivals, since=0.0, until=inf)) for one in streams]
    return 1000 * median(paces)


def _newcomers(bench: Bench, models: Models, port: int, name: str, prompt: Sequence[int]) -> Iterator[Figure]:
    """Measure a newcomer's first token beside 15 streams, and the longest pause that it brings them."""
    # A tiny model's steps are so short that the others need many to be still there when the newcomer has come.
    others = [completion(tokens, tokens=400 if bench.quick else 160) for tokens in models.tokens()[: _STREAMS - 1]]
    newcomer = completion(prompt, tokens=1)
    first_tokens: list[tuple[float, float | None]] = []
    pauses: list[tuple[float, float | None]] = []
    for repetition in bench.repetitions(3):
        bench.say(f"newcomer with a {name}: repetition {repetition + 1}")
        alone = median(draw_one(port, newcomer).first_token_seconds for _ in range(_NEWCOMERS + 1))
        for wait, pause in _beside(port, others, newcomer, 1 if bench.quick else _NEWCOMERS):
            first_tokens.append((1000 * wait, 1000 * alone))
            pauses.append((1000 * pause, 1000 * alone))
    options = {"unit": _UNIT, "reference": "its prefill alone", "goal": Goal(at_most=2.0)}
    note = f"{len(prompt)} tokens"
    yield Figure(name=f"newcomer's first token, {name}", pairs=first_tokens, note=note, **options)  # type: ignore[arg-type]
    yield Figure(name=f"longest pause of the others, {name}", pairs=pauses, note=note, **options)  # type: ignore[arg-type]


def _beside(
    port: int, others: Sequence[Mapping[str, Any]], newcomer: Mapping[str, Any], newcomers: int
) -> list[tuple[float, float]]:
    """Return (seconds to the first token, longest pause of the others) of newcomers, one after the other."""
    seen: list[tuple[Stream, float]] = []
    with drawing(port, others) as arrivals:
        for _ in range(newcomers):
            _wait_for_steps(arrivals)
            stream = draw_one(port, newcomer)
            _wait_for_steps(arrivals)
            seen.append((stream, time.perf_counter()))
    return [
        (stream.first_token_seconds, max(gap for one in arrivals for gap in gaps(one, since=stream.asked_at - 0.2, until=until)))
        for stream, until in seen
    ]


def _wait_for_steps(arrivals: Sequence[Sequence[float]]) -> None:
    """Wait until all streams have had some tokens more."""
    until = [len(one) + _STEPS_BETWEEN for one in arrivals]
    deadline = time.monotonic() + 60
    while any(len(one) < least for one, least in zip(arrivals, until, strict=True)) and time.monotonic() < deadline:
        time.sleep(0.001)
