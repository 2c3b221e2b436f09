"""The port for places that models are imported from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from maas.domain.catalog.source import Source


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that can be fetched; size and SHA-256 where the place tells them before."""

    name: str
    size: int | None = None
    sha256: str | None = None


class SourceListing(ABC):
    """The files of one source, as they stand at one moment. `revision` tells which, where the place has revisions."""

    files: Sequence[SourceFile]
    revision: str | None = None

    @abstractmethod
    def read(self, file: SourceFile) -> Iterator[bytes]:
        """Yield the bytes of a file. Raises PlatformUnavailable where the place cannot be reached or breaks off."""


class ModelSource(ABC):
    """A place that models are imported from."""

    @abstractmethod
    def check(self, source: Source) -> None:
        """Raise WrongForm at once where nothing may be imported from there; nothing slow is asked."""

    @abstractmethod
    def open(self, source: Source) -> SourceListing:
        """Look what there is. Raises Invalid where there is nothing to be had, PlatformUnavailable where it may be had later."""
