"""`python -m maas.programs.reader`: reads a specification on stdin and a parquet file, reports its rows on stdout.

    {"path", "longest_row", "memory_bytes", "cpu_seconds"}

The reports: `rows` {first, rows: [[value, …]]} where `first` is the number of the first; `bad` {number, template, values};
then `done`, or `refused` {template, values}.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maas.programs.child import Child, die_with_parent, leave_network, limit_resources
from maas.programs.walls import confine


def main() -> int:
    """Read one file; return 0 where it ended as told."""
    die_with_parent()
    leave_network()
    child = Child.start("maas reader", before_threads=_confine)

    from maas.programs.reader.parquet import Refused, report_rows

    try:
        report_rows(child, Path(child.spec["path"]), longest_row=int(child.spec["longest_row"]))
    except Refused as refusal:
        child.report("refused", template=refusal.template, values=refusal.values)
    else:
        child.report("done")
    return 0


def _confine(spec: Mapping[str, Any]) -> None:
    limit_resources(memory_bytes=int(spec["memory_bytes"]), cpu_seconds=int(spec["cpu_seconds"]), file_bytes=0)
    confine(readable=[Path(spec["path"])], writable=[])


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # The watching thread holds stdin's lock, which an orderly end of the interpreter would trip over.
    os._exit(status)
