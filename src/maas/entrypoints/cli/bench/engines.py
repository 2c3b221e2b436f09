"""Engines of the bench: the platform's own engine process, and the streams that clients draw from it by HTTP."""

import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.children import BenchFailed

_BACKLOG = 512
_TIMEOUT_SECONDS = 600
_MOST_BYTES = 65536
_EVENT_END = b"\n\n"


@dataclass(frozen=True)
class Stream:
    """What a client saw: when it asked, when each token came, and how many tokens it was charged for."""

    asked_at: float
    arrivals: Sequence[float]
    tokens: int
    token_ids: Sequence[int]

    @property
    def first_token_seconds(self) -> float:
        return self.arrivals[0] - self.asked_at


@contextmanager
def running_engine(bench: Bench, model: Path, **spec: Any) -> Iterator[int]:
    """Run the platform's engine on a model; yield its port."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    values = {"model_dir": str(model), "socket_fd": listening.fileno(), "task": "text-generation", **spec}
    with listening, bench.child("maas.programs.engine", values, inherited=[listening.fileno()]) as engine:
        engine.wait_for("ready")
        yield int(listening.getsockname()[1])


def completion(prompt: Sequence[int] | str, *, tokens: int, model: str | None = None) -> dict[str, Any]:
    """Return the body that asks for a greedy stream, an event a token."""
    body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
    options = {"stream_options": {"include_usage": True}, "return_token_ids": True}
    return {**body, **options, **({"model": model} if model else {})}


def draw(port: int, bodies: Sequence[Mapping[str, Any]]) -> list[Stream]:
    """Ask for all at once, each over a connection of its own, and read them to their ends."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: draw_one(port, body), bodies))


def draw_one(port: int, body: Mapping[str, Any]) -> Stream:
    """Read one stream to its end."""
    asked_at = time.perf_counter()
    with _answer(port, body) as answer:
        parts = [(time.perf_counter(), part) for part in _parts(answer)]
    events = [(at, line) for at, part in parts for line in part.split(_EVENT_END) if line.startswith(b"data:")]
    told = [(at, json.loads(line[5:])) for at, line in events if line[5:].strip() != b"[DONE]"]
    if any("error" in event for _, event in told):
        raise BenchFailed(f"the engine broke off a stream: {told[-1][1]}")
    generated = [(at, event["choices"][0]) for at, event in told if event["choices"] and event["choices"][0].get("token_ids")]
    usage = next((event["usage"] for _, event in reversed(told) if event.get("usage")), None)
    ids = [token for _, choice in generated for token in choice["token_ids"]]
    return Stream(asked_at, [at for at, _ in generated], usage["completion_tokens"] if usage else len(ids), ids)


@contextmanager
def drawing(port: int, bodies: Sequence[Mapping[str, Any]]) -> Iterator[list[list[float]]]:
    """Keep streams running within the block; yield the times at which each one's events came so far."""
    arrivals: list[list[float]] = [[] for _ in bodies]

    def follow(place: int) -> None:
        with _answer(port, bodies[place]) as answer:
            for part in _parts(answer):
                arrivals[place] += [time.perf_counter()] * part.count(_EVENT_END)

    with ThreadPoolExecutor(len(bodies)) as pool:
        following = [pool.submit(follow, place) for place in range(len(bodies))]
        yield arrivals
        for one in following:
            one.result()


def gaps(arrivals: Sequence[float], *, since: float = 0.0, until: float = float("inf")) -> list[float]:
    """Return the seconds between neighbours that lie within a time."""
    within = [at for at in arrivals if since <= at <= until]
    return [later - earlier for earlier, later in pairwise(within)]


def _parts(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield what comes, as it comes: an event or some, each whole, since a server sends each as one chunk."""
    while part := answer.read1(_MOST_BYTES):
        yield part


@contextmanager
def _answer(port: int, body: Mapping[str, Any]) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise BenchFailed(f"the server answered {answer.status}: {answer.read(500).decode(errors='replace')}")
        yield answer
    finally:
        connection.close()
