"""The child's side of the platform's line protocol, and the walls around a child.

stdin brings one JSON specification, then JSON commands, a line each; its end means that the parent is gone.
stdout takes one JSON report a line. stderr is for people.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_OUT_OF_MEMORY_SCORE = "800"
_PARENT_GONE_STATUS = 3


class Child:
    """A running child: its specification, its reports, its commands."""

    def __init__(self, spec: Mapping[str, Any], reports_fd: int) -> None:
        self.spec = spec
        self._reports_fd = reports_fd
        self._lock = threading.Lock()
        self._on_command: Callable[[dict[str, Any]], None] | None = None
        self._early_commands: list[dict[str, Any]] = []

    @classmethod
    def start(cls, title: str, *, before_threads: Callable[[Mapping[str, Any]], None] = lambda _: None) -> "Child":
        """Name the process, read the specification, and begin to watch the parent's pipe.

        `before_threads` is called with the specification while this process has a single thread: walls hold all that come after.
        """
        setproctitle(title)
        reports_fd = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        line = sys.stdin.buffer.readline()
        if not line:
            os._exit(_PARENT_GONE_STATUS)
        child = cls(json.loads(line), reports_fd)
        before_threads(child.spec)
        threading.Thread(target=child._watch_parent, name="parent-watch", daemon=True).start()
        return child

    def report(self, kind: str, **fields: object) -> None:
        """Send `{"type": kind, …}` to the parent; floats must be finite."""
        line = json.dumps({"type": kind, **fields}, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self._lock:
            view = memoryview(line)
            while view:
                view = view[os.write(self._reports_fd, view) :]

    def on_command(self, callback: Callable[[dict[str, Any]], None]) -> None:
        """Call `callback` (on the watching thread) with each command, those that already came included."""
        with self._lock:
            self._on_command = callback
            early, self._early_commands = self._early_commands, []
        for command in early:
            callback(command)

    def _watch_parent(self) -> None:
        for line in sys.stdin.buffer:
            command = json.loads(line)
            with self._lock:
                callback = self._on_command
                if callback is None:
                    self._early_commands.append(command)
            if callback is not None:
                callback(command)
        os._exit(_PARENT_GONE_STATUS)


def die_with_parent() -> None:
    """Let the system kill this process when the thread that started it ends, whatever this process is busy with."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def die_first() -> None:
    """Let the system choose this process before any other of the platform when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, encoding="ascii")


def leave_network() -> bool:
    """Move this process into a network namespace of its own, where only inherited sockets work.

    Call it before any thread starts: a user namespace, the way for those who are not root, is refused to a process with threads.
    Returns False where the system allows neither way.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def limit_resources(*, memory_bytes: int | None = None, cpu_seconds: int | None = None, file_bytes: int | None = None) -> None:
    """Set this process's limits on address space, processor time and size of a written file."""
    limits = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    )
    for name, value in limits:
        if value is not None:
            resource.setrlimit(name, (value, value))
