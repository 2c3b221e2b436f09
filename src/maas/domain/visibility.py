"""Who may see and use a thing."""

from enum import StrEnum


class Visibility(StrEnum):
    """Until organizations exist, `organization` shows a thing to its owner alone."""

    PRIVATE = "private"
    ORGANIZATION = "organization"
    PUBLIC = "public"
