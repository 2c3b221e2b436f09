"""The capabilities that have WebSockets: their modules, each with `routes`."""

from collections.abc import Sequence
from types import ModuleType

MODULES: Sequence[ModuleType] = ()
"""A capability's module joins here once it has sockets; the container is wired to each."""
