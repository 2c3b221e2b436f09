"""Questions, and what is answered before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table
from rich.text import Text

_CURSOR = "▌"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked; `expected` is the right answer where it is known, and `is_old` says that the base knows it already."""

    text: str
    expected: str | None = None
    is_old: bool = False


@dataclass(kw_only=True)
class Exchange:
    """A question with the base's answer and that of the tuned model; None where it was not asked yet."""

    question: Question
    before: str | None = None
    after: str | None = None
    _written: str | None = None

    @property
    def is_right(self) -> bool | None:
        """Whether the newest answer is the expected one; None where nothing is expected or answered."""
        newest = self.before if self.after is None else self.after
        return None if newest is None or self.question.expected is None else newest == self.question.expected

    def write(self, piece: str) -> None:
        self._written = (self._written or "") + piece

    def finish(self) -> None:
        """End the answer that is being written: the first is the base's, the second the tuned model's."""
        answer, self._written = (self._written or "").strip(), None
        if self.before is None:
            self.before = answer
        else:
            self.after = answer

    def cells(self) -> list[Text]:
        before, after = self.before, self.after
        if self._written is None:
            return [self._cell(before), self._cell(after)]
        growing = Text(self._written, style="bold") + Text(_CURSOR, style="cyan")
        return [growing, Text()] if before is None else [self._cell(before), growing]

    def _cell(self, answer: str | None) -> Text:
        if answer is None:
            return Text()
        if self.question.expected is None:
            return Text(answer)
        right = answer == self.question.expected
        return Text("✓ " if right else "✗ ", style="green" if right else "red") + Text(
            answer, style="green" if right else "red dim"
        )


class AnswersView:
    """A table of exchanges; the second answer has a column as soon as one is there or being written."""

    def __init__(self, exchanges: Sequence[Exchange], title: str) -> None:
        self._exchanges = exchanges
        self._title = title
        self._is_second = any(exchange.before is not None for exchange in exchanges)

    def __rich__(self) -> Table:
        table = Table(
            title=f"[bold]{escape(self._title)}", title_justify="left", show_lines=True, border_style="dim", expand=True
        )
        table.add_column("asked", style="bold", ratio=3)
        table.add_column("the base model", ratio=4)
        if self._is_second:
            table.add_column("after fine-tuning", ratio=4)
        for exchange in self._exchanges:
            known = Text("\nthe base knows this", style="dim") if exchange.question.is_old else Text()
            before, after = exchange.cells()
            table.add_row(Text(exchange.question.text) + known, before, *([after] if self._is_second else []))
        return table
