"""A loss curve: as dots in a terminal while it grows, and as a picture that stays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

Point = tuple[float, float]

_BRAILLE = 0x2800
# The bit of each dot of a braille cell, by its row and column.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_WIDTH, _HEIGHT = 960, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 60, 55
_COLORS = {"loss": "#0f766e", "eval_loss": "#c2410c"}
_NAMES = {"loss": "training loss", "eval_loss": "loss on held-out rows"}


@dataclass
class Curve:
    """The losses of a run by step, each step once; `total_steps` is 0 as long as it is not known."""

    total_steps: int = 0
    _points: dict[str, dict[int, float]] = field(default_factory=lambda: {"loss": {}, "eval_loss": {}})

    def add(self, point: dict[str, object] | None) -> None:
        """Take in a point of the metrics, as far as it tells a loss."""
        step = (point or {}).get("step")
        for name, values in self._points.items():
            value = (point or {}).get(name)
            if isinstance(step, int) and isinstance(value, float | int):
                values[step] = float(value)

    def points(self, name: str = "loss") -> list[Point]:
        return [(float(step), value) for step, value in sorted(self._points[name].items())]

    @property
    def first(self) -> float | None:
        points = self.points()
        return points[0][1] if points else None

    @property
    def last(self) -> float | None:
        points = self.points()
        return points[-1][1] if points else None

    @property
    def right_end(self) -> float:
        """The step at which the drawing ends."""
        steps = [step for name in self._points for step, _ in self.points(name)]
        return max([float(self.total_steps), *steps, 1.0])

    @property
    def top(self) -> float:
        values = [value for name in self._points for _, value in self.points(name)]
        return max([*values, 1e-6]) * 1.05

    def as_dots(self, width: int, height: int) -> list[str]:
        """Draw the training loss in `height` lines of `width` braille characters, zero at the bottom."""
        cells = [[0] * width for _ in range(height)]
        for column, row in _dots(self.points(), self.right_end, self.top, width * 2, height * 4):
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
        return ["".join(chr(_BRAILLE + cell) for cell in line) for line in cells]

    def as_svg(self, title: str) -> str:
        """Draw all losses as a picture of its own."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'font-family="system-ui, sans-serif" font-size="13" fill="#334155">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="12" fill="#ffffff"/>',
            f'<text x="{_LEFT}" y="34" font-size="18" font-weight="600" fill="#0f172a">{escape(title)}</text>',
            *self._grid(),
            *self._lines(),
            f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 14}" text-anchor="end">step</text>',
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _grid(self) -> Iterator[str]:
        for index in range(5):
            value = self.top * index / 4
            y = self._y(value)
            yield f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e2e8f0"/>'
            yield f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>'
        for index in range(6):
            step = self.right_end * index / 5
            yield f'<text x="{self._x(step):.1f}" y="{_HEIGHT - _BOTTOM + 22}" text-anchor="middle">{step:.0f}</text>'

    def _lines(self) -> Iterator[str]:
        drawn = [name for name in self._points if self.points(name)]
        for index, name in enumerate(drawn):
            path = " ".join(f"{self._x(step):.1f},{self._y(value):.1f}" for step, value in self.points(name))
            yield (
                f'<polyline points="{path}" fill="none" stroke="{_COLORS[name]}" stroke-width="2.5" '
                f'stroke-linejoin="round" stroke-linecap="round"/>'
            )
            y = _TOP + 18 + 22 * index
            x = _WIDTH - _RIGHT - 190
            yield f'<line x1="{x}" x2="{x + 26}" y1="{y - 4}" y2="{y - 4}" stroke="{_COLORS[name]}" stroke-width="3"/>'
            yield f'<text x="{x + 34}" y="{y}">{_NAMES[name]}</text>'

    def _x(self, step: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / self.right_end

    def _y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.top


def _dots(points: Sequence[Point], right: float, top: float, columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the dots (column, row from the top) of a line through `points`, joined where it is steep."""
    placed = [(round(step / right * (columns - 1)), round((1 - min(value / top, 1)) * (rows - 1))) for step, value in points]
    yield from placed[:1]
    for (left, start), (last, end) in pairwise(placed):
        steps = max(abs(last - left), abs(end - start), 1)
        for index in range(1, steps + 1):
            yield left + round((last - left) * index / steps), start + round((end - start) * index / steps)
