"""Text of a made-up language: words that follow each other by rules, so that a model can learn it and no data is needed."""

import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate

_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st", "tr", "pl")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ou", "ei")
_WORDS = 600
_FOLLOWERS = 6
_CHANCES = tuple(accumulate(0.5**place for place in range(_FOLLOWERS)))


class Language:
    """Words and what may follow each; the same seed gives the same language and the same texts."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)  # noqa: S311 (no secret is made of it)
        words: set[str] = set()
        while len(words) < _WORDS:
            words.add("".join(self._syllable() for _ in range(self._random.randint(1, 3))))
        self._words = sorted(words)
        self._random.shuffle(self._words)
        self._followers = [self._random.sample(range(_WORDS), _FOLLOWERS) for _ in range(_WORDS)]

    def text(self, words: int) -> str:
        """Return a text of so many words."""
        place = self._random.randrange(_WORDS)
        said = []
        for _ in range(words):
            said.append(self._words[place])
            place = self._followers[place][bisect(_CHANCES, self._random.random() * _CHANCES[-1])]
        return " ".join(said)

    def texts(self, lengths: Sequence[int]) -> list[str]:
        """Return a text of each length, in words."""
        return [self.text(length) for length in lengths]

    def lengths(self, count: int, *, median: int, spread: float, longest: int) -> list[int]:
        """Return lengths as those of real instructions and answers are spread: many short ones, a few long (log-normal)."""
        drawn = (median * self._random.lognormvariate(0, spread) for _ in range(count))
        return [max(4, min(longest, round(length))) for length in drawn]

    def _syllable(self) -> str:
        return self._random.choice(_ONSETS) + self._random.choice(_VOWELS)
