"""Receives the files of a version into a staging, and brings them into Hugging Face's layout."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from maas.application.catalog.unpacking import Unpacking
from maas.application.ports.archive_reader import ArchiveFormat, ArchiveReader, format_by_name
from maas.application.ports.file_store import Staging, WrittenFile
from maas.application.ports.incoming_form import IncomingFile, IncomingForm, ReceivedFile
from maas.application.ports.model_inspector import ModelInspector
from maas.domain.catalog.facts import ModelFacts
from maas.domain.catalog.file_names import checked_file_name, folder_around
from maas.domain.catalog.model import VersionFiles
from maas.domain.errors import UnsupportedFile

FILES, MODEL_FILE, CONFIG_FILE = "files", "model_file", "config_file"
_ARRIVING = "arriving"
_CONFIG, _ADAPTER_CONFIG = "config.json", "adapter_config.json"
_WEIGHTS, _ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
_WEIGHT_ENDINGS = (".safetensors", ".safetensors.index.json")
_KNOWN_WEIGHTS = frozenset({_WEIGHTS, _ADAPTER_WEIGHTS, "model.safetensors.index.json"})


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """What has arrived: the fields of the form, and the files that lie in the staging's `files/` (none for an import)."""

    fields: Mapping[str, Any]
    files: Sequence[WrittenFile] = ()
    archive: WrittenFile | None = None

    @property
    def lacks_config(self) -> bool:
        return self.archive is None and not {file.name for file in self.files} & {_CONFIG, _ADAPTER_CONFIG}

    def completed(self, staging: Staging, before: Path, files_before: Sequence[Mapping[str, Any]]) -> "Arrived":
        """Add the files of the version before, which lie in the folder `before`, that are neither weights nor here already."""
        here = {file.name for file in self.files}
        more = []
        for name in (file["name"] for file in files_before):
            if name not in here and not name.endswith(_WEIGHT_ENDINGS):
                writer = staging.create(f"{FILES}/{name}")
                writer.write((before / name).read_bytes())
                more.append(replace(writer.finish(), name=name))
        return replace(self, files=[*self.files, *more])

    def stored(self, root: str) -> VersionFiles:
        """Return the files as a version keeps them under `root`."""
        return VersionFiles(
            root=root,
            size=self.archive.size if self.archive else sum(file.size for file in self.files),
            sha256=self.archive.sha256 if self.archive else None,
            archive_name=self.archive.name if self.archive else None,
            files=[asdict(file) for file in self.files],
        )


class Arrivals:
    """Knows how a version may arrive: as one archive, or file by file."""

    def __init__(self, *, archive_reader: ArchiveReader, inspector: ModelInspector) -> None:
        self.archive_reader = archive_reader
        self.inspector = inspector

    def receive(
        self,
        form: IncomingForm,
        staging: Staging,
        *,
        largest_bytes: int,
        foresee: Callable[[Mapping[str, Any]], None],
    ) -> Arrived:
        """Read the form into the staging. An archive comes alone, and is kept beside the files that were in it."""
        received = form.receive(staging, place=_Places(), foresee=foresee)
        archive = _archive_among(received.files)
        if archive is None:
            files = [replace(file.written, name=file.written.name.removeprefix(f"{_ARRIVING}/")) for file in received.files]
            files = _in_layout(staging.folder, files, received.files)
            return Arrived(fields=received.fields, files=files)
        unpacking = Unpacking(staging, _ARRIVING, largest_bytes=largest_bytes)
        try:
            unpacking.unpack(self.archive_reader, staging.folder / archive.written.name, _format_of(archive))
        except UnsupportedFile as error:
            raise _at(error, archive.field) from error
        return Arrived(fields=received.fields, files=_in_layout(staging.folder, unpacking.files), archive=archive.written)

    def inspect(self, staging: Staging) -> ModelFacts:
        """Return what the files say, or raise what is wrong with them."""
        return self.inspector.inspect(staging.folder / FILES)


class _Places:
    """Names an archive plainly, and lets other files grow below one folder."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __call__(self, file: IncomingFile) -> str:
        archive_format = format_by_name(file.file_name)
        if archive_format is not None:
            place = f"archive{archive_format.value}"
        else:
            try:
                place = f"{_ARRIVING}/{checked_file_name(file.file_name)}"
            except UnsupportedFile as error:
                raise _at(error, file.field) from error
        if place in self._taken:
            raise UnsupportedFile("two files are named {name}", field=file.field, name=file.file_name)
        self._taken.add(place)
        return place


def _archive_among(files: Sequence[ReceivedFile]) -> ReceivedFile | None:
    archive = next((file for file in files if format_by_name(file.file_name) is not None), None)
    if archive is not None and len(files) > 1:
        raise UnsupportedFile("an archive comes alone, with all files of the model in it", field=archive.field)
    return archive


def _format_of(archive: ReceivedFile) -> ArchiveFormat:
    return ArchiveFormat(archive.written.name.removeprefix("archive"))


def _at(error: UnsupportedFile, field: str) -> UnsupportedFile:
    """Return the error with the field that it is about."""
    values: dict[str, Any] = error.values
    return error if error.problems else UnsupportedFile(error.template, field=field, **values)


def _in_layout(folder: Path, files: Sequence[WrittenFile], received: Sequence[ReceivedFile] = ()) -> list[WrittenFile]:
    """Move what has arrived to `files/`, without a folder around it; give single parts the names that their fields mean."""
    if not files:
        return []
    around = folder_around(file.name for file in files)
    (folder / _ARRIVING / around).rename(folder / FILES)
    if around:
        (folder / _ARRIVING).rmdir()
    plain = [replace(file, name=file.name.removeprefix(around)) for file in files]
    for wanted, found in _meant_names(received, plain).items():
        (folder / FILES / found).rename(folder / FILES / wanted)
        plain = [replace(file, name=wanted) if file.name == found else file for file in plain]
    return plain


def _meant_names(received: Sequence[ReceivedFile], files: Sequence[WrittenFile]) -> dict[str, str]:
    """Return the usual names of a config and of weights that came under names of their own, with those names."""
    names = {file.name for file in files}
    by_field = {file.field: name for file, name in zip(received, (file.name for file in files), strict=False)}
    meant = {}
    config = by_field.get(CONFIG_FILE)
    if config is not None and not names & {_CONFIG, _ADAPTER_CONFIG}:
        meant[_CONFIG] = config
    weights = by_field.get(MODEL_FILE)
    if weights is not None and weights.endswith(".safetensors") and "/" not in weights and not names & _KNOWN_WEIGHTS:
        meant[_ADAPTER_WEIGHTS if _ADAPTER_CONFIG in names else _WEIGHTS] = weights
    return meant
