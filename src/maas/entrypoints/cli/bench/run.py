"""The run of a bench: one item after the other, each on its own, then the table and the JSON."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console

from maas.entrypoints.cli.bench import adapters, embeddings, engine, requests, startup, training, uploads
from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.figures import Figure
from maas.entrypoints.cli.bench.report import ItemResult, as_json, show, write

ITEMS: Mapping[str, Callable[[Bench], Iterator[Figure]]] = {
    "engine": engine.measure,
    "adapters": adapters.measure,
    "training": training.measure,
    "embeddings": embeddings.measure,
    "requests": requests.measure,
    "upload": uploads.measure,
    "startup": startup.measure,
}

_WIDTH_OF_A_FILE = 180


def run_bench(only: list[str], output: Path, *, quick: bool) -> None:
    """Measure the items named by `only`, or all; print the table, and write `bench.json` into `output`.

    `quick` shrinks everything until it only shows that each item works: its figures mean nothing.
    """
    unknown = [name for name in only if name not in ITEMS]
    if unknown:
        raise typer.BadParameter(f"there is no item {unknown[0]!r}; there are {', '.join(ITEMS)}", param_hint="--only")
    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)
    began_at = datetime.now(UTC)
    output.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="work-", dir=output))
    results = []
    try:
        with console.status("starting") as status:
            bench = Bench(folder, quick, say=status.update)
            for name in only or ITEMS:
                results.append(_measured(name, bench, console))
                write(output / "bench.json", as_json(results, quick=quick, began_at=began_at))
    finally:
        _clear_away(folder, results)
    show(console, results)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _measured(name: str, bench: Bench, console: Console) -> ItemResult:
    """Measure one item; what breaks off keeps the figures that it had."""
    result = ItemResult(name)
    began = time.monotonic()
    try:
        for figure in ITEMS[name](bench):
            result.figures.append(figure)
    except Exception as error:
        result.error = str(error) or type(error).__name__
        console.print(f"[red]{name} broke off:[/red] {result.error}", highlight=False, markup=True)
    result.seconds = time.monotonic() - began
    return result


def _clear_away(folder: Path, results: list[ItemResult]) -> None:
    """Remove the work folder; the logs stay where something broke off."""
    if any(result.error for result in results):
        for log in folder.glob("*.log"):
            shutil.copy(log, folder.parent / log.name)
    shutil.rmtree(folder, ignore_errors=True)
