"""The person whom the demo registers, and how they sign in."""

import secrets
from dataclasses import dataclass

from maas.entrypoints.cli.client import Client

_EMAIL, _USERNAME = "demo@example.com", "demo"
_PERMISSIONS = [
    f"{resource}:{action}"
    for resource in ("model", "dataset", "finetune", "deployment")
    for action in ("read", "create", "update", "delete")
] + ["inference:create", "inference:read", "statistics:read"]


@dataclass(frozen=True, kw_only=True)
class Account:
    """Someone who can sign in by e-mail and password, with an API key for programs."""

    username: str
    email: str
    password: str
    key: str


def register(client: Client) -> Account:
    """Register a person, sign in, and make an API key, as anybody would over the API."""
    password = secrets.token_urlsafe(12)
    client.post("/api/v1/auth/register", {"username": _USERNAME, "email": _EMAIL, "password": password})
    token = client.post("/api/v1/auth/login", {"email": _EMAIL, "password": password})["access_token"]
    key = client.signed_in(token).post("/api/v1/users/me/api-keys", {"name": "demo", "permissions": _PERMISSIONS})["key"]
    return Account(username=_USERNAME, email=_EMAIL, password=password, key=key)
