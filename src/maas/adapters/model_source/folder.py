"""Models in folders of this machine that the operator lists."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from maas.application.ports.model_source import ModelSource, SourceFile, SourceListing
from maas.domain.catalog.source import Source
from maas.domain.errors import PlatformUnavailable, UnsupportedFile, WrongForm

_CHUNK = 1024 * 1024


class FolderModelSource(ModelSource):
    """Takes what lies below one of `folders`, links included whose target lies there too."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)

    def check(self, source: Source) -> None:
        self._listed(source)

    def open(self, source: Source) -> SourceListing:
        return _FolderListing(self._listed(source), self._roots())

    def _listed(self, source: Source) -> Path:
        """Return the folder; what is not there and what is not listed are told alike."""
        try:
            folder = Path(source.path or "").resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            folder = None
        if (
            folder is None
            or not Path(source.path or "").is_absolute()
            or not folder.is_dir()
            or not _is_below(folder, self._roots())
        ):
            raise WrongForm("this folder is not there, or not below one that the operator lists", field="source.path")
        return folder

    def _roots(self) -> list[Path]:
        return [folder.resolve() for folder in self._folders]


class _FolderListing(SourceListing):
    def __init__(self, folder: Path, roots: Sequence[Path]) -> None:
        self._folder = folder
        self._roots = roots
        self.files = list(self._found())

    def _found(self) -> Iterator[SourceFile]:
        for parent, folders, names in os.walk(self._folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in sorted(names):
                path = Path(parent, name)
                relative = path.relative_to(self._folder).as_posix()
                yield SourceFile(name=relative, size=self._checked(path, relative).stat().st_size)

    def _checked(self, path: Path, name: str) -> Path:
        target = path.resolve()
        if not target.is_file() or not _is_below(target, self._roots):
            raise UnsupportedFile(
                "{name} is no file, or a link that leads out of the listed folders", field="source.path", name=name
            )
        return target

    def read(self, file: SourceFile) -> Iterator[bytes]:
        try:
            with self._checked(self._folder / file.name, file.name).open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise PlatformUnavailable("{name} cannot be read", name=file.name) from error


def _is_below(path: Path, roots: Sequence[Path]) -> bool:
    return any(path == root or root in path.parents for root in roots)
