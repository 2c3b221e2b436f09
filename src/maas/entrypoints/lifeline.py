"""What ties a process of the platform to the one that supervises it: it ends when that one ends, however it ended."""

import ctypes
import os
import signal
import threading

ENVIRONMENT = "MAAS_LIFELINE_FD"
_PR_SET_PDEATHSIG = 1


def hold_on() -> None:
    """Die with the supervisor, where one started this process: it holds the other end of a pipe, which no kill can keep open.

    The kernel's signal at a parent's death is asked for too: it comes sooner, but only where the parent's main thread made us.
    """
    descriptor = os.environ.pop(ENVIRONMENT, None)
    if descriptor is None:
        return
    die_with_parent()
    threading.Thread(target=_watch, args=(int(descriptor),), name="lifeline", daemon=True).start()


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that made it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(descriptor: int) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGKILL)
