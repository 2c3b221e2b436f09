"""Every provider builds in each profile, and what is bound fits what is declared."""

from pathlib import Path

import pytest
from dependency_injector import providers

from maas.application.reactions import REACTIONS
from maas.application.work import WorkHandler
from maas.container import Container
from maas.settings import Settings, SettingsInvalid, table

PROFILES = {
    "embedded": {},
    "distributed": {"profile": "distributed", "database_url": "postgresql://maas@127.0.0.1:1/maas"},
}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_provider_builds(profile: str, tmp_path: Path) -> None:
    container = Container(settings=Settings(data_dir=tmp_path, **PROFILES[profile]))  # type: ignore[arg-type]

    built = {
        name: provider() for name, provider in container.providers.items() if not isinstance(provider, providers.Configuration)
    }

    assert all(value is not None for value in built.values())
    container.engine().dispose()


def test_every_reaction_that_an_event_asks_for_is_bound(tmp_path: Path) -> None:
    container = Container(settings=Settings(data_dir=tmp_path))

    wanted = {name for names in REACTIONS.values() for name in names}

    assert set(container.reactions()) == wanted
    container.engine().dispose()


def test_no_two_handlers_take_the_same_kind_of_work(tmp_path: Path) -> None:
    container = Container(settings=Settings(data_dir=tmp_path))

    handlers: list[WorkHandler] = list(container.work_handlers())
    kinds = [kind for handler in handlers for kind in handler.kinds]

    assert len(kinds) == len(set(kinds))
    container.engine().dispose()


def test_a_setting_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingsInvalid, match="MAAS_PORT"):
        Settings.load(port=70_000)


def test_the_distributed_profile_asks_for_its_database() -> None:
    with pytest.raises(SettingsInvalid, match="MAAS_DATABASE_URL"):
        Settings.load(profile="distributed")


def test_every_setting_is_documented() -> None:
    assert [name for name, _, meaning in table() if not meaning] == []


def test_settings_reach_the_platforms_own_processes_by_their_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given = Settings.load(data_dir=tmp_path, limit_api_calls=7, sync=False, registration="closed")
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)

    assert Settings.load() == given
