"""Secrets that are shown once and kept as hashes."""

import hashlib
import secrets

API_KEY_PREFIX = "maas_"
_RANDOM_BYTES = 32


def new_api_key() -> str:
    """Return a new API key: `maas_` and 43 characters that nobody can guess."""
    return API_KEY_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def new_mail_token() -> str:
    return secrets.token_urlsafe(_RANDOM_BYTES)


def hashed(secret: str) -> str:
    """Hash a secret of full strength: SHA-256 is enough where guessing is hopeless."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
