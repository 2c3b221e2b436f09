"""What operators and developers read without signing in."""

import re
from typing import Any

from maas.entrypoints.http.readiness import PartCheck
from tests.toy_api import Client, make_app


def down() -> None:
    raise ConnectionError("postgresql://user:password@host is away")


def test_alive_is_alive(client: Client) -> None:
    assert client.get("/healthz").json == {"status": "ok"}


def test_readiness_names_each_part() -> None:
    checks = {"database": PartCheck(check=lambda: {"kind": "sqlite"}), "mail": PartCheck(check=lambda: None, needed=False)}

    answer: Any = make_app(checks=checks).test_client().get("/readyz")

    assert answer.status_code == 200
    assert answer.json["status"] == "ready"
    assert answer.json["parts"]["database"] == {"status": "up", "needed": True, "kind": "sqlite"}


def test_a_needed_part_that_is_down_makes_it_503_without_telling_why() -> None:
    answer: Any = make_app(checks={"database": PartCheck(check=down)}).test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json["parts"]["database"]["status"] == "down"
    assert "password" not in answer.text
    assert "Retry-After" in answer.headers


def test_a_part_that_is_not_needed_only_degrades() -> None:
    answer: Any = make_app(checks={"mail": PartCheck(check=down, needed=False)}).test_client().get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (200, "degraded")


def test_measures_name_routes_and_nobody(client: Client) -> None:
    client.get("/api/v1/things/01900000-0000-7000-8000-000000000001", headers={"Authorization": "Bearer alice"})
    client.get("/api/v1/secret-name")

    text = client.get("/metrics").text

    assert 'maas_http_calls_total{method="GET",route="/api/v1/things/<uuid:thing_id>",status="200"} 1.0' in text
    assert "secret-name" not in text
    assert "alice" not in text.lower()


def test_the_api_document_describes_every_route(client: Client) -> None:
    document = client.get("/openapi.json").json

    assert document["openapi"].startswith("3.")
    create = document["paths"]["/api/v1/things"]["post"]
    assert create["security"] == [{"token": []}, {"key": []}]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/Thing")
    assert document["components"]["schemas"]["EnvelopeOfThing"]["properties"]["data"]["$ref"].endswith("/Thing")
    assert document["paths"]["/api/v1/things/mine"]["get"]["security"] == [{"token": []}]
    assert document["paths"]["/api/v1/things/bug"]["get"]["security"] == []


def test_the_page_of_the_document_loads_only_our_own_files(client: Client) -> None:
    page = client.get("/docs")

    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    assert all(address.startswith("/docs/") for address in addresses)
    for address in addresses:
        with client.get(address) as file:
            assert file.status_code == 200
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "http" not in page.headers["Content-Security-Policy"]


def test_no_other_file_can_be_read_there(client: Client) -> None:
    for name in ("index.html", "..%2f__init__.py", "swagger-ui.js.map"):
        assert client.get(f"/docs/assets/{name}").status_code == 404
