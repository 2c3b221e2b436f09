"""The capabilities that the API is made of: their modules, each with a `blueprint`."""

from collections.abc import Sequence
from types import ModuleType

from maas.entrypoints.http import deployments, datasets, finetuning, identity, inference, models

MODULES: Sequence[ModuleType] = (deployments, datasets, finetuning, identity, inference, models)
"""A capability's module joins here once it has routes; the container is wired to each."""
