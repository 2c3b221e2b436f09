"""Embeddings by OpenAI's protocol, from our engine, TEI or vLLM."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from maas.adapters.engine_http.answer_reader import Head
from maas.adapters.engine_http.connections import EngineConnections
from maas.adapters.engine_http.refusals import refusal
from maas.application.cancellation import Cancellation
from maas.application.ports.embedder import Embedder
from maas.domain.errors import InferenceFailed
from maas.domain.inference.conversation import Embeddings, TokenUsage


class TgiEmbedder(Embedder):
    """Asks for numbers as text: an engine writes float32 as short as it can be, and so they go on to the caller."""

    def __init__(self, engines: EngineConnections) -> None:
        self._engines = engines

    def embed(self, address: str, texts: Sequence[str], *, cancellation: Cancellation | None = None) -> Embeddings:
        content = orjson.dumps({"input": list(texts), "encoding_format": "float", "truncate": False})
        head, body = self._answer(address, content, cancellation or Cancellation())
        if head.status != 200:
            raise refusal(head, body, field="texts")
        try:
            return _embeddings(orjson.loads(body), count=len(texts))
        except (ValueError, KeyError, TypeError) as error:
            raise InferenceFailed("the engine failed to answer") from error

    def _answer(self, address: str, content: bytes, cancellation: Cancellation) -> tuple[Head, bytes]:
        head: Head | None = None
        parts: list[bytes] = []
        for piece in self._engines.post(address, "/v1/embeddings", content, cancellation=cancellation):
            if isinstance(piece, Head):
                head = piece
            elif piece is not None:
                parts.append(piece)
        if head is None or cancellation.is_cancelled:
            raise InferenceFailed("the call was given up")
        return head, b"".join(parts)


def _embeddings(value: Mapping[str, Any], *, count: int) -> Embeddings:
    rows = sorted(value["data"], key=lambda row: row["index"])
    if len(rows) != count:
        raise ValueError("the engine sent another number of vectors than of texts")
    usage = TokenUsage(prompt_tokens=value["usage"]["prompt_tokens"])
    return Embeddings(vectors=[row["embedding"] for row in rows], usage=usage)
