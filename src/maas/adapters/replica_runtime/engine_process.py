"""One engine in a process of its own, as its parent sees it."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Any

import psutil

from maas.adapters.replica_runtime.held_port import HeldPort
from maas.application.ports.replica_runtime import ReplicaState, Sighting
from maas.domain.serving.log import without_paths

log = logging.getLogger(__name__)

_KEPT_LINES = 200
_LAST_WORDS_SECONDS = 2.0
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
)
"""What an engine may know of our environment: where programs and the GPU are, and no secret."""
_ADDED = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
    # Progress bars are for terminals, not for logs.
    "TQDM_DISABLE": "1",
}


class EngineProcess:
    """An engine from its preparation to its end, on two threads: one that starts it and hears its reports, one that reads its stderr.

    Its stdin is its life line: when this process ends, however that comes, the engine ends too.
    """

    def __init__(self, prepare: Callable[[], dict[str, Any]]) -> None:
        """`prepare` returns the engine's specification but for its socket; it may take long, and may raise."""
        self._prepare = prepare
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: psutil.Process | None = None
        self._port: HeldPort | None = None
        self._state = ReplicaState.STARTING
        self._reason: str | None = None
        self._told_to_end = False
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._last_line = ""
        self._cpu_seconds = 0.0
        self.busy: float | None = None
        self._thread = threading.Thread(target=self._live, name="engine-parent", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def address(self) -> str | None:
        return None if self._port is None else self._port.address

    @property
    def is_ready(self) -> bool:
        return self._state is ReplicaState.READY

    @property
    def has_ended(self) -> bool:
        return self._state is ReplicaState.ENDED

    def sighting(self) -> Sighting:
        memory_bytes = self._measure()
        with self._lock:
            return Sighting(
                state=self._state,
                address=self.address if self.is_ready else None,
                reason=self._reason,
                cpu_seconds=self._cpu_seconds,
                memory_bytes=memory_bytes,
                busy=self.busy,
            )

    def take_lines(self) -> list[str]:
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        return lines

    def drain(self) -> None:
        """Tell the engine to answer what it has, and end."""
        with self._lock:
            self._told_to_end = True
            process = self._process
        if process is not None and process.stdin is not None:
            _write_line(process.stdin, {"type": "drain"})

    def stop(self, reason: str | None = None) -> None:
        """End the engine now, with all that it started. A `reason` tells that it was not meant to end."""
        with self._lock:
            if reason is None:
                self._told_to_end = True
            elif self._reason is None:
                self._reason = reason
            process = self._process
            if process is not None:
                _kill_group(process.pid)

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return False where it takes longer."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def release(self) -> None:
        """Give the port away: whoever knew the address has forgotten it."""
        if self._port is not None:
            self._port.release()

    def _live(self) -> None:
        try:
            process = self._spawn(self._prepare())
        except Exception as error:
            log.exception("an engine could not be started")
            self._end(f"the engine could not be started: {without_paths(str(error))}")
            return
        if process is None:
            self._end(None)
            return
        reader = threading.Thread(target=self._read_stderr, args=(process,), name="engine-stderr", daemon=True)
        reader.start()
        self._hear_reports(process)
        # The process stays a zombie until its group is dead as well: so its number cannot be another's.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        _kill_group(process.pid)
        reader.join(_LAST_WORDS_SECONDS)
        with self._lock:
            status = process.wait()
            self._process = self._seen = None
            for pipe in (process.stdin, process.stdout, process.stderr):
                _close(pipe)
        self._end(self._reason_of(status))

    def _spawn(self, spec: dict[str, Any]) -> "subprocess.Popen[bytes] | None":
        """Start the process, or return None where the engine was told to end before it began."""
        with self._lock:
            if self._told_to_end:
                return None
            self._port = HeldPort()
            with self._port.listen() as listener:
                listener.set_inheritable(True)
                process = subprocess.Popen(
                    [sys.executable, "-m", "maas.programs.engine"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=_environment(os.environ),
                    pass_fds=[listener.fileno()],
                    start_new_session=True,
                )
                spec["socket_fd"] = listener.fileno()
            self._process, self._seen = process, psutil.Process(process.pid)
        assert process.stdin is not None
        _write_line(process.stdin, spec)
        return process

    def _hear_reports(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            report = json.loads(line)
            if report["type"] == "ready":
                with self._lock:
                    self._state = ReplicaState.READY
            elif report["type"] == "failed":
                with self._lock:
                    self._reason = without_paths(report["reason"])
            elif report["type"] == "confinement":
                self._tell_missing_walls(report)

    def _tell_missing_walls(self, report: Mapping[str, Any]) -> None:
        if not report["network"]:
            self._tell("this system does not let engines leave the network: they run with access to it")
        if not report.get("files", True):
            self._tell("this system has no Landlock: engines see all files of the platform's account")

    def _read_stderr(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._tell(line.decode(errors="replace").rstrip())

    def _tell(self, line: str) -> None:
        text = without_paths(line)
        if text.strip():
            with self._lock:
                self._lines.append(text)
                self._last_line = text

    def _reason_of(self, status: int) -> str | None:
        if self._reason is not None:
            return self._reason
        if self._told_to_end:
            return None
        if status < 0:
            return f"the engine was killed by {signal.Signals(-status).name}"
        told = f": {self._last_line}" if self._last_line else ""
        return f"the engine ended with status {status}{told}"

    def _end(self, reason: str | None) -> None:
        with self._lock:
            self._reason = reason
            self._state = ReplicaState.ENDED

    def _measure(self) -> int:
        """Note the processor time so far, and return the memory in use."""
        seen = self._seen
        if seen is None:
            return 0
        try:
            times = seen.cpu_times()
            self._cpu_seconds = times.user + times.system
            return int(seen.memory_info().rss)
        except psutil.Error:
            # It has just ended: what was measured last stands.
            return 0


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {name: ours[name] for name in _PASSED_ON if name in ours} | _ADDED


def _write_line(pipe: IO[bytes], message: dict[str, Any]) -> None:
    try:
        pipe.write(json.dumps(message).encode() + b"\n")
        pipe.flush()
    except (OSError, ValueError):
        log.debug("an engine ended before it was spoken to", exc_info=True)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        log.debug("an engine has ended already")


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        log.debug("an engine ended with unread words", exc_info=True)
