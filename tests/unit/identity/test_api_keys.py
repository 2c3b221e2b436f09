"""API keys: what they may do, and how they end."""

from datetime import timedelta
from uuid import UUID

import pytest

from maas.domain.errors import ApiKeyInvalid, Forbidden, Invalid, NotFound
from maas.domain.identity import Permission
from maas.domain.paging import PageRequest
from tests.unit.identity.conftest import Desk


def test_a_key_acts_for_its_owner_within_its_permissions(desk: Desk) -> None:
    owner = desk.actor()
    created = desk.api_keys.create(owner, name="mine", permissions=["model:read", "inference:create", "model:read"])
    actor = desk.authentication.authenticate(created.secret)

    assert created.secret.startswith("maas_")
    assert created.secret.startswith(created.key.prefix)
    assert (actor.user_id, actor.credential_id) == (owner.user_id, created.key.id)
    assert actor.permissions == frozenset({Permission.MODEL_READ, Permission.INFERENCE_CREATE})
    actor.require(Permission.MODEL_READ)
    with pytest.raises(Forbidden):
        actor.require(Permission.MODEL_DELETE)


@pytest.mark.parametrize("names", [["model:*"], ["*"], ["model:read", "nonsense"], [""], ["MODEL:READ"]])
def test_permissions_that_do_not_exist_are_refused(desk: Desk, names: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        desk.api_keys.create(desk.actor(), name="mine", permissions=names)

    assert refused.value.problems[0].field == f"permissions.{len(names) - 1}"


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "   "])
def test_keys_have_names(desk: Desk, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        desk.api_keys.create(desk.actor(), name=name, permissions=[])

    assert refused.value.problems[0].field == "name"


def test_a_key_expires(desk: Desk) -> None:
    owner, expires_at = desk.actor(), desk.clock.now() + timedelta(days=1)
    secret = desk.api_keys.create(owner, name="mine", permissions=[], expires_at=expires_at).secret
    desk.clock.advance(timedelta(days=1) - timedelta(milliseconds=300))
    desk.authentication.authenticate(secret)
    desk.clock.advance(timedelta(milliseconds=300))

    with pytest.raises(ApiKeyInvalid):
        desk.authentication.authenticate(secret)
    with pytest.raises(Invalid):
        desk.api_keys.create(owner, name="mine", permissions=[], expires_at=desk.clock.now())


def test_a_deleted_key_is_dead_at_once_here_and_within_a_second_elsewhere(desk: Desk) -> None:
    owner, elsewhere = desk.actor(), desk.another_process()
    created = desk.api_keys.create(owner, name="mine", permissions=[])
    desk.authentication.authenticate(created.secret)
    elsewhere.authenticate(created.secret)
    desk.api_keys.revoke(owner, created.key.id)

    with pytest.raises(ApiKeyInvalid):
        desk.authentication.authenticate(created.secret)
    desk.clock.advance(timedelta(seconds=1))
    with pytest.raises(ApiKeyInvalid):
        elsewhere.authenticate(created.secret)


def test_keys_outlive_sessions(desk: Desk) -> None:
    owner = desk.actor()
    secret = desk.api_keys.create(owner, name="mine", permissions=[]).secret
    desk.sign_in.sign_out(owner)
    desk.clock.advance(timedelta(days=365))

    assert desk.authentication.authenticate(secret).user_id == owner.user_id


def test_the_use_of_a_key_is_noted_to_the_minute(desk: Desk) -> None:
    owner = desk.actor()
    created = desk.api_keys.create(owner, name="mine", permissions=[])
    desk.authentication.authenticate(created.secret)
    first = desk.api_keys.get(owner, created.key.id).last_used_at
    desk.clock.advance(timedelta(seconds=30))
    desk.authentication.authenticate(created.secret)
    second = desk.api_keys.get(owner, created.key.id).last_used_at
    desk.clock.advance(timedelta(seconds=30))
    desk.authentication.authenticate(created.secret)
    third = desk.api_keys.get(owner, created.key.id).last_used_at

    assert created.key.last_used_at is None
    assert first is not None
    assert (second, third) == (first, first + timedelta(minutes=1))


def test_keys_are_listed_by_name_and_time(desk: Desk) -> None:
    owner = desk.actor()
    for name in ("b", "a", "c"):
        desk.api_keys.create(owner, name=name, permissions=[])
        desk.clock.advance(timedelta(seconds=1))

    def names(**request: str) -> list[str]:
        return [key.name for key in desk.api_keys.page(owner, PageRequest(**request)).items]  # type: ignore[arg-type]

    assert names() == ["c", "a", "b"]
    assert names(sort="updated_at") == ["c", "a", "b"]
    assert names(sort="name") == ["c", "b", "a"]
    assert names(search="A") == ["a"]


def test_nobody_sees_or_deletes_another_s_keys(desk: Desk) -> None:
    alice, bob = desk.actor("alice"), desk.actor("bob")
    created = desk.api_keys.create(alice, name="mine", permissions=[])

    assert desk.api_keys.page(bob, PageRequest()).total == 0
    for key_id in (created.key.id, UUID(int=1)):
        with pytest.raises(NotFound):
            desk.api_keys.get(bob, key_id)
        with pytest.raises(NotFound):
            desk.api_keys.revoke(bob, key_id)
    desk.authentication.authenticate(created.secret)
