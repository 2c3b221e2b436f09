"""The port for signing access tokens."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class AccessClaims:
    """What an access token says."""

    user_id: UUID
    session_id: UUID
    roles: tuple[str, ...]
    token_id: UUID
    issued_at: datetime
    expires_at: datetime


class TokenSigner(ABC):
    """Signs access tokens and reads them back."""

    @abstractmethod
    def sign(self, claims: AccessClaims) -> str: ...

    @abstractmethod
    def read(self, token: str, *, at: datetime) -> AccessClaims:
        """Return what a token says; raise TokenExpired, or Unauthenticated where it is malformed or forged."""
