"""What a measurement comes to: a figure of the platform, that of its reference, the ratio of the two, and its goal."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a figure is hoped to reach: its ratio, or itself where there is no reference."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, value: float) -> bool:
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        bounds = (("≥", self.at_least), ("≤", self.at_most))
        return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. `pairs` are (platform, reference) of each repetition; a reference may be missing."""

    name: str
    unit: str
    pairs: Sequence[tuple[float, float | None]]
    reference: str | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def value(self) -> float | None:
        return median(mine for mine, _ in self.pairs) if self.pairs else None

    @property
    def reference_value(self) -> float | None:
        theirs = [other for _, other in self.pairs if other is not None]
        return median(theirs) if theirs else None

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios: what slows both down at once leaves it alone."""
        ratios = [mine / other for mine, other in self.pairs if other]
        return median(ratios) if ratios else None

    @property
    def met(self) -> bool | None:
        judged = self.value if self.reference is None else self.ratio
        return None if self.goal is None or judged is None else self.goal.is_met(judged)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "reference": self.reference,
            "reference_value": self.reference_value,
            "ratio": self.ratio,
            "goal": str(self.goal) if self.goal else None,
            "met": self.met,
            "pairs": [list(pair) for pair in self.pairs],
            "note": self.note,
        }


def absolute(name: str, unit: str, *values: float, goal: Goal | None = None, note: str = "") -> Figure:
    """Return a figure that has no reference."""
    return Figure(name=name, unit=unit, pairs=[(value, None) for value in values], goal=goal, note=note)


def missing(name: str, unit: str, reference: str, package: str) -> Figure:
    """Return the place of a figure whose reference is not installed here."""
    return Figure(name=name, unit=unit, pairs=[], reference=reference, note=f"{package} is not installed")
