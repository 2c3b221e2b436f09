"""What the address of a list may say."""

import pytest

from maas.domain.paging import Order, PageRequest
from tests.toy_api import Client, seen

ALICE = {"Authorization": "Bearer alice", "Accept-Language": "en"}


def test_a_list_is_paged_by_default(client: Client) -> None:
    client.get("/api/v1/things", headers=ALICE)

    assert seen == [{"page": PageRequest()}]


def test_paging_sorting_searching_and_filters_reach_the_use_case(client: Client) -> None:
    client.get("/api/v1/things?page=3&limit=100&sort=size&order=asc&search=a%25b&public=true", headers=ALICE)

    wanted = PageRequest(number=3, limit=100, sort="size", order=Order.ASCENDING, search="a%b")
    assert seen == [{"page": wanted, "public": True}]


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("page=0", "page", "VALIDATION_003"),
        ("page=-1", "page", "VALIDATION_003"),
        ("page=1000000001", "page", "VALIDATION_003"),
        ("page=" + "9" * 30, "page", "VALIDATION_003"),
        ("page=" + "9" * 3000, "page", "VALIDATION_002"),
        ("page=1.0", "page", "VALIDATION_002"),
        ("page=x", "page", "VALIDATION_002"),
        ("page=", "page", "VALIDATION_002"),
        ("page=%D9%A1", "page", "VALIDATION_002"),
        ("page=1_0", "page", "VALIDATION_002"),
        ("limit=0", "limit", "VALIDATION_003"),
        ("limit=101", "limit", "VALIDATION_003"),
        ("sort=password_hash", "sort", "VALIDATION_003"),
        ("order=up", "order", "VALIDATION_003"),
        ("search=%00", "search", "VALIDATION_002"),
        ("search=" + "x" * 1001, "search", "VALIDATION_003"),
        ("public=1", "public", "VALIDATION_002"),
        ("pubic=true", "pubic", "VALIDATION_002"),
        ("page=1&page=2", "page", "VALIDATION_002"),
    ],
)
def test_a_wrong_parameter_is_422_by_its_own_name(client: Client, query: str, field: str, code: str) -> None:
    answer = client.get(f"/api/v1/things?{query}", headers=ALICE)

    assert answer.status_code == 422
    assert [(entry["field"], entry["code"]) for entry in answer.json["error"]["details"]] == [(field, code)]
