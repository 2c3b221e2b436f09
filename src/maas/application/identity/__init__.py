"""Accounts, signing in, and API keys."""

from maas.application.identity.accounts import Accounts, Registration
from maas.application.identity.api_keys import ApiKeyCreated, PersonalApiKeys
from maas.application.identity.authentication import Authentication
from maas.application.identity.sign_in import SignedIn, SignIn

__all__ = [
    "Accounts",
    "ApiKeyCreated",
    "Authentication",
    "PersonalApiKeys",
    "Registration",
    "SignIn",
    "SignedIn",
]
