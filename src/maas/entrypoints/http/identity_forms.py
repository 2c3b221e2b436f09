"""The forms of accounts, sessions and API keys."""

from enum import StrEnum
from typing import Any

from marshmallow import fields, validate

from maas.domain.identity import PROFILE, Permission, Role
from maas.entrypoints.http.fields import Boolean, Choice, Identifier, Integer, Text, Timestamp
from maas.entrypoints.http.paging import ListQuery
from maas.entrypoints.http.schemas import StrictSchema
from maas.entrypoints.http.sign_in import current_actor

LONGEST_TOKEN = 4096
_PASSWORD = {"description": "8 to 128 characters.", "format": "password"}


class ProfileForm(StrictSchema):
    """What people tell of themselves; null clears."""

    first_name = Text(allow_none=True, metadata={"description": "At most 200 characters."})
    last_name = Text(allow_none=True, metadata={"description": "At most 200 characters."})
    organization = Text(allow_none=True, metadata={"description": "At most 200 characters."})


class RegistrationForm(ProfileForm):
    """A new account."""

    username = Text(required=True, metadata={"description": "3 to 64 letters, digits, `_`, `-` or `.`; unique without case."})
    email = Text(required=True, metadata={"description": "Unique without case.", "format": "email"})
    password = Text(required=True, metadata=_PASSWORD)


class Registered(StrictSchema):
    """An account that was made."""

    user_id = Identifier(attribute="user.id")
    username = Text(attribute="user.username")
    email = Text(attribute="user.email")
    verification_sent = Boolean(metadata={"description": "Whether a mail that proves the address went out."})


class SignInForm(StrictSchema):
    """E-mail and password."""

    email = Text(required=True, metadata={"format": "email"})
    password = Text(required=True, metadata={"format": "password"})


class Members(fields.List[Any]):
    """A set of members of a StrEnum, in the order of their definition."""

    def __init__(self, kinds: type[StrEnum], **options: Any) -> None:
        super().__init__(Choice(kinds), **options)
        self._kinds = kinds

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> list[Any] | None:
        return super()._serialize([kind for kind in self._kinds if kind in value], attr, obj, **kwargs)


class SignedInUser(StrictSchema):
    """Who has signed in."""

    id = Identifier()
    username = Text()
    email = Text()
    roles = Members(Role)


class SignedInAnswer(StrictSchema):
    """Tokens: one for the calls of the next hour, and one that gets new ones, once, for 30 days."""

    access_token = Text(attribute="tokens.access_token")
    refresh_token = Text(attribute="tokens.refresh_token")
    token_type = fields.Constant("Bearer")
    expires_in = Integer(attribute="tokens.expires_in", metadata={"description": "Seconds."})
    user = fields.Nested(SignedInUser())


class TokenForm(StrictSchema):
    """A token that was mailed."""

    token = Text(required=True, validate=validate.Length(1, LONGEST_TOKEN))


class EmailForm(StrictSchema):
    """The address of an account."""

    email = Text(required=True, metadata={"format": "email"})


class PasswordResetForm(TokenForm):
    """A token that was mailed, and the password to set."""

    new_password = Text(required=True, metadata=_PASSWORD)


class PasswordForm(StrictSchema):
    """The password to change, and the one to set."""

    old_password = Text(required=True, metadata={"format": "password"})
    new_password = Text(required=True, metadata=_PASSWORD)


class VerifiedUser(StrictSchema):
    """Whose address is proved."""

    user_id = Identifier(attribute="id")
    username = Text()
    email = Text()
    email_verified_at = Timestamp()


class QuotaAnswer(StrictSchema):
    """What may be used and is used: API calls of the running hour, and bytes that are kept. A limit of null is none."""

    api_calls_limit = Integer(allow_none=True)
    api_calls_used = Integer()
    storage_limit = Integer(allow_none=True)
    storage_used = Integer()


class AccountAnswer(StrictSchema):
    """An account with its quota."""

    id = Identifier(attribute="user.id")
    username = Text(attribute="user.username")
    email = Text(attribute="user.email")
    email_verified = Boolean(attribute="user.email_verified")
    first_name = Text(attribute="user.first_name", allow_none=True)
    last_name = Text(attribute="user.last_name", allow_none=True)
    avatar_url = fields.Constant(None, allow_none=True)
    organization = Text(attribute="user.organization", allow_none=True)
    roles = Members(Role, attribute="user.roles")
    quota = fields.Nested(QuotaAnswer())
    created_at = Timestamp(attribute="user.created_at")
    updated_at = Timestamp(attribute="user.updated_at")


class SessionQuery(ListQuery):
    """A list of sessions; `search` looks into `user_agent`."""

    sorts = ("created_at", "updated_at")


class SessionItem(StrictSchema):
    """A sign-in that is good; `current` is the one of this call."""

    id = Identifier()
    user_agent = Text(allow_none=True)
    current = Boolean()
    created_at = Timestamp()
    updated_at = Timestamp(attribute="refreshed_at", metadata={"description": "When its tokens were last refreshed."})
    expires_at = Timestamp()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        if attr == "current":
            return obj.id == current_actor().credential_id
        return super().get_attribute(obj, attr, default)


class ApiKeyForm(StrictSchema):
    """A new API key."""

    name = Text(required=True, metadata={"description": "1 to 200 characters."})
    permissions = fields.List(
        Choice(Permission), required=True, metadata={"description": "What the key may do: never more than its owner."}
    )
    expires_at = Timestamp(allow_none=True, metadata={"description": "A key without it is good until it is deleted."})


class ApiKeyItem(StrictSchema):
    """An API key, without its secret."""

    id = Identifier()
    name = Text()
    prefix = Text(metadata={"description": "The first characters of the key, to tell it from others."})
    permissions = Members(Permission)
    expires_at = Timestamp(allow_none=True)
    last_used_at = Timestamp(allow_none=True, metadata={"description": "To the minute."})
    created_at = Timestamp()


class NewApiKey(ApiKeyItem):
    """A new API key; `key` is shown this once."""

    key = Text()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj.secret if attr == "key" else super().get_attribute(obj.key, attr, default)


def profile_of(form: dict[str, Any]) -> dict[str, Any]:
    """Take what a person tells of themselves out of a form."""
    return {name: form.pop(name) for name in PROFILE if name in form}
