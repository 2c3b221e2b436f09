"""The port for what a caller uploads: fields, and files that are written where they are kept as they arrive."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maas.application.ports.file_store import Staging, WrittenFile


@dataclass(frozen=True, kw_only=True)
class IncomingFile:
    """A file that begins to arrive: the field that it comes in, and the name that the caller gives it."""

    field: str
    file_name: str


@dataclass(frozen=True, kw_only=True)
class ReceivedFile:
    """A file that has arrived."""

    field: str
    file_name: str
    written: WrittenFile


@dataclass(frozen=True, kw_only=True)
class ReceivedForm:
    """What has arrived: fields of the right form, and files."""

    fields: Mapping[str, Any]
    files: Sequence[ReceivedFile]


class IncomingForm(ABC):
    """A form of which nothing has been read yet."""

    @abstractmethod
    def admit(self, *, largest_bytes: int) -> int | None:
        """Take at most `largest_bytes` of files. Return the length that the caller declares, or None; raise TooLarge where it
        is more."""

    @abstractmethod
    def receive(
        self,
        staging: Staging,
        *,
        place: Callable[[IncomingFile], str],
        foresee: Callable[[Mapping[str, Any]], None],
    ) -> ReceivedForm:
        """Read all of it. `place` gives a file its name within `staging`; `foresee` is called with the fields that came
        before the first file, so that what they rule out is said before the file is read.

        Raises Invalid with a problem for each wrong field, TooLarge, Malformed where the form breaks off, and whatever `place`
        and `foresee` raise.
        """
