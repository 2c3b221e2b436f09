"""Item `engine`: tokens per second of all streams, against `generate` and `transformers serve`."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from maas.entrypoints.cli.bench.bench import Bench, Models
from maas.entrypoints.cli.bench.children import BenchChild, BenchFailed
from maas.entrypoints.cli.bench.engines import Stream, completion, draw, running_engine
from maas.entrypoints.cli.bench.figures import Figure, Goal, missing

STREAMS = (1, 4, 16)
_ONE_AT_A_TIME = 3
_PRECISIONS = {"float32": "fp32", "bfloat16": "bf16"}
_GOALS_AGAINST_GENERATE = {("float32", 1): 1.0, ("float32", 16): 5.0, ("bfloat16", 1): 1.0, ("bfloat16", 16): 11.0}
_SERVE = "transformers serve"
_UNIT = "tokens/s"


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure the engine in both precisions."""
    models = bench.models()
    for dtype in _PRECISIONS:
        yield from _against_generate(bench, models, dtype)
    yield _against_serve(bench, models)


def _against_generate(bench: Bench, models: Models, dtype: str) -> Iterator[Figure]:
    name, tokens = _PRECISIONS[dtype], _answer_tokens(bench)
    spec = {"model_dir": str(models.decoder), "dtype": dtype}
    pairs: dict[int, list[tuple[float, float | None]]] = {streams: [] for streams in STREAMS}
    reference = bench.child("maas.programs.bench.generate", spec)
    with reference, running_engine(bench, models.decoder, dtype=dtype) as port:
        reference.wait_for("ready")
        bench.say(f"engine, {name}: warming up")
        _generate(reference, models.tokens()[:1], tokens)
        draw(port, [completion(prompt, tokens=tokens) for prompt in models.tokens()])
        for repetition in bench.repetitions(5):
            bench.say(f"engine, {name}: repetition {repetition + 1}")
            theirs, answers = _generate(reference, models.tokens()[:_ONE_AT_A_TIME], tokens)
            for streams in STREAMS:
                mine = _tokens_per_second(port, models.tokens(), streams, tokens)
                pairs[streams].append((mine, theirs))
        same = _same_answers(port, models.tokens()[:_ONE_AT_A_TIME], answers) if dtype == "float32" else ""
    for streams in STREAMS:
        goal = _GOALS_AGAINST_GENERATE.get((dtype, streams))
        yield Figure(
            name=f"{streams} stream{'s' * (streams > 1)}, {name}",
            unit=_UNIT,
            pairs=pairs[streams],
            reference="generate, one at a time",
            goal=Goal(at_least=goal) if goal else None,
            note=same,
        )


def _answer_tokens(bench: Bench) -> int:
    return 8 if bench.quick else 64


def _generate(reference: BenchChild, prompts: Sequence[Sequence[int]], tokens: int) -> tuple[float, list[list[int]]]:
    answer = reference.ask("generated", type="generate", prompts=prompts, max_new_tokens=tokens)
    return answer["tokens"] / answer["seconds"], answer["answers"]


def _tokens_per_second(port: int, prompts: Sequence[list[int]], streams: int, tokens: int) -> float:
    """Return the pace of so many streams at once; one stream is asked for as often as the reference is."""
    rounds = [prompts[place : place + 1] for place in range(_ONE_AT_A_TIME)] if streams == 1 else [prompts[:streams]]
    drawn: list[Stream] = []
    began = time.perf_counter()
    for prompts_at_once in rounds:
        drawn += draw(port, [completion(prompt, tokens=tokens) for prompt in prompts_at_once])
    return sum(stream.tokens for stream in drawn) / (time.perf_counter() - began)


def _same_answers(port: int, prompts: Sequence[list[int]], answers: Sequence[Sequence[int]]) -> str:
    drawn = draw(port, [completion(prompt, tokens=len(answers[0])) for prompt in prompts])
    same = sum(list(stream.token_ids) == list(answer) for stream, answer in zip(drawn, answers, strict=True))
    return f"{same} of {len(prompts)} answers the same, token by token"


def _against_serve(bench: Bench, models: Models) -> Figure:
    """Compare 16 streams in bf16; `transformers serve` takes texts, so both get texts."""
    name, most = "16 streams, bf16", STREAMS[-1]
    package = next((package for package in ("fastapi", "uvicorn") if find_spec(package) is None), None)
    if package is not None:
        return missing(name, _UNIT, _SERVE, package)
    tokens, pairs = _answer_tokens(bench), []
    bodies = [completion(text, tokens=tokens) for text in models.texts()]
    with _transformers_serve(bench, models) as served, running_engine(bench, models.decoder, dtype="bfloat16") as port:
        bench.say(f"engine against {_SERVE}: warming up")
        _serve_all(served, models, models.texts()[:1], tokens)
        draw(port, bodies)
        for repetition in bench.repetitions(3):
            bench.say(f"engine against {_SERVE}: repetition {repetition + 1}")
            theirs = _serve_all(served, models, models.texts(), tokens)
            began = time.perf_counter()
            drawn = draw(port, bodies)
            mine = sum(stream.tokens for stream in drawn) / (time.perf_counter() - began)
            pairs.append((mine, theirs))
    return Figure(name=f"{most} streams, bf16", unit=_UNIT, pairs=pairs, reference=_SERVE, goal=Goal(at_least=10.0))


@contextmanager
def _transformers_serve(bench: Bench, models: Models) -> Iterator[int]:
    """Run the rival on a port that was free a moment ago; yield it when it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    program = "from transformers.cli.transformers import app; app()"
    options = ["--device", "cpu", "--dtype", "bfloat16", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    command = [sys.executable, "-c", program, "serve", str(models.decoder), *options]
    with (bench.folder / "transformers-serve.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not _is_up(port):
            if process.poll() is not None:
                raise BenchFailed(f"{_SERVE} ended with status {process.returncode}")
            time.sleep(0.2)
        yield port
    finally:
        process.kill()
        process.wait()


def _is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _serve_all(port: int, models: Models, texts: Sequence[str], tokens: int) -> float:
    """Ask the rival for all at once; return its tokens per second."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(texts)) as pool:
        counts = list(pool.map(lambda text: _serve_one(port, models, text, tokens), texts))
    return sum(counts) / (time.perf_counter() - began)


def _serve_one(port: int, models: Models, text: str, tokens: int) -> int:
    body = {"model": str(models.decoder), "prompt": text, "max_tokens": tokens, "temperature": 0}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise BenchFailed(f"{_SERVE} answered {answer.status}: {content[:300]!r}")
    told: dict[str, Any] = json.loads(content)
    return int(told["usage"]["completion_tokens"])
