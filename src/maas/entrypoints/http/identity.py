"""Accounts, signing in, sessions and API keys (sections 2 and 3)."""

from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject

from maas.application.identity import Accounts, ApiKeyCreated, Authentication, PersonalApiKeys, Registration, SignedIn, SignIn
from maas.application.usage import Limits
from maas.container import Container
from maas.domain.errors import Unauthenticated
from maas.domain.identity import ApiKey, Session, User
from maas.domain.paging import Page
from maas.entrypoints.http import identity_forms as forms
from maas.entrypoints.http.access import Gate
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.paging import ListQuery, paged
from maas.entrypoints.http.request import current_request
from maas.entrypoints.http.sign_in import credential_of, current_actor

Form = dict[str, Any]
_Accounts = Provide[Container.accounts]
_SignIn = Provide[Container.sign_in]
_ApiKeys = Provide[Container.api_keys]
_Limits = Provide[Container.limits]
_MAYBE_MAILED = "where the address has an account that waits for it, a mail is on its way"

blueprint = Blueprint("identity", __name__, url_prefix="/api/v1", description="Accounts, signing in, sessions and API keys.")


@inject
def _refuse_keys(authentication: Authentication = Provide[Container.authentication]) -> None:
    """Keep API keys out of everything here, what is open to anyone included."""
    request = current_request()
    if request.actor is None and ("Authorization" in request.headers or "X-API-Key" in request.headers):
        try:
            credential = credential_of(request.headers)
        except Unauthenticated:
            return
        if authentication.is_key(credential):
            authentication.authenticate(credential).require_person()


blueprint.before_request(_refuse_keys)


@inject
def _check_registrations(limits: Limits = _Limits) -> None:
    limits.check_registrations(current_request().client_address)


@blueprint.route("/auth/register", methods=["POST"], access=Gate.PUBLIC, locate=_check_registrations)
@blueprint.arguments(forms.RegistrationForm())
@blueprint.response(
    201,
    forms.Registered(),
    message="you are registered; look for the mail that confirms your address",
    location="/api/v1/users/me",
)
@inject
def register(body: Form, accounts: Accounts = _Accounts, limits: Limits = _Limits) -> Registration:
    """Make an account."""
    with limits.registration_slot(current_request().client_address):
        return accounts.register(profile=forms.profile_of(body), **body)


@blueprint.route("/auth/login", methods=["POST"], access=Gate.PUBLIC)
@blueprint.arguments(forms.SignInForm())
@blueprint.response(200, forms.SignedInAnswer(), message="you are signed in")
@inject
def login(body: Form, sign_in: SignIn = _SignIn) -> SignedIn:
    """Sign in; after ten failures in a row an address has to wait."""
    request = current_request()
    return sign_in.sign_in(address=request.client_address, user_agent=request.headers.get("User-Agent"), **body)


@blueprint.route("/auth/refresh", methods=["POST"], access=Gate.PUBLIC)
@blueprint.response(200, forms.SignedInAnswer())
@inject
def refresh(sign_in: SignIn = _SignIn) -> SignedIn:
    """Trade the refresh token, sent as `Authorization: Bearer`, for new tokens.

    A refresh token is good once: one that comes a second time signs its whole session out.
    """
    return sign_in.refresh(credential_of(current_request().headers))


@blueprint.route("/auth/logout", methods=["POST"], access=Gate.PERSON, idempotent=False)
@blueprint.response(200, message="you are signed out")
@inject
def logout(sign_in: SignIn = _SignIn) -> None:
    """End the session of the access token: it is dead from now on, and so is its refresh token."""
    sign_in.sign_out(current_actor())


@blueprint.route("/auth/verify-email", methods=["POST"], access=Gate.PUBLIC)
@blueprint.arguments(forms.TokenForm())
@blueprint.response(200, forms.VerifiedUser(), message="the address is confirmed")
@inject
def verify_email(body: Form, accounts: Accounts = _Accounts) -> User:
    """Prove an address by the token that was mailed to it."""
    return accounts.verify_email(body["token"])


@blueprint.route("/auth/resend-verification", methods=["POST"], access=Gate.PUBLIC)
@blueprint.arguments(forms.EmailForm())
@blueprint.response(200, message=_MAYBE_MAILED)
@inject
def resend_verification(body: Form, accounts: Accounts = _Accounts) -> None:
    """Mail another token that proves the address; the answer is the same whether or not there is such an account."""
    accounts.resend_verification(body["email"])


@blueprint.route("/auth/forgot-password", methods=["POST"], access=Gate.PUBLIC)
@blueprint.arguments(forms.EmailForm())
@blueprint.response(200, message=_MAYBE_MAILED)
@inject
def forgot_password(body: Form, accounts: Accounts = _Accounts) -> None:
    """Mail a token that sets a new password; the answer is the same whether or not there is such an account."""
    accounts.forgot_password(body["email"])


@blueprint.route("/auth/reset-password", methods=["POST"], access=Gate.PUBLIC)
@blueprint.arguments(forms.PasswordResetForm())
@blueprint.response(200, message="the password is changed")
@inject
def reset_password(body: Form, accounts: Accounts = _Accounts) -> None:
    """Set a new password by a mailed token; all sessions end."""
    accounts.reset_password(**body)


@blueprint.route("/users/me", access=Gate.PERSON)
@blueprint.response(200, forms.AccountAnswer())
@inject
def get_account(accounts: Accounts = _Accounts, limits: Limits = _Limits) -> Form:
    """Show your account, with what you may use and have used."""
    return {"user": accounts.profile(current_actor()), "quota": limits.quota(current_actor())}


@blueprint.route("/users/me", methods=["PUT", "PATCH"], access=Gate.PERSON)
@blueprint.arguments(forms.ProfileForm())
@blueprint.response(200, forms.AccountAnswer(), message="your account is changed")
@inject
def change_account(body: Form, accounts: Accounts = _Accounts, limits: Limits = _Limits) -> Form:
    """Change the given fields of your account; null clears one."""
    return {"user": accounts.change_profile(current_actor(), body), "quota": limits.quota(current_actor())}


@blueprint.route("/users/me/password", methods=["PUT"], access=Gate.PERSON)
@blueprint.arguments(forms.PasswordForm())
@blueprint.response(200, message="the password is changed")
@inject
def change_password(body: Form, accounts: Accounts = _Accounts) -> None:
    """Change your password; all your other sessions end."""
    accounts.change_password(current_actor(), **body)


@blueprint.route("/users/me/sessions", access=Gate.PERSON)
@blueprint.arguments(forms.SessionQuery(), location="query")
@blueprint.response(200, paged("sessions", forms.SessionItem()))
@inject
def list_sessions(query: Form, sign_in: SignIn = _SignIn) -> Page[Session]:
    """List where you are signed in."""
    return sign_in.sessions(current_actor(), query["page"])


@blueprint.route("/users/me/sessions/<uuid:session_id>", methods=["DELETE"], access=Gate.PERSON)
@blueprint.response(200, message="the session is ended")
@inject
def end_session(session_id: UUID, sign_in: SignIn = _SignIn) -> None:
    """Sign a session out."""
    sign_in.revoke(current_actor(), session_id)


@blueprint.route("/users/me/api-keys", methods=["POST"], access=Gate.PERSON)
@blueprint.arguments(forms.ApiKeyForm())
@blueprint.response(
    201,
    forms.NewApiKey(),
    message="the key is made; it is shown this once",
    location="/api/v1/users/me/api-keys/{id}",
)
@inject
def create_api_key(body: Form, api_keys: PersonalApiKeys = _ApiKeys) -> ApiKeyCreated:
    """Make an API key: it acts for you, within its permissions, and never touches your account."""
    return api_keys.create(current_actor(), **body)


@blueprint.route("/users/me/api-keys", access=Gate.PERSON)
@blueprint.arguments(ListQuery(), location="query")
@blueprint.response(200, paged("api_keys", forms.ApiKeyItem()))
@inject
def list_api_keys(query: Form, api_keys: PersonalApiKeys = _ApiKeys) -> Page[ApiKey]:
    """List your API keys."""
    return api_keys.page(current_actor(), query["page"])


@blueprint.route("/users/me/api-keys/<uuid:key_id>", access=Gate.PERSON)
@blueprint.response(200, forms.ApiKeyItem())
@inject
def get_api_key(key_id: UUID, api_keys: PersonalApiKeys = _ApiKeys) -> ApiKey:
    """Show an API key, without its secret."""
    return api_keys.get(current_actor(), key_id)


@blueprint.route("/users/me/api-keys/<uuid:key_id>", methods=["DELETE"], access=Gate.PERSON)
@blueprint.response(200, message="the key is deleted")
@inject
def delete_api_key(key_id: UUID, api_keys: PersonalApiKeys = _ApiKeys) -> None:
    """Delete an API key: it is dead from now on."""
    api_keys.revoke(current_actor(), key_id)
