"""What the demo shows: headings, waits, a training that grows, answers as they are written."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from maas.entrypoints.cli.demo.answers import AnswersView, Exchange
from maas.entrypoints.cli.demo.training_view import TrainingView

_REFRESHES = 12
_PLAIN_SECONDS = 5.0
_PIECE_SECONDS = 0.03


class Screen:
    """Writes to a terminal with all its means, and plainly to anything else."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._acts = 0

    @property
    def is_lively(self) -> bool:
        return self.console.is_terminal and not self.console.is_dumb_terminal

    def opening(self, title: str, text: str) -> None:
        self.console.print(Panel(text, title=f"[bold]{title}[/]", border_style="cyan", padding=(1, 2)))

    def act(self, title: str) -> None:
        self._acts += 1
        self.console.print()
        self.console.rule(f"[bold cyan]{self._acts} · {title}", align="left", style="cyan")

    def say(self, text: str) -> None:
        self.console.print(f"  {text}")

    def sample(self, text: str) -> None:
        """Show a piece of data, as much of it as goes into a line."""
        self.console.print(Text(f"    {text}", style="dim"), no_wrap=True, overflow="ellipsis")

    def verbatim(self, text: str) -> None:
        """Print text to be copied: neither wrapped nor decorated."""
        self.console.print(text, soft_wrap=True, markup=False, style="cyan")

    def alarm(self, text: str) -> None:
        self.console.print(f"\n[bold red]The demo stopped:[/] {escape(text)}", soft_wrap=True)

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something goes on, and in the end how long it took; the value changes what is told of it."""
        started = time.monotonic()
        with self.console.status(f"  {text} …", spinner="dots") as status:
            yield lambda news: status.update(f"  {text} … [dim]{escape(news)}")
        self.say(f"[green]✓[/] {text} [dim]({time.monotonic() - started:.1f} s)")

    @contextmanager
    def sending(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """Show how much of an upload has gone; the value is told the bytes sent and those there are."""
        columns = (TextColumn("  {task.description}"), BarColumn(40), DownloadColumn(), TransferSpeedColumn())
        started = time.monotonic()
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(text, total=None)
            yield lambda sent, total: progress.update(task, completed=sent, total=total)
        self.say(f"[green]✓[/] {text} [dim]({time.monotonic() - started:.1f} s)")

    @contextmanager
    def training(self, view: TrainingView) -> Iterator[Callable[[], None]]:
        """Show a training as it goes; call the value when the view has changed."""
        with self._live(view) as live:
            told = time.monotonic()

            def changed() -> None:
                nonlocal told
                if not self.is_lively and time.monotonic() - told > _PLAIN_SECONDS:
                    told = time.monotonic()
                    self.say(view.summary())

            yield changed
            live.refresh()
        self._end_line()

    def answers(self, exchanges: Sequence[Exchange], title: str, ask: Callable[[Exchange], Iterator[str]]) -> None:
        """Ask one question after the other and show the answers as they come; `ask` gives an answer's pieces."""
        view = AnswersView(exchanges, title)
        with self._live(view):
            for exchange in exchanges:
                for piece in ask(exchange):
                    exchange.write(piece)
                    if self.is_lively:
                        # The small model writes a sentence faster than anybody reads.
                        time.sleep(_PIECE_SECONDS)
                exchange.finish()
        self._end_line()

    def _end_line(self) -> None:
        """Go to the next line after something live: on a terminal it has done so by itself."""
        if not self.is_lively:
            self.console.line()

    def _live(self, view: Any) -> Live:
        return Live(view, console=self.console, refresh_per_second=_REFRESHES)
