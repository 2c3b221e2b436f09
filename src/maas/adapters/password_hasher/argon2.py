"""Argon2id, at OWASP's settings for it, a few at a time."""

import threading
from functools import cached_property

import argon2

from maas.application.ports.password_hasher import PasswordHasher

_MEMORY_KIB = 19 * 1024
_AT_ONCE = 2


class Argon2PasswordHasher(PasswordHasher):
    """Hashes with Argon2id (RFC 9106): 19 MiB, two passes; no more than two at a time, so that a rush of sign-ins cannot exhaust memory."""

    def __init__(self) -> None:
        self._argon2 = argon2.PasswordHasher(time_cost=2, memory_cost=_MEMORY_KIB, parallelism=1)
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def hash(self, password: str) -> str:
        with self._turns:
            return self._argon2.hash(password)

    def verify(self, password: str, password_hash: str | None) -> bool:
        with self._turns:
            try:
                return self._argon2.verify(password_hash or self._nobodys_hash, password) and password_hash is not None
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False

    @cached_property
    def _nobodys_hash(self) -> str:
        return self._argon2.hash("a password that belongs to nobody")
