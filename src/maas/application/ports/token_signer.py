"""The port for signing tokens."""

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


@dataclass(frozen=True, kw_only=True)
class RefreshClaims:
    """What a refresh token says: it is the `generation`th of its session."""

    session_id: UUID
    generation: int
    token_id: UUID
    issued_at: datetime
    expires_at: datetime


class TokenSigner(ABC):
    """Signs tokens and reads them back. A token of one kind is never taken for one of the other."""

    @abstractmethod
    def sign_access(self, claims: AccessClaims) -> str: ...

    @abstractmethod
    def read_access(self, token: str, *, at: datetime) -> AccessClaims:
        """Return what a token says; raise TokenExpired, or Unauthenticated where it is malformed or forged."""

    @abstractmethod
    def sign_refresh(self, claims: RefreshClaims) -> str: ...

    @abstractmethod
    def read_refresh(self, token: str, *, at: datetime) -> RefreshClaims:
        """Return what a token says; raise TokenExpired, or Unauthenticated where it is malformed or forged."""
