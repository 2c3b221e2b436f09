"""The demo as a command: what comes before it, after it, and when it fails."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from maas.entrypoints.cli.client import ClientError
from maas.entrypoints.cli.demo.failures import DemoFailed
from maas.entrypoints.cli.demo.farewell import say_what_next
from maas.entrypoints.cli.demo.plan import make_plan
from maas.entrypoints.cli.demo.platform import Platform
from maas.entrypoints.cli.demo.screen import Screen
from maas.entrypoints.cli.demo.story import Story

_INTERRUPTED_STATUS = 130
_OPENING = (
    "A model learns something before your eyes, and then answers with it.\n"
    "Everything goes through the platform's own HTTP and WebSocket API, on this machine alone."
)


def run_demo(
    *,
    model: Path | None,
    dataset: Path | None,
    dataset_type: str,
    questions: Sequence[str],
    keep: bool,
    output: Path,
    screen: Screen | None = None,
) -> None:
    """Run the demo into a new folder below `output`; raise typer.Exit where it does not come to its end."""
    screen = screen or Screen()
    try:
        plan = make_plan(model, dataset, dataset_type, questions)
        folder = _new_folder(output)
        screen.opening("maas demo", _OPENING)
        started = time.monotonic()
        with _interruptible(), Platform(folder) as platform:
            outcome = Story(plan, platform, screen, folder).tell()
            say_what_next(outcome, screen, seconds=time.monotonic() - started, keep=keep)
            if keep:
                _stay(platform, screen)
    except (ClientError, DemoFailed) as error:
        screen.alarm(str(error))
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        screen.say("ended; the platform has stopped")
        raise typer.Exit(_INTERRUPTED_STATUS) from None


def _stay(platform: Platform, screen: Screen) -> None:
    screen.say("[bold]The platform keeps running. Ctrl-C ends it.[/]")
    try:
        platform.wait()
    except KeyboardInterrupt:
        screen.say("ending the platform")
        return
    platform.check()


def _new_folder(output: Path) -> Path:
    """Make the next free `run-<n>` below `output`, so that nothing of an earlier run is touched."""
    number = 1
    while True:
        folder = output / f"run-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise DemoFailed(f"{output} cannot be written to: {error.strerror}; choose another folder with --output") from error
        else:
            return folder.absolute()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that the platform is ended with it."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
