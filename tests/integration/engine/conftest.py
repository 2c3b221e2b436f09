"""Engines that tests of one module share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.engine.engines import RunningEngine, running_engine
from tests.integration.engine.models import make_model, make_reciter

SCRIPT = "你好，世界！🙂👩‍👩‍👧 The answer is: forty-two. STOP here, or there; 然后结束。"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine-models")


@pytest.fixture(scope="session")
def base(models: Path) -> Path:
    """A model with random weights."""
    return make_model(models / "base")


@pytest.fixture(scope="module")
def engine(base: Path) -> Iterator[RunningEngine]:
    """An engine of a model with random weights, for tests that leave it as it was."""
    with running_engine(base, dtype="float32", model_name="tiny") as running:
        yield running


@pytest.fixture(scope="module")
def reciter(models: Path) -> Iterator[RunningEngine]:
    """An engine that answers a prompt of one token with SCRIPT, and then ends the text."""
    folder = models / "reciter"
    if not folder.exists():
        make_reciter(folder, SCRIPT)
    with running_engine(folder, dtype="float32", model_name="reciter") as running:
        yield running
