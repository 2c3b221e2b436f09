"""One platform for the tests of a module, and the curve of a run that nothing broke off."""

from collections.abc import Iterator

import pytest

from maas.domain.catalog.model import Model
from maas.domain.datasets.dataset import Dataset
from maas.domain.finetuning.job import FinetuningJob
from tests.integration.finetuning.works import Works


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    works = Works(tmp_path_factory.mktemp("works"))
    yield works
    works.close()


@pytest.fixture(scope="module")
def base(works: Works) -> Model:
    return works.add_base()


@pytest.fixture(scope="module")
def dataset(works: Works) -> Dataset:
    return works.add_dataset()


@pytest.fixture(scope="module")
def unbroken(works: Works, base: Model, dataset: Dataset) -> FinetuningJob:
    """A job that was trained from beginning to end."""
    job = works.create(base.id, dataset, name="unbroken")
    works.work()
    return works.job(job.id)
