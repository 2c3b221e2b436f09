"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House
from tests.postgres import is_available, running_postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres database that is this test process's own."""
    if not is_available():
        pytest.skip("no Postgres here: `make test` installs one, or MAAS_TEST_POSTGRES_URL names one")
    with running_postgres() as url:
        yield url


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A platform in memory, with every limit at its default but for those that would be in the way."""
    return House(tmp_path)
