"""The places that models may be imported from."""

from collections.abc import Mapping

from maas.application.ports.model_source import ModelSource, SourceListing
from maas.domain.catalog.source import Source, SourceType


class ImportSources:
    """Each kind of source with the port that reads it."""

    def __init__(self, *, folders: ModelSource, hub: ModelSource) -> None:
        self._by_type: Mapping[SourceType, ModelSource] = {SourceType.FOLDER: folders, SourceType.HUB: hub}

    def check(self, source: Source) -> None:
        """Raise WrongForm where nothing may be imported from there."""
        self._by_type[source.type].check(source)

    def open(self, source: Source) -> SourceListing:
        return self._by_type[source.type].open(source)
