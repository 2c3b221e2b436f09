"""Whether this system lets children leave the network, as engines and trainers do before they touch a model."""

import subprocess
import sys
from functools import cache

_PROBE = "import sys; from maas.programs.child import leave_network; sys.exit(0 if leave_network() else 1)"
_PROBE_SECONDS = 20


class NotIsolated(Exception):
    """Children cannot leave the network here: whoever breaks out of a model's files could connect to others."""


def check_isolation() -> None:
    """Raise NotIsolated where a child could not leave the network; asked of the system once."""
    if not _can_leave():
        raise NotIsolated("the system refuses network namespaces: run as root, or allow user namespaces")


@cache
def _can_leave() -> bool:
    done = subprocess.run([sys.executable, "-c", _PROBE], check=False, timeout=_PROBE_SECONDS, stdin=subprocess.DEVNULL)
    return done.returncode == 0
