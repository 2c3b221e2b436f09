"""The tokenizer, as safe to use from many threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Piece:
    """A token and the characters of the text that it stands for."""

    id: int
    text: str
    start: int
    stop: int


class TextCodec:
    """Encodes and decodes by the tokenizer's fast form alone: its Python shell changes shared state in every call."""

    def __init__(self, tokenizer: Any) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self.chat_template: str | None = tokenizer.get_chat_template() if tokenizer.chat_template else None
        self.special_tokens: dict[str, str] = {
            name: str(value) for name, value in tokenizer.special_tokens_map.items() if isinstance(value, str)
        }
        end = tokenizer.eos_token_id
        self.end_ids = frozenset() if end is None else frozenset([int(end)])
        added = self._backend.get_added_tokens_decoder()
        self._special_ids = frozenset(i for i, token in added.items() if token.special) | frozenset(tokenizer.all_special_ids)
        self.longest_token: int | None = self._longest_token()

    def _longest_token(self) -> int | None:
        """Return how many characters a token can stand for at most; None where that has no limit."""
        if self._backend.normalizer is not None or getattr(self._backend.model, "unk_token", None) is not None:
            return None
        return max((len(token) for token in self._backend.get_vocab(with_added_tokens=True)), default=1)

    def encode(self, text: str, *, special_tokens: bool = True) -> list[int]:
        """Return the text's tokens, with those that the tokenizer adds around a text, or bare."""
        return list(self._backend.encode(text, add_special_tokens=special_tokens).ids)

    def pieces(self, text: str, *, special_tokens: bool = True) -> list[Piece]:
        """Return the text's tokens with their places in it."""
        encoded = self._backend.encode(text, add_special_tokens=special_tokens)
        return [Piece(i, text[start:stop], start, stop) for i, (start, stop) in zip(encoded.ids, encoded.offsets, strict=True)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the tokens' text without special tokens."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))

    def token_text(self, token: int) -> str:
        """Return one token's text by itself, special or not."""
        return str(self._backend.decode([token], skip_special_tokens=False))

    def is_special(self, token: int) -> bool:
        return token in self._special_ids
