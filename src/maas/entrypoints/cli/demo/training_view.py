"""A training as it is watched: its curve, its numbers, and how long it will take."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from maas.entrypoints.cli.demo.curve import Curve

_WIDEST_CURVE, _NARROWEST_CURVE, _CURVE_HEIGHT = 72, 20, 8
_BESIDE_CURVE = 34


class TrainingView:
    """Takes in what trainer and monitor tell, and draws it."""

    def __init__(self, curve: Curve, clock: Callable[[], float] = time.monotonic) -> None:
        self.curve = curve
        self._clock = clock
        self._started = clock()
        self._step = 0
        self._eta_seconds: float | None = None
        self._told_at = self._started
        self._tokens_per_second: float | None = None
        self._note = "starting"

    def tell(self, news: Mapping[str, Any]) -> None:
        """Take in a report of the trainer, or a message of a job's monitor."""
        self._told_at = self._clock()
        if news.get("type") == "log":
            self._note = str(news["message"])
        if news.get("type") == "finished":
            self._note = "finished"
        if news.get("status"):
            self._note = str(news["status"])
        if news.get("total_steps"):
            self.curve.total_steps = int(news["total_steps"])
        if isinstance(news.get("step"), int):
            self._step = max(self._step, news["step"])
        if "eta_seconds" in news:
            self._eta_seconds = news["eta_seconds"]
        self._take(news if news.get("type") == "metrics" else news.get("metrics"))

    def _take(self, point: Mapping[str, Any] | None) -> None:
        if point is not None:
            self.curve.add(dict(point))
            self._tokens_per_second = point.get("tokens_per_second") or self._tokens_per_second

    def summary(self) -> str:
        """Return where the training stands, in one line."""
        loss = "" if self.curve.last is None else f", loss {self.curve.last:.3f}"
        return f"step {self._step} of {self.curve.total_steps or '?'}{loss}{self._left()}"

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(_NARROWEST_CURVE, min(_WIDEST_CURVE, options.max_width - _BESIDE_CURVE))
        yield Padding(Group(self._drawing(width), self._bar(width)), (0, 2))

    def _drawing(self, width: int) -> Table:
        grid = Table.grid(padding=(0, 2))
        for _ in range(3):
            grid.add_column()
        for row, line in enumerate(self.curve.as_dots(width, _CURVE_HEIGHT)):
            grid.add_row(Text(self._label(row), style="dim"), Text(line, style="bright_cyan"), self._figure(row))
        return grid

    def _label(self, row: int) -> str:
        value = {0: self.curve.top, _CURVE_HEIGHT - 1: 0.0}.get(row)
        return f"{value:5.2f} ┤" if value is not None and self.curve.points() else "      │"

    def _figure(self, row: int) -> Text:
        """Return what stands to the right of a line of the curve."""
        first, last = self.curve.first, self.curve.last
        if row == 1 and last is not None:
            return Text.assemble(("loss ", "dim"), (f"{last:.4f}", "bold bright_cyan"))
        if row == 2 and first is not None:
            return Text(f"from {first:.4f}", style="dim")
        if row == 4 and self._tokens_per_second:
            return Text.assemble((f"{self._tokens_per_second:,.0f}", "bold"), (" tokens/s", "dim"))
        if row == 5:
            return Text(f"{self._clock() - self._started:.0f} s", style="dim")
        return Text()

    def _bar(self, width: int) -> Table:
        total = self.curve.total_steps
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            Text(f"step {self._step}/{total or '…'}"),
            ProgressBar(total=total or 1, completed=self._step if total else 0, width=width - 12),
            Text(f"{100 * self._step / total:.0f} %" if total else ""),
            Text(self._left().removeprefix(", ") or self._note, style="dim", no_wrap=True, overflow="ellipsis"),
        )
        return grid

    def _left(self) -> str:
        if not self._eta_seconds:
            return ""
        minutes, seconds = divmod(max(0, round(self._eta_seconds - (self._clock() - self._told_at))), 60)
        return f", {minutes}:{seconds:02d} left"
