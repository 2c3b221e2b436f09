"""Where the files of a version are imported from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from maas.domain.errors import MissingValue, Problem, WrongForm

DEFAULT_REVISION = "main"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_WEIGHTS = ".safetensors"
_OTHER_WEIGHTS = frozenset({
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".keras", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite", ".gguf", ".mlmodel",
})  # fmt: skip


class SourceType(StrEnum):
    """A folder of this machine that the operator lists, or a repository of the model hub."""

    FOLDER = "folder"
    HUB = "hub"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place to import from: a folder has a `path`, a repository of the hub a `revision`."""

    type: SourceType
    path: str | None = None
    repository: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        needed, others = _PARTS[self.type]
        if getattr(self, needed) is None:
            raise MissingValue("Missing data for required field.", field=f"source.{needed}")
        wrong = [name for name in others if getattr(self, name) is not None]
        if wrong:
            problems = [Problem(field=f"source.{name}", template="Unknown field.") for name in wrong]
            raise WrongForm("the input is not valid", problems=problems)
        if self.repository is not None and (not _REPOSITORY.fullmatch(self.repository) or ".." in self.repository):
            raise WrongForm("a repository is written like owner/name", field="source.repository")
        if self.revision is not None and (not _REVISION.fullmatch(self.revision) or ".." in self.revision):
            raise WrongForm("a revision is a branch, a tag or a commit", field="source.revision")

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        return cls(**{**content, "type": SourceType(content["type"])})

    def to_json(self) -> dict[str, Any]:
        """Return the source as it is stored: what is given of it."""
        return {
            "type": self.type.value,
            **{name: value for name, value in vars(self).items() if name != "type" and value is not None},
        }


_PARTS = {SourceType.FOLDER: ("path", ("repository", "revision")), SourceType.HUB: ("repository", ("path",))}


def wanted_names(names: Iterable[str]) -> list[str]:
    """Return the files of a folder or repository that belong to a model: nothing hidden, and beside safetensors no weights of
    other formats, which repositories often carry too."""
    visible = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not any(name.endswith(_WEIGHTS) for name in visible):
        return visible
    return [name for name in visible if f".{name.rpartition('.')[2].lower()}" not in _OTHER_WEIGHTS]
