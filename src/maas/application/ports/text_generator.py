"""The port for text: what goes on from a conversation or a prompt, piece by piece."""

from abc import ABC, abstractmethod
from collections.abc import Generator

from maas.application.cancellation import Cancellation
from maas.domain.inference.conversation import TextDelta, TextRequest

Deltas = Generator[TextDelta | None, None, None]
"""An answer as it is written, and None after each second of silence. Closing it frees the engine's slot."""


class TextGenerator(ABC):
    """Has an engine write text."""

    @abstractmethod
    def generate(
        self, address: str, request: TextRequest, *, adapter: str | None = None, cancellation: Cancellation | None = None
    ) -> Deltas:
        """Yield the answer of the engine at `address`; nothing is asked of it before the first `next`.

        `adapter` names an adapter that the engine has loaded. The last delta has the `finish_reason` and the whole usage; an
        answer never ends without one, unless it was cancelled or closed. Raises InferenceUnavailable where the engine cannot
        be reached or is full, EngineLost where it went away, InferenceFailed, InferenceTimeout, Invalid for what it does not
        take (OutOfRange for a prompt that does not fit), and ModelUnsuitable. More `max_tokens` than the context leaves
        after the prompt are as many as it leaves.
        """
