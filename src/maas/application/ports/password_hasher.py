"""The port for hashing passwords."""

from abc import ABC, abstractmethod


class PasswordHasher(ABC):
    """Hashes passwords slowly, on purpose."""

    @abstractmethod
    def hash(self, password: str) -> str: ...

    @abstractmethod
    def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password fits; None as the hash takes the same time and fits none."""
