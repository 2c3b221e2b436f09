"""How things may be called and described."""

import re

from maas.domain.errors import OutOfRange, WrongForm

LONGEST_NAME = 200
LONGEST_DESCRIPTION = 10_000
MOST_TAGS = 50
LONGEST_TAG = 64

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_IN_TEXT = re.compile("[\x00\ud800-\udfff]")


def checked_name(name: str, *, field: str = "name") -> str:
    """Return `name`, or raise: 1 to 200 characters, none of them a control character, not all blank."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise OutOfRange("a name has 1 to 200 characters", field=field)
    if _CONTROL.search(name) or not name.strip():
        raise WrongForm("a name has no control characters and is not blank", field=field)
    return name


def checked_description(text: str | None, *, field: str = "description") -> str | None:
    """Return `text`, or raise OutOfRange past 10,000 characters."""
    if text is None:
        return None
    if len(text) > LONGEST_DESCRIPTION:
        raise OutOfRange("a description has at most {limit} characters", field=field, limit=LONGEST_DESCRIPTION)
    if _CONTROL_IN_TEXT.search(text):
        raise WrongForm("this text holds characters that cannot be kept", field=field)
    return text


def checked_tags(tags: list[str], *, field: str = "tags") -> list[str]:
    """Return `tags` without repetitions, or raise: 50 at most, each 1 to 64 characters."""
    if len(tags) > MOST_TAGS:
        raise OutOfRange("at most {limit} tags", field=field, limit=MOST_TAGS)
    for index, tag in enumerate(tags):
        if not 1 <= len(tag) <= LONGEST_TAG or _CONTROL.search(tag):
            raise OutOfRange("a tag has 1 to {limit} characters", field=f"{field}.{index}", limit=LONGEST_TAG)
    return list(dict.fromkeys(tags))


def plain_file_name(name: str) -> str:
    """Return the end of a file's name as it can be kept and told: 200 characters, control characters replaced."""
    return _CONTROL.sub("_", name)[-LONGEST_NAME:]
