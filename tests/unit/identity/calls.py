"""Forms and short cuts of the tests of accounts over HTTP."""

from typing import Any

from tests.house import PASSWORD, Client, House

ENGLISH = {"Accept-Language": "en"}
JOHN = {
    "username": "john_doe",
    "email": "john@example.com",
    "password": "SecurePass123!",
    "first_name": "John",
    "last_name": "Doe",
    "organization": "Example Corp",
}


def login(client: Client, **changes: str) -> Any:
    body = {"email": "alice@example.com", "password": PASSWORD, **changes}
    return client.post("/api/v1/auth/login", json=body, headers=ENGLISH)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def mailed_token(house: House) -> str:
    return house.mailer.sent[-1].text.split("\n")[2]


def problems(answer: Any) -> list[tuple[str, str]]:
    return [(entry["field"], entry["code"]) for entry in answer.json["error"]["details"]]
