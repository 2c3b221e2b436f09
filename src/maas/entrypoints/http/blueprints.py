"""The capabilities that the API is made of: their modules, each with a `blueprint`."""

from collections.abc import Sequence
from types import ModuleType

from maas.entrypoints.http import inference

MODULES: Sequence[ModuleType] = (inference,)
"""A capability's module joins here once it has routes; the container is wired to each."""
