"""What is told of a deployment, line by line."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

LONGEST_LINE = 2_000
MOST_LINES = 2_000


class LineLevel(StrEnum):
    """How much a line should be heeded."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class DeploymentLine:
    """A sentence about a deployment, or one that an engine of it has written."""

    id: UUID
    deployment_id: UUID
    replica_id: UUID | None = None
    level: LineLevel = LineLevel.INFO
    message: str
    at: datetime


_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/'\":,;()<>]+/)*([^\s/'\":,;()<>]*)")


def without_paths(text: str) -> str:
    """Return a line with every absolute path cut down to its last part, and no longer than a line may be."""
    return _PATH.sub(r"\1", text)[:LONGEST_LINE]
