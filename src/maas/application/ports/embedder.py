"""The port for embeddings: a vector for each text."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from maas.application.cancellation import Cancellation
from maas.domain.inference.conversation import Embeddings


class Embedder(ABC):
    """Has an engine embed texts."""

    @abstractmethod
    def embed(self, address: str, texts: Sequence[str], *, cancellation: Cancellation | None = None) -> Embeddings:
        """Return the vectors that the engine at `address` makes of `texts`, in their order.

        Texts are never cut: raises OutOfRange where one does not fit. Raises InferenceUnavailable where the engine cannot be
        reached or is full, EngineLost where it went away, InferenceFailed (also where the call was cancelled),
        InferenceTimeout, Invalid for what it does not take, and ModelUnsuitable.
        """
