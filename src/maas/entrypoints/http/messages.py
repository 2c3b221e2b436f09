"""Messages in the language of the caller."""

import re
from collections.abc import Mapping

from maas.entrypoints.http.messages_zh import MESSAGES_ZH
from maas.entrypoints.http.request import CHINESE


def translate(template: str, values: Mapping[str, object], language: str) -> str:
    """Return the message of an English `template` in `language`, filled from `values`."""
    chosen = MESSAGES_ZH.get(template, template) if language == CHINESE else template
    return chosen.format(**values)


def template_pattern(template: str) -> re.Pattern[str]:
    """Return the pattern of the sentences that `template` makes, its values as named groups."""
    parts = re.split(r"\{(\w+)[^}]*\}", template)
    literal = [re.escape(part) if index % 2 == 0 else f"(?P<{part}>.*)" for index, part in enumerate(parts)]
    return re.compile("".join(literal), re.DOTALL)
