"""Real processes for the tests of uploads."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.catalog.running import RunningApi, running_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApi]:
    """An API process for tests that leave it as it was."""
    with running_api(tmp_path_factory.mktemp("api") / "data") as running:
        yield running


@pytest.fixture
def own_api(tmp_path: Path) -> Iterator[RunningApi]:
    with running_api(tmp_path / "data") as running:
        yield running
