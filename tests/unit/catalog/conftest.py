"""Uploads as tests make them, on a platform in memory."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.forms import form
from tests.house import House
from tests.unit.catalog.archives import zipped
from tests.unit.catalog.model_files import llama_files

Answer = Any
Upload = Callable[..., Answer]


@pytest.fixture
def alice(house: House) -> dict[str, str]:
    return house.sign_up("alice")


@pytest.fixture
def bob(house: House) -> dict[str, str]:
    return house.sign_up("bob")


@pytest.fixture
def upload(house: House, alice: dict[str, str]) -> Upload:
    """Upload a model; `fields` are those of the form, beside the least that it needs."""

    def upload(
        files: Mapping[str, tuple[str, bytes]] | None = None, *, headers: dict[str, str] | None = None, **fields: str
    ) -> Answer:
        wanted = {"model_file": ("model.zip", zipped(llama_files()))} if files is None else files
        given = form({"name": "tiny", "type": "llm", **fields}, wanted)
        return house.client.post("/api/v1/models", headers=headers or alice, **given)

    return upload


@pytest.fixture
def model(upload: Upload) -> dict[str, Any]:
    """A model with one version, as its upload answered."""
    answer = upload()
    assert answer.status_code == 201, answer.json
    return answer.json["data"]  # type: ignore[no-any-return]
