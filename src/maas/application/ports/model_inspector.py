"""The port for reading what a model's files say, as data."""

from abc import ABC, abstractmethod
from pathlib import Path

from maas.domain.catalog.facts import ModelFacts


class ModelInspector(ABC):
    """Looks at files that users brought; runs nothing of them."""

    @abstractmethod
    def inspect(self, folder: Path) -> ModelFacts:
        """Return what the files say.

        Raises UnsupportedFile, naming the file in `field` and saying what helps: pickles, damaged or truncated weights,
        configs that ask for code of their own, unknown number formats. Raises MissingValue where needed files are absent.
        """
