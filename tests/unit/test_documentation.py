"""What the documents say is true."""

from pathlib import Path

import pytest

from maas.settings import markdown_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md"])
def test_the_table_of_settings_is_that_of_the_code(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")

    shown = text.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0].strip()

    assert shown == markdown_table(), "run: maas settings --markdown"
