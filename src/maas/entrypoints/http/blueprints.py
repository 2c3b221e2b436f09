"""The capabilities that the API is made of: their modules, each with a `blueprint`."""

from collections.abc import Sequence
from types import ModuleType

MODULES: Sequence[ModuleType] = ()
"""A capability's module joins here once it has routes; the container is wired to each."""
