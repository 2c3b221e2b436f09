"""A platform of the demo's own: `maas serve` on a fresh data folder, ended in order whatever happens."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from maas.entrypoints.cli.demo.failures import DemoFailed
from maas.entrypoints.lifeline import die_with_parent

DATA_FOLDER, LOG_FILE = "data", "serve.log"
_READY = re.compile(r"^maas is ready at (\S+)", re.MULTILINE)
_READY_SECONDS = 90.0
_END_SECONDS = 40.0
_LOOK_SECONDS = 0.1
_SHOWN_LINES = 8
# What a person has set for another platform must not reach this one; these only say how it works.
_KEPT_SETTINGS = frozenset({"MAAS_LOG_LEVEL", "MAAS_TRAINER_THREADS", "MAAS_ENGINE_THREADS", "MAAS_ENGINE_DTYPE"})
_SETTINGS = {"MAAS_LIMIT_API_CALLS": "100000", "MAAS_LIMIT_UPLOADS": "1000", "MAAS_LIMIT_DEPLOYMENTS": "1000"}


class Platform:
    """Runs `maas serve` below `folder` from `start` until `stop`; also a context manager that stops it."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / DATA_FOLDER
        self.log_path = folder / LOG_FILE
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the platform on a free port."""
        command = [sys.executable, "-m", "maas.entrypoints.cli", "serve", "--data-dir", str(self.data_dir), "--port", "0"]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C reaches the demo alone, which then ends the platform in order; where the demo is killed, so is this.
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - nothing of the demo runs in a thread yet
            )

    def wait_until_ready(self) -> str:
        """Return the platform's address as soon as it can be called."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if found := _READY.search(self._log()):
                self.url = found[1]
                return self.url
            self.check()
            time.sleep(_LOOK_SECONDS)
        raise DemoFailed(f"the platform was not ready within {_READY_SECONDS:.0f} seconds:\n{self._last_lines()}")

    def check(self) -> None:
        """Raise DemoFailed where the platform has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise DemoFailed(f"the platform ended with status {self._process.returncode}:\n{self._last_lines()}")

    def wait(self) -> None:
        """Wait until the platform ends."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> int | None:
        """End the platform and all its processes; return its status, or None where it was not running."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def _last_lines(self) -> str:
        return "\n".join(self._log().splitlines()[-_SHOWN_LINES:])


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAAS_") or name in _KEPT_SETTINGS}
    return {**inherited, **_SETTINGS}
