"""JSON Web Tokens, signed with HMAC-SHA256."""

import calendar
from datetime import UTC, datetime
from uuid import UUID

import jwt

from maas.application.ports.token_signer import AccessClaims, TokenSigner
from maas.domain.errors import TokenExpired, Unauthenticated

_ALGORITHM = "HS256"
_REQUIRED = ["sub", "sid", "jti", "iat", "exp"]


class JwtTokenSigner(TokenSigner):
    """Signs access tokens as JWT (RFC 7519) with a secret of at least 32 bytes."""

    def __init__(self, *, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the signing secret must have at least 32 bytes")
        self._secret = secret

    def sign(self, claims: AccessClaims) -> str:
        payload = {
            "sub": str(claims.user_id),
            "sid": str(claims.session_id),
            "jti": str(claims.token_id),
            "roles": list(claims.roles),
            "iat": calendar.timegm(claims.issued_at.utctimetuple()),
            "exp": calendar.timegm(claims.expires_at.utctimetuple()),
        }
        return jwt.encode(payload, self._secret, algorithm=_ALGORITHM)

    def read(self, token: str, *, at: datetime) -> AccessClaims:
        claims = self._claims(token)
        if at >= claims.expires_at:
            raise TokenExpired("the access token has expired; refresh it or sign in again")
        return claims

    def _claims(self, token: str) -> AccessClaims:
        try:
            payload = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False},
            )
            return AccessClaims(
                user_id=UUID(payload["sub"]),
                session_id=UUID(payload["sid"]),
                token_id=UUID(payload["jti"]),
                roles=tuple(payload["roles"]),
                issued_at=datetime.fromtimestamp(payload["iat"], UTC),
                expires_at=datetime.fromtimestamp(payload["exp"], UTC),
            )
        except (jwt.InvalidTokenError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise Unauthenticated("the access token is missing, malformed or no longer good") from error
