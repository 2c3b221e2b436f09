"""A place that keeps models in a dictionary."""

from collections.abc import Iterator, Mapping

from maas.application.ports.model_source import ModelSource, SourceFile, SourceListing
from maas.domain.catalog.source import Source
from maas.domain.errors import PlatformUnavailable, WrongForm


class MemoryModelSource(ModelSource):
    """Knows models by repository or path. While `is_down`, it cannot be reached."""

    def __init__(self, models: Mapping[str, Mapping[str, bytes]]) -> None:
        self.models = models
        self.is_down = False

    def check(self, source: Source) -> None:
        """Take whatever is named well."""

    def open(self, source: Source) -> SourceListing:
        if self.is_down:
            raise PlatformUnavailable("the model hub cannot be reached")
        files = self.models.get(source.repository or source.path or "")
        if files is None:
            raise WrongForm("there is no such repository on the model hub, or it may not be read", field="source.repository")
        return _MemoryListing(files)


class _MemoryListing(SourceListing):
    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self.files = [SourceFile(name=name, size=len(content)) for name, content in contents.items()]

    def read(self, file: SourceFile) -> Iterator[bytes]:
        yield self._contents[file.name]
