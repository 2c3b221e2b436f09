"""A fast stand-in for tests, which keeps nothing safe."""

import hashlib

from maas.application.ports.password_hasher import PasswordHasher


class Sha256PasswordHasher(PasswordHasher):
    """Hashes in microseconds; for tests only."""

    def hash(self, password: str) -> str:
        return "sha256:" + hashlib.sha256(password.encode("utf-8", "surrogatepass")).hexdigest()

    def verify(self, password: str, password_hash: str | None) -> bool:
        return self.hash(password) == password_hash
