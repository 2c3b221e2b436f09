"""Models and their versions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from maas.domain.catalog.facts import CATEGORIES, ModelFacts, ModelType
from maas.domain.errors import Conflict, OutOfRange, UnsupportedFile, WrongForm
from maas.domain.events import Event
from maas.domain.naming import checked_description, checked_name, checked_tags
from maas.domain.visibility import Visibility

FIRST_VERSION = "1.0.0"
MOST_EXAMPLES = 20
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_+]{0,63}")


class VersionStatus(StrEnum):
    """Where a version stands on its way to being usable."""

    UPLOADING = "uploading"
    VALIDATING = "validating"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class ModelVersionReady(Event):
    """A version can be used."""

    model_id: UUID
    version: str


@dataclass(frozen=True, kw_only=True)
class ModelVersionFailed(Event):
    """A version will never be usable; it says why."""

    model_id: UUID
    version: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ModelVersionDeleted(Event):
    """A version is gone; its files may go too."""

    model_id: UUID
    files_root: str


@dataclass(frozen=True, kw_only=True)
class ModelDeleted(Event):
    """A model is gone with all of its versions."""

    model_id: UUID


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What a model was made from."""

    base_model_id: UUID | None = None
    dataset_id: UUID | None = None
    job_id: UUID | None = None


@dataclass(frozen=True, kw_only=True)
class VersionFiles:
    """What a version is made of, once it lies in the file store under `root`; see ModelVersion."""

    root: str
    size: int
    sha256: str | None = None
    archive_name: str | None = None
    files: Sequence[dict[str, Any]] = ()


def checked_version(version: str) -> str:
    """Return `version`, or raise WrongForm: 1 to 64 of letters, digits, '.', '-', '_', '+', a letter or digit first."""
    if not is_version(version):
        raise WrongForm(
            "a version has 1 to 64 letters, digits, '.', '-', '_' or '+', and begins with a letter or digit",
            field="version",
        )
    return version


def is_version(text: str) -> bool:
    """Tell whether a version may be called so."""
    return _VERSION.fullmatch(text) is not None


def checked_category(category: str | None, kind: ModelType) -> str:
    """Return the category, the first of its type where none is given; raise WrongForm where it does not fit the type."""
    if category is None:
        return DEFAULT_CATEGORIES[kind]
    if category not in CATEGORIES[kind]:
        raise WrongForm(
            "a model of type {type} has one of these categories: {categories}",
            field="category",
            type=kind.value,
            categories=", ".join(sorted(CATEGORIES[kind])),
        )
    return category


DEFAULT_CATEGORIES = {
    ModelType.LLM: "text-generation",
    ModelType.EMBEDDING: "feature-extraction",
    ModelType.RERANKER: "text-ranking",
}


def checked_examples(examples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return usage examples, or raise: 20 at most, each text within 10,000 characters."""
    if len(examples) > MOST_EXAMPLES:
        raise OutOfRange("at most {limit} examples", field="usage_examples", limit=MOST_EXAMPLES)
    for index, example in enumerate(examples):
        for name, text in example.items():
            checked_description(text, field=f"usage_examples.{index}.{name}")
    return [dict(example) for example in examples]


@dataclass(eq=False, kw_only=True)
class ModelVersion:
    """One set of files of a model.

    Its tree in the file store is `files_root`: `files/` holds the folder in Hugging Face's layout, and beside it lies the
    uploaded archive, where there was one, as `archive_name`. `metadata` is what the files say (`ModelFacts.to_json`).
    `file_size` is what came up: the archive, or the sum of the files. `sha256` is that of the download, and None until
    somebody asks for one that has to be put together first. `files` lists `{name, size, sha256}`.
    `percentage` tells how much of an import has arrived.
    """

    id: UUID
    model_id: UUID
    owner_id: UUID
    version: str = FIRST_VERSION
    description: str | None = None
    status: VersionStatus = VersionStatus.UPLOADING
    reason: str | None = None
    files_root: str
    archive_name: str | None = None
    file_size: int = 0
    sha256: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] | None = None
    percentage: float | None = None
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        checked_version(self.version)
        checked_description(self.description)

    @property
    def files_key(self) -> str:
        """The key of the folder that is served and trained on."""
        return f"{self.files_root}/files"

    @property
    def archive_key(self) -> str | None:
        return None if self.archive_name is None else f"{self.files_root}/{self.archive_name}"

    @property
    def charged_bytes(self) -> int:
        """What counts to its owner's storage: what came up, or the unpacked files where those are larger."""
        return max(self.file_size, sum(int(file["size"]) for file in self.files))

    @property
    def is_ready(self) -> bool:
        return self.status is VersionStatus.READY

    @property
    def is_pending(self) -> bool:
        return self.status in (VersionStatus.UPLOADING, VersionStatus.VALIDATING)

    def require_ready(self) -> None:
        if not self.is_ready:
            raise Conflict("version {version} is {status}, not ready", version=self.version, status=self.status.value)

    def validate(self, *, at: datetime) -> None:
        """The files have arrived; they are being looked at."""
        self._move(VersionStatus.VALIDATING, at=at)

    def become_ready(self, files: VersionFiles, facts: ModelFacts, *, at: datetime) -> ModelVersionReady:
        """The files lie in the store, and are what they should be."""
        self._move(VersionStatus.READY, at=at)
        self.files_root, self.archive_name, self.sha256 = files.root, files.archive_name, files.sha256
        self.file_size, self.files = files.size, list(files.files)
        self.metadata = facts.to_json()
        self.percentage = None
        return ModelVersionReady(owner_id=self.owner_id, model_id=self.model_id, version=self.version)

    def fail(self, reason: str, *, at: datetime) -> ModelVersionFailed:
        self._move(VersionStatus.FAILED, at=at)
        self.reason = reason
        return ModelVersionFailed(owner_id=self.owner_id, model_id=self.model_id, version=self.version, reason=reason)

    def delete(self) -> ModelVersionDeleted:
        return ModelVersionDeleted(owner_id=self.owner_id, model_id=self.model_id, files_root=self.files_root)

    def _move(self, status: VersionStatus, *, at: datetime) -> None:
        if not self.is_pending:
            raise Conflict("version {version} is {status} already", version=self.version, status=self.status.value)
        self.status = status
        self.updated_at = at


@dataclass(eq=False, kw_only=True)
class Model:
    """A model with its card; its files belong to its versions.

    `reserved_by` is the fine-tuning job that will make the model: until then the name is taken and nobody sees the model.
    """

    id: UUID
    owner_id: UUID
    name: str
    description: str | None = None
    type: ModelType
    category: str
    visibility: Visibility = Visibility.PRIVATE
    license: str | None = None
    tags: list[str] = field(default_factory=list)
    usage_examples: list[dict[str, Any]] = field(default_factory=list)
    lineage: Lineage | None = None
    reserved_by: UUID | None = None
    download_count: int = 0
    like_count: int = 0
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_description(self.description)
        checked_category(self.category, self.type)
        self.license = _checked_license(self.license)
        self.tags = checked_tags(self.tags)

    def change(self, changes: dict[str, Any], *, at: datetime) -> None:
        """Set the given ones of name, description, category, visibility, license, tags and usage_examples; None clears."""
        if "name" in changes:
            self.name = checked_name(changes["name"])
        if "description" in changes:
            self.description = checked_description(changes["description"])
        if "category" in changes:
            self.category = checked_category(changes["category"], self.type)
        if "visibility" in changes:
            self.visibility = Visibility(changes["visibility"])
        if "license" in changes:
            self.license = _checked_license(changes["license"])
        if "tags" in changes:
            self.tags = checked_tags(changes["tags"] or [])
        if "usage_examples" in changes:
            self.usage_examples = checked_examples(changes["usage_examples"] or [])
        self.updated_at = at

    def check_agrees(self, facts: ModelFacts) -> None:
        """Raise UnsupportedFile where the files are those of another type of model."""
        if facts.suggested_type is not None and facts.suggested_type is not self.type:
            raise UnsupportedFile(
                "the files are those of a model of type {found}, not {expected}",
                field="type",
                found=facts.suggested_type.value,
                expected=self.type.value,
            )

    def appear(self, *, at: datetime) -> None:
        """Be seen from now on: the job that reserved the name has made the model."""
        self.reserved_by = None
        self.created_at = self.updated_at = at

    def delete(self) -> ModelDeleted:
        return ModelDeleted(owner_id=self.owner_id, model_id=self.id)


def _checked_license(text: str | None) -> str | None:
    return None if text is None else checked_name(text, field="license")


def latest_ready(versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return the newest version that can be used."""
    return max((version for version in versions if version.is_ready), key=lambda version: version.id, default=None)
