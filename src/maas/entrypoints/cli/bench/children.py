"""Children of the bench: programs that are told by lines on stdin and answer by lines on stdout."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_LAST_LINES = 12


class BenchFailed(Exception):
    """A part of the bench broke; the message says which, and how it ended."""


class BenchChild:
    """A running program. Leaving its `with` block ends it."""

    def __init__(self, module: str, spec: Mapping[str, Any], *, log: Path, inherited: Sequence[int] = ()) -> None:
        self._module, self._log = module, log
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=inherited,
                env=environment,
            )
        self.tell(**spec)

    def tell(self, **line: Any) -> None:
        """Send a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, answer: str, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell(**command)
        return self.wait_for(answer)

    def reports(self) -> Iterator[dict[str, Any]]:
        """Yield what it reports until it ends."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def wait_for(self, *kinds: str) -> dict[str, Any]:
        """Return the next report of one of these kinds; raise BenchFailed where it ends before."""
        for report in self.reports():
            if report["type"] in kinds:
                return report
            if report["type"] == "failed":
                raise BenchFailed(f"{self._module}: {report.get('reason')}")
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        raise BenchFailed("\n".join([f"{self._module} ended with status {self.process.wait()}", *lines]))

    def close(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
