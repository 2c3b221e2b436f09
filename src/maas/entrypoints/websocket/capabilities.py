"""The capabilities that have WebSockets: their modules, each with `routes`."""

from collections.abc import Sequence
from types import ModuleType

from maas.entrypoints.websocket import finetuning

MODULES: Sequence[ModuleType] = (finetuning,)
"""A capability's module joins here once it has sockets; the container is wired to each."""
