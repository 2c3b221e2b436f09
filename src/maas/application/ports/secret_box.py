"""The port for secrets that must be read again: sealed where they are stored."""

from abc import ABC, abstractmethod


class SecretBox(ABC):
    """Seals and opens."""

    @abstractmethod
    def seal(self, secret: bytes) -> bytes:
        """Return `secret` as it may be stored; the same secret is sealed differently each time."""

    @abstractmethod
    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed; raise PlatformUnavailable where the key is another, or the bytes were changed."""
