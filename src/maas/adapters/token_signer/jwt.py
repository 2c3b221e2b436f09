"""JSON Web Tokens, signed with HMAC-SHA256."""

import calendar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt

from maas.application.ports.token_signer import AccessClaims, RefreshClaims, TokenSigner
from maas.domain.errors import TokenExpired, Unauthenticated

_ALGORITHM = "HS256"
_SHORTEST_SECRET = 32


class JwtTokenSigner(TokenSigner):
    """Signs tokens as JWT (RFC 7519) with a secret of at least 32 bytes."""

    def __init__(self, *, secret: bytes) -> None:
        if len(secret) < _SHORTEST_SECRET:
            raise ValueError("the signing secret must have at least 32 bytes")
        self._secret = secret

    def sign_access(self, claims: AccessClaims) -> str:
        return self._sign(
            claims,
            aud="access",
            sub=str(claims.user_id),
            sid=str(claims.session_id),
            roles=list(claims.roles),
        )

    def read_access(self, token: str, *, at: datetime) -> AccessClaims:
        payload = self._read(token, audience="access", at=at)
        return AccessClaims(
            user_id=UUID(payload["sub"]),
            session_id=UUID(payload["sid"]),
            token_id=UUID(payload["jti"]),
            roles=tuple(payload["roles"]),
            issued_at=datetime.fromtimestamp(payload["iat"], UTC),
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        )

    def sign_refresh(self, claims: RefreshClaims) -> str:
        return self._sign(claims, aud="refresh", sid=str(claims.session_id), gen=claims.generation)

    def read_refresh(self, token: str, *, at: datetime) -> RefreshClaims:
        payload = self._read(token, audience="refresh", at=at)
        return RefreshClaims(
            session_id=UUID(payload["sid"]),
            generation=payload["gen"],
            token_id=UUID(payload["jti"]),
            issued_at=datetime.fromtimestamp(payload["iat"], UTC),
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        )

    def _sign(self, claims: AccessClaims | RefreshClaims, **payload: object) -> str:
        payload["jti"] = str(claims.token_id)
        payload["iat"] = calendar.timegm(claims.issued_at.utctimetuple())
        payload["exp"] = calendar.timegm(claims.expires_at.utctimetuple())
        return jwt.encode(payload, self._secret, algorithm=_ALGORITHM)

    def _read(self, token: str, *, audience: str, at: datetime) -> dict[str, Any]:
        try:
            payload: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=audience,
                # The time comes from the caller's clock; what we signed ourselves has every claim.
                options={"require": ["jti", "iat", "exp", "aud"], "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, ValueError) as error:
            raise Unauthenticated("the token is missing, malformed or no longer good; sign in again") from error
        if at.timestamp() >= payload["exp"]:
            raise TokenExpired("the token has expired; refresh it or sign in again")
        return payload
