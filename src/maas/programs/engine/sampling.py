"""How the next token of each row is chosen from the model's scores."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

_ENOUGH_CANDIDATES = 128
"""So many of the likeliest tokens are tried for top_p before the whole vocabulary is sorted, which takes ten times as long."""


@dataclass(frozen=True, kw_only=True)
class SamplingParameters:
    """A request's wishes. Temperature 0 takes the likeliest token."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logprobs: bool = False
    top_logprobs: int = 0

    @property
    def plainly_greedy(self) -> bool:
        return self.temperature == 0 and not self.penalised

    @property
    def penalised(self) -> bool:
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


@dataclass(frozen=True)
class Choice:
    """A chosen token with its log-probability, and the likeliest ones with theirs, where they were asked for."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(eq=False)
class Sampler:
    """One row's choices: its random numbers depend on its seed alone, its penalties on its tokens alone."""

    parameters: SamplingParameters
    prompt: Sequence[int]
    _random: random.Random = field(init=False)
    _generated: Counter[int] = field(default_factory=Counter)
    _seen: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(self.parameters.seed)  # noqa: S311 (tokens are no secrets)
        if self.parameters.repetition_penalty != 1.0:
            self._seen.update(self.prompt)

    def choose(self, scores: Tensor) -> int:
        """Choose from one row's scores, [vocabulary] in fp32."""
        adjusted = self._penalise(scores) if self.parameters.penalised else scores
        return self._draw(adjusted) if self.parameters.temperature > 0 else int(adjusted.argmax())

    def settle(self, token: int, scores: Tensor) -> Choice:
        """Remember a token as chosen, and tell what was asked to be told of it: the model's own scores, before penalties."""
        if self.parameters.penalised:
            self._generated[token] += 1
            self._seen.add(token)
        if not self.parameters.logprobs:
            return Choice(token)
        normaliser = float(scores.logsumexp(0))
        top: tuple[tuple[int, float], ...] = ()
        if self.parameters.top_logprobs:
            values, ids = scores.topk(min(self.parameters.top_logprobs, len(scores)))
            top = tuple((int(i), float(v) - normaliser) for i, v in zip(ids.tolist(), values.tolist(), strict=True))
        return Choice(token, float(scores[token]) - normaliser, top)

    def _penalise(self, scores: Tensor) -> Tensor:
        scores = scores.clone()
        wanted = self.parameters
        if wanted.repetition_penalty != 1.0 and self._seen:
            ids = torch.tensor(sorted(self._seen), device=scores.device)
            seen = scores[ids]
            scores[ids] = torch.where(seen > 0, seen / wanted.repetition_penalty, seen * wanted.repetition_penalty)
        if self._generated and (wanted.presence_penalty or wanted.frequency_penalty):
            ids = torch.tensor(list(self._generated), device=scores.device)
            counts = torch.tensor(list(self._generated.values()), device=scores.device, dtype=scores.dtype)
            scores[ids] -= wanted.presence_penalty + wanted.frequency_penalty * counts
        return scores

    def _draw(self, scores: Tensor) -> int:
        scaled = scores / self.parameters.temperature
        wanted = self.parameters
        if wanted.top_k:
            values, ids = scaled.topk(min(wanted.top_k, len(scaled)))
            return self._pick(_nucleus(torch.softmax(values, dim=0, dtype=torch.float64), wanted.top_p), ids)
        if wanted.top_p >= 1.0:
            return self._pick(torch.softmax(scaled, dim=0).cumsum(0, dtype=torch.float64), None)
        values, ids = scaled.topk(min(_ENOUGH_CANDIDATES, len(scaled)))
        shares = (values - scaled.logsumexp(0)).double().exp()
        if float(shares.sum()) < wanted.top_p:
            values, ids = scaled.sort(descending=True)
            shares = torch.softmax(values, dim=0, dtype=torch.float64)
        return self._pick(_nucleus(shares, wanted.top_p), ids)

    def _pick(self, cumulated: Tensor, ids: Tensor | None) -> int:
        point = self._random.random() * float(cumulated[-1])
        place = min(int(torch.searchsorted(cumulated, point, right=True)), len(cumulated) - 1)
        return place if ids is None else int(ids[place])


def choose_all(scores: Tensor, samplers: Sequence[Sampler]) -> list[Choice]:
    """Choose for all rows, [rows, vocabulary]; plain greedy rows share one pass."""
    # Also where only the likeliest is asked for: searching bf16 takes many times longer than making it fp32 first.
    scores = scores.float()
    likeliest = scores.argmax(dim=1).tolist()
    return [
        sampler.settle(likeliest[row] if sampler.parameters.plainly_greedy else sampler.choose(scores[row]), scores[row])
        for row, sampler in enumerate(samplers)
    ]


def _nucleus(shares: Tensor, top_p: float) -> Tensor:
    """Return the cumulated shares, likeliest first, of the fewest tokens that together reach `top_p`."""
    cumulated = shares.cumsum(0)
    return cumulated if top_p >= 1.0 else cumulated[: int((cumulated < top_p).sum()) + 1]
