"""The limits of calls and addresses over HTTP."""

from datetime import timedelta
from typing import Any

from maas.domain.identity import Role
from tests.house import House
from tests.unit.identity.calls import JOHN, bearer, login


def test_calls_are_counted_as_they_are_answered(house: House) -> None:
    alice = house.sign_up()
    for path in ("/api/v1/users/me", "/api/v1/nothing", "/api/v1/models?limit=0"):
        house.client.get(path, headers=alice)
    house.client.get("/api/v1/models", headers=house.key(alice))
    answer = house.client.get("/api/v1/users/me", headers=alice)

    assert answer.json["data"]["quota"]["api_calls_used"] == 5
    assert answer.headers["X-RateLimit-Remaining"] == "995"
    house.container.usage_flush().flush()
    today = house.clock.now().date()
    with house.database(read_only=True) as work:
        (day,) = work.usage.days_of(house.user_id(alice), first=today, last=today)
    assert (day.calls, day.inference_calls) == (5, 0)


def test_the_hour_s_calls_come_to_an_end(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_api_calls": 2})
    alice = house.sign_up()
    house.clock.advance(timedelta(minutes=10))
    statuses = [house.client.get("/api/v1/users/me", headers=alice).status_code for _ in range(2)]
    house.clock.advance(timedelta(minutes=20))
    refused = house.client.get("/api/v1/users/me", headers=alice)
    house.clock.advance(timedelta(minutes=40))

    assert statuses == [200, 200]
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_001")
    assert (refused.headers["Retry-After"], refused.headers["X-RateLimit-Limit"]) == ("2400", "2")
    assert house.client.get("/api/v1/users/me", headers=house.sign_in("alice")).status_code == 200


def test_an_address_has_its_own_limit_signed_in_or_not_but_administrators_pass(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_address_calls": 3})
    alice, root = house.sign_up("alice"), house.sign_up("root", role=Role.ADMIN)
    statuses = [
        house.client.get("/api/v1/users/me", headers=alice).status_code,
        house.client.get("/api/v1/users/me", headers=bearer("forged")).status_code,
        login(house.client).status_code,
        login(house.client).status_code,
        house.client.get("/api/v1/users/me", headers=alice).status_code,
        house.client.get("/api/v1/users/me", headers=bearer("forged")).status_code,
        house.client.get("/api/v1/users/me", headers=root).status_code,
        house.client.get("/healthz").status_code,
    ]
    elsewhere = house.client.get("/api/v1/users/me", headers=alice, environ_base={"REMOTE_ADDR": "192.0.2.9"})

    assert statuses == [200, 401, 200, 429, 429, 429, 200, 200]
    assert elsewhere.status_code == 200


def test_only_a_trusted_proxy_says_who_calls(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_address_calls": 2, "trusted_proxies": "10.0.0.0/8"})

    def call(peer: str, forwarded_for: str) -> int:
        options = {"environ_base": {"REMOTE_ADDR": peer}, "headers": {"X-Forwarded-For": forwarded_for}}
        status: int = house.client.post("/api/v1/auth/login", json={}, **options).status_code
        return status

    assert [call("10.1.1.1", f"192.0.2.{number}") for number in range(4)] == [422] * 4
    assert [call("10.1.1.1", f"{number}.1.1.1, 192.0.2.50") for number in range(1, 4)] == [422, 422, 429]
    assert [call("192.0.2.99", f"192.0.2.{number}") for number in range(100, 103)] == [422, 422, 429]


def test_registrations_of_an_address_come_to_an_end_but_mistakes_cost_nothing(tmp_path: Any) -> None:
    house = House(tmp_path, settings={"limit_registrations": 2})

    def register(**changes: str) -> Any:
        return house.client.post("/api/v1/auth/register", json={**JOHN, **changes})

    statuses = [
        register(email="nonsense").status_code,
        register(password="short").status_code,
        house.client.post("/api/v1/auth/register", data=b"{").status_code,
        register().status_code,
        register().status_code,
        register(email="other@example.com").status_code,
        register(username="other", email="other@example.com").status_code,
    ]
    refused = [register(username="third", email="third@example.com"), register(email="nonsense"), register(unknown="x")]

    assert statuses == [422, 422, 415, 201, 409, 409, 201]
    assert [(answer.status_code, answer.headers["Retry-After"]) for answer in refused] == [(429, "3600")] * 3


def test_ten_failures_slow_an_address_down_for_that_account_alone(house: House) -> None:
    house.sign_up("alice")
    house.sign_up("bob")
    statuses = [login(house.client, password="wrong").status_code for _ in range(11)]
    refused = login(house.client)

    assert statuses == [401] * 10 + [429]
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "RATE_001")
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert login(house.client, email="bob@example.com").status_code == 200
