"""The capabilities that the API is made of: their modules, each with a `blueprint`."""

from collections.abc import Sequence
from types import ModuleType

from maas.entrypoints.http import batches, datasets, deployments, finetuning, identity, inference, models, openai_api

MODULES: Sequence[ModuleType] = (batches, datasets, deployments, finetuning, identity, inference, models, openai_api)
"""A capability's module joins here once it has routes; the container is wired to each."""
