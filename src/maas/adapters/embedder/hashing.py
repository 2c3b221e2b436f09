"""Vectors made of hashed words, for tests: like texts get like vectors, without a model."""

import math
import re
import zlib
from collections.abc import Sequence

from maas.application.cancellation import Cancellation
from maas.application.ports.embedder import Embedder
from maas.domain.errors import MaasError, OutOfRange
from maas.domain.inference.conversation import Embeddings, TokenUsage

_WORD = re.compile(r"[\u3400-\u9fff]|\w+")


class HashingEmbedder(Embedder):
    """Counts words by their hash, to length one. `failures` are what the engines at some addresses raise."""

    def __init__(self, *, dimension: int = 64, context: int = 512) -> None:
        self.dimension = dimension
        self.context = context
        self.failures: dict[str, MaasError] = {}
        self.asked: list[str] = []

    def embed(self, address: str, texts: Sequence[str], *, cancellation: Cancellation | None = None) -> Embeddings:
        self.asked.append(address)
        if address in self.failures:
            raise self.failures[address]
        words = [_WORD.findall(text.lower()) for text in texts]
        if any(len(found) > self.context for found in words):
            raise OutOfRange("a text is longer than the model's {context} tokens", field="texts", context=self.context)
        usage = TokenUsage(prompt_tokens=sum(len(found) for found in words))
        return Embeddings(vectors=[self._vector(found) for found in words], usage=usage)

    def _vector(self, words: Sequence[str]) -> list[float]:
        counts = [0.0] * self.dimension
        for word in words or [""]:
            counts[zlib.crc32(word.encode()) % self.dimension] += 1.0
        length = math.sqrt(sum(count * count for count in counts))
        return [count / length for count in counts]
