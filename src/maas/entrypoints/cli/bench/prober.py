"""`python -m maas.entrypoints.cli.bench.prober`: calls at a steady pace, from a process that does nothing else."""

import json
import sys
import time

from maas.entrypoints.cli.bench.clients import KeptConnection


def main() -> None:
    """Read what to call from stdin, call, and print the seconds of each call as JSON."""
    wanted = json.load(sys.stdin)
    connection = KeptConnection(wanted["port"], wanted["path"], wanted["headers"])
    pause, next_at = 1 / wanted["per_second"], time.monotonic()
    seconds = []
    for _ in range(wanted["calls"]):
        next_at += pause
        time.sleep(max(0.0, next_at - time.monotonic()))
        seconds.append(connection.call())
    connection.close()
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
