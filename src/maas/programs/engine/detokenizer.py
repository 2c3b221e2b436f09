"""Text out of tokens as they come: never half a character, never the beginning of a stop string."""

from collections.abc import Callable, Sequence

Decode = Callable[[list[int]], str]

_UNFINISHED = "\ufffd"
_LONGEST_UNFINISHED = 3
_WINDOW = 12
_KEPT = 4


class Detokenizer:
    """Turns tokens into the text that they add.

    Only a window of the last tokens is decoded anew for each. What ends in the middle of a character is held back until the
    character is whole. The window begins with the end of the prompt, `before`: some tokenizers drop the space at a text's beginning.
    """

    def __init__(self, decode: Decode, *, before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._window = list(before[-_KEPT:])
        text = decode(self._window) if self._window else ""
        self._given = len(text) - _unfinished_length(text)

    def push(self, token: int) -> str:
        """Take a token, return the text that is now certain."""
        self._window.append(token)
        text = self._decode(self._window)
        certain = len(text) - _unfinished_length(text)
        new = text[self._given : certain]
        self._given = max(self._given, certain)
        if len(self._window) > _WINDOW and certain == len(text):
            self._shrink(text)
        return new

    def finish(self) -> str:
        """Return what was held back: there will be no more tokens to complete it."""
        text = self._decode(self._window)
        rest = text[self._given :]
        self._given = len(text)
        return rest

    def _shrink(self, text: str) -> None:
        """Forget all but the last tokens, where their text alone is how they read in their place."""
        kept = self._window[-_KEPT:]
        alone = self._decode(kept)
        if alone and _UNFINISHED not in alone and text.endswith(alone):
            self._window, self._given = kept, len(alone)


class StopFinder:
    """Passes text on up to the first of the stop strings, holding back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Return the text that may be shown, and whether a stop string was met."""
        if not self._stops:
            return text, False
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            shown, self._held = self._held[: min(places)], ""
            return shown, True
        keep = max(_beginning_length(self._held, stop) for stop in self._stops)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown, False

    def finish(self) -> str:
        """Return what was held back in vain."""
        held, self._held = self._held, ""
        return held


def _unfinished_length(text: str) -> int:
    """Return how many characters at the end may still be replaced: byte-fallback tokenizers show one mark for each byte."""
    length = 0
    while length < min(_LONGEST_UNFINISHED, len(text)) and text[-1 - length] == _UNFINISHED:
        length += 1
    return length


def _beginning_length(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0
