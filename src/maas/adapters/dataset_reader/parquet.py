"""Reads parquet files in a child process, whose end, however it comes, harms nobody."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from maas.adapters.dataset_reader.text import LONGEST_ROW
from maas.application.ports.dataset_reader import Record
from maas.domain.datasets.rows import BadRow
from maas.domain.errors import PlatformUnavailable, UnsupportedFile

_PROGRAM = ("-I", "-m", "maas.programs.reader")
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
_MEMORY_BYTES = 4 * 1024**3
_LIMITS = {"longest_row": LONGEST_ROW, "cpu_seconds": 3600}
# A row in JSON: six characters may stand for one, and half a megabyte of other rows before it.
_LONGEST_REPORT = 8 * LONGEST_ROW


def parquet_records(path: Path, *, memory_bytes: int = _MEMORY_BYTES) -> Iterator[Record]:
    """Yield the rows of a parquet file, numbered from 1; the child has `memory_bytes` of address space."""
    number = 0
    with _reader({"path": str(path), "memory_bytes": memory_bytes}) as reports:
        for report in reports:
            if report["type"] == "done":
                return
            if report["type"] == "refused":
                raise UnsupportedFile(report["template"], field="file", **report["values"])
            if report["type"] == "bad":
                number += 1
                yield Record(line=number, problem=BadRow(report["template"], **report["values"]))
            for row in report.get("rows", ()):
                number += 1
                yield Record(line=number, value=row)
    raise UnsupportedFile("the file is not parquet, or is corrupt", field="file")


@contextmanager
def _reader(specification: Mapping[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
    """Start the child, and yield its reports; it is gone when the block ends."""
    command = [sys.executable, *_PROGRAM]
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=_ENVIRONMENT, process_group=0)
    except OSError as error:
        raise PlatformUnavailable("the platform cannot answer now; try again in a moment") from error
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps({**specification, **_LIMITS}).encode() + b"\n")
            child.stdin.flush()
            yield _reports(child.stdout)
        except BrokenPipeError as error:
            raise UnsupportedFile("the file is not parquet, or is corrupt", field="file") from error
        finally:
            child.kill()


def _reports(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    while line := stream.readline(_LONGEST_REPORT):
        if not line.endswith(b"\n"):
            return
        yield json.loads(line)
