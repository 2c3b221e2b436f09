"""What the routes for text share: prompts checked against the context, generations submitted and followed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from maas.programs.engine import fields
from maas.programs.engine.chat_template import ChatTemplate
from maas.programs.engine.client_watch import ClientWatch
from maas.programs.engine.failures import ClientLeft, RequestInvalid, RequestRefused
from maas.programs.engine.generation import Finished, Generation, Token
from maas.programs.engine.http_server import Request
from maas.programs.engine.scheduler import Scheduler
from maas.programs.engine.text_codec import TextCodec

Messages = Sequence[Mapping[str, Any]]


class AdapterNames(Protocol):
    """Which adapters requests may name."""

    def names(self) -> list[str]: ...


class TextService:
    """Turns what routes read into generations."""

    def __init__(
        self, scheduler: Scheduler, codec: TextCodec, adapters: AdapterNames, *, context: int, vocabulary: int, model_name: str
    ) -> None:
        self.scheduler, self.codec, self.context, self.model_name = scheduler, codec, context, model_name
        self._vocabulary = vocabulary
        self._adapters = adapters
        self._watch = ClientWatch()
        self._template = ChatTemplate(codec.chat_template, codec.special_tokens) if codec.chat_template else None

    @property
    def can_chat(self) -> bool:
        return self._template is not None

    def adapter_names(self) -> list[str]:
        return self._adapters.names()

    def render(self, messages: Messages, *, tools: object, variables: Mapping[str, Any]) -> str:
        """Return a conversation as the prompt that the model's chat template makes of it."""
        if self._template is None:
            raise RequestInvalid("this model has no chat template, so that it cannot chat; use text generation")
        return fields.well_formed(self._template.render(messages, tools=tools, variables=variables), "messages")

    def encode(self, prompt: str, *, special_tokens: bool = True) -> list[int]:
        """Return a prompt's tokens, having refused what cannot fit before it is tokenized."""
        least = len(prompt) // self.codec.longest_token if self.codec.longest_token else 0
        if least > self.context:
            raise RequestInvalid(self._too_long(f"at least {least}", 1))
        tokens = self.codec.encode(prompt, special_tokens=special_tokens)
        if not tokens:
            raise RequestInvalid("`inputs` cannot be empty")
        return tokens

    def checked_length(self, prompt: Sequence[int], max_new_tokens: int | None, *, default: int | None = None) -> int:
        """Return how many tokens may be generated: what was asked for, or what the context leaves (at most `default`)."""
        if not all(0 <= token < self._vocabulary for token in prompt):
            raise RequestInvalid(f"the prompt has a token that is outside of the model's vocabulary of {self._vocabulary}")
        left = self.context - len(prompt)
        if left < 1 or (max_new_tokens is not None and max_new_tokens > left):
            raise RequestInvalid(self._too_long(str(len(prompt)), max_new_tokens or 1))
        if max_new_tokens is not None:
            return max_new_tokens
        return left if default is None else min(default, left)

    def checked_adapter(self, name: str | None) -> str | None:
        """Return an adapter's name, which must be loaded."""
        if name is not None and name not in self._adapters.names():
            raise RequestInvalid(f"there is no adapter {name[:100]!r} here")
        return name

    def submit(self, generation: Generation) -> Generation:
        """Queue a generation, or refuse it."""
        self.scheduler.submit(generation)
        return generation

    def follow(self, request: Request, generation: Generation) -> Iterator[tuple[Token, Finished | None]]:
        """Yield tokens as they come; cancel the generation when the client leaves, or nobody reads on."""
        try:
            with self._watch.watching(request.client, generation.cancel):
                while True:
                    event = generation.events.get()
                    if isinstance(event, (RequestRefused, ClientLeft)):
                        raise event
                    yield event
                    if event[1] is not None:
                        return
        finally:
            generation.cancel()

    def _too_long(self, prompt_tokens: str, new_tokens: int) -> str:
        return (
            f"`inputs` tokens + `max_new_tokens` must be <= {self.context}. "
            f"Given: {prompt_tokens} `inputs` tokens and {new_tokens} `max_new_tokens`"
        )
