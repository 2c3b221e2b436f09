"""What a run of the bench tells: a table for people, JSON for programs."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from maas.entrypoints.cli.bench.figures import Figure

_PACKAGES = ("maas", "torch", "transformers", "peft", "flask", "gunicorn", "sentence-transformers", "trl")


@dataclass
class ItemResult:
    """What one item came to; `error` where it broke off."""

    name: str
    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None


def as_json(results: Sequence[ItemResult], *, quick: bool, began_at: datetime) -> dict[str, Any]:
    """Return a whole run."""
    return {
        "began_at": began_at.isoformat(),
        "ended_at": datetime.now(UTC).isoformat(),
        "quick": quick,
        "machine": _machine(),
        "versions": _versions(),
        "items": {
            result.name: {
                "seconds": round(result.seconds, 1),
                "error": result.error,
                "figures": [figure.as_json() for figure in result.figures],
            }
            for result in results
        },
    }


def write(path: Path, report: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def show(console: Console, results: Sequence[ItemResult]) -> None:
    """Print the table."""
    table = Table(title="maas bench", title_justify="left")
    for heading, justify in (("item", "left"), ("what", "left"), ("maas", "right"), ("reference", "right"), ("ratio", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("goal")
    table.add_column("", style="dim")
    for result in results:
        for place, figure in enumerate(result.figures):
            table.add_row(result.name if place == 0 else "", *_cells(figure))
        if result.error:
            table.add_row(result.name, f"[red]broke off: {result.error.splitlines()[0]}[/red]")
        table.add_section()
    console.print(table)


def _cells(figure: Figure) -> tuple[str, ...]:
    reference = "" if figure.reference is None else f"{figure.reference} {_number(figure.reference_value)}"
    mark = {True: "[green]✓[/green] ", False: "[red]✗[/red] ", None: ""}[figure.met]
    goal = f"{mark}{figure.goal}" if figure.goal else ""
    ratio = "" if figure.ratio is None else f"{_number(figure.ratio)} ×"
    return (figure.name, f"{_number(figure.value)} {figure.unit}", reference.strip(), ratio, goal, figure.note)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": os.getloadavg()[0],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
