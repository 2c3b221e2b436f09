"""What crashes leave behind is cleared away, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from maas.application.stored_trees import committed
from tests.house import House
from tests.unit.catalog.conftest import Upload


def keep(house: House, key: str) -> None:
    with house.files.stage() as staging:
        staging.create("file").finish()
        staging.commit(key)


def test_a_tree_without_a_row_goes_once_it_is_old(house: House, upload: Upload) -> None:
    assert upload().status_code == 201
    [kept] = house.files.trees
    for key in ("models/left", "datasets/left", "checkpoints/not-ours"):
        keep(house, key)
    sweep = house.container.file_sweep()
    house.clock.advance(datetime.now(UTC) - house.clock.now())

    assert sweep.sweep() == 0
    house.clock.advance(timedelta(hours=2))

    assert sweep.sweep() == 2
    assert set(house.files.trees) == {kept, "checkpoints/not-ours"}


@pytest.mark.parametrize(("has_row", "left"), [(lambda: False, []), (lambda: True, ["models/x"]), (lambda: 1 / 0, ["models/x"])])
def test_a_tree_whose_row_was_not_stored_goes_at_once(house: House, has_row: Callable[[], bool], left: list[str]) -> None:
    staging = house.files.stage()

    with pytest.raises(RuntimeError), committed(house.files, staging, "models/x", has_row=has_row):
        raise RuntimeError("the row could not be stored")

    assert list(house.files.trees) == left
