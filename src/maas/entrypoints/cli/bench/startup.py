"""Item `startup`: what `maas --help` costs, and how soon `maas serve` is ready."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.figures import Figure, Goal, absolute
from maas.entrypoints.cli.bench.platforms import COMMAND, running_platform


def measure(bench: Bench) -> Iterator[Figure]:
    """Measure both."""
    bench.say("maas --help")
    _help_seconds()
    yield absolute("maas --help", "s of CPU", *(_help_seconds() for _ in bench.repetitions(7)), goal=Goal(at_most=0.3))
    folder = bench.folder / "startup"
    with running_platform(bench, folder):
        bench.say("maas serve: the data folder is made")
    seconds = []
    for repetition in bench.repetitions(5):
        bench.say(f"maas serve: repetition {repetition + 1}")
        began = time.perf_counter()
        with running_platform(bench, folder):
            seconds.append(time.perf_counter() - began)
    yield absolute("maas serve to ready, existing data folder", "s", *seconds, goal=Goal(at_most=3.0))


def _help_seconds() -> float:
    """Return the processor time of a whole process that prints the help."""
    process = subprocess.Popen([sys.executable, *COMMAND, "--help"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime
