"""What every repository of models, versions and datasets keeps."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from maas.application.actor import Actor
from maas.application.ports.repositories.catalog import ModelFilter
from maas.application.ports.repositories.datasets import DatasetFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.domain.catalog.facts import ModelType
from maas.domain.catalog.model import Lineage, Model, ModelVersion, VersionStatus
from maas.domain.datasets.dataset import Dataset, DatasetFormat
from maas.domain.errors import AlreadyExists, NotFound, OutOfRange
from maas.domain.identifiers import new_id
from maas.domain.identity import Role
from maas.domain.paging import Order, PageRequest
from maas.domain.visibility import Visibility
from tests.builders import NOW, a_dataset, a_model, a_user, a_version

ADMIN = Actor(user_id=new_id(), roles=frozenset({Role.USER, Role.ADMIN}))


@pytest.fixture
def owner(units: UnitOfWorkFactory) -> UUID:
    return kept_user(units, "alice")


@pytest.fixture
def other(units: UnitOfWorkFactory) -> UUID:
    return kept_user(units, "bob")


def kept_user(units: UnitOfWorkFactory, username: str) -> UUID:
    user = a_user(username)
    with units() as work:
        work.users.add(user)
    return user.id


def keep(units: UnitOfWorkFactory, *things: Model | ModelVersion | Dataset) -> None:
    with units() as work:
        for thing in things:
            if isinstance(thing, Model):
                work.models.add(thing)
            elif isinstance(thing, ModelVersion):
                work.model_versions.add(thing)
            else:
                work.datasets.add(thing)


def test_a_model_comes_back_as_it_was(units: UnitOfWorkFactory, owner: UUID) -> None:
    model = a_model(
        owner,
        name="模型",
        description="why",
        tags=["a", "中文"],
        license="MIT",
        usage_examples=[{"task": "chat", "input": "hi", "output": "hello"}],
        lineage=Lineage(base_model_id=new_id(), job_id=new_id()),
        visibility=Visibility.PUBLIC,
    )
    keep(units, model)

    with units(read_only=True) as work:
        found = work.models.find(model.id)

    assert found is not None
    assert vars(found) == vars(model)


def test_a_version_comes_back_as_it_was(units: UnitOfWorkFactory, owner: UUID) -> None:
    model = a_model(owner)
    version = a_version(
        model,
        status=VersionStatus.FAILED,
        reason="why",
        archive_name="archive.zip",
        file_size=2**40,
        sha256="0" * 64,
        files=[{"name": "config.json", "size": 2, "sha256": "1" * 64}],
        source={"type": "hub", "repository": "a/b"},
        percentage=12.5,
    )
    keep(units, model, version)

    with units(read_only=True) as work:
        found = work.model_versions.get(model.id, "1.0.0")

    assert vars(found) == vars(version)


def test_names_and_versions_are_taken_once(units: UnitOfWorkFactory, owner: UUID, other: UUID) -> None:
    model = a_model(owner, name="taken")
    keep(units, model, a_version(model), a_dataset(owner, name="taken"))

    for twin in (a_model(owner, name="taken"), a_version(model), a_dataset(owner, name="taken")):
        with pytest.raises(AlreadyExists):
            keep(units, twin)
    keep(units, a_model(other, name="taken"), a_dataset(other, name="taken"))


def seen(units: UnitOfWorkFactory, actor: Actor, only: ModelFilter | None = None, **request: object) -> list[str]:
    with units(read_only=True) as work:
        page = work.models.page(PageRequest(**request), visible_to=actor, only=only or ModelFilter())  # type: ignore[arg-type]
    assert page.total >= len(page.items)
    return [model.name for model in page.items]


def test_a_model_is_seen_by_its_owner_by_administrators_and_by_all_where_it_is_public(
    units: UnitOfWorkFactory, owner: UUID, other: UUID
) -> None:
    models = [a_model(owner, name=visibility.value, visibility=visibility) for visibility in Visibility]
    keep(units, *models)

    assert set(seen(units, Actor(user_id=owner))) == {"private", "organization", "public"}
    assert set(seen(units, ADMIN)) == {"private", "organization", "public"}
    assert seen(units, Actor(user_id=other)) == ["public"]
    with units(read_only=True) as work:
        assert work.models.get(models[2].id, visible_to=Actor(user_id=other)).name == "public"
        for hidden in (models[0].id, models[1].id, new_id()):
            with pytest.raises(NotFound):
                work.models.get(hidden, visible_to=Actor(user_id=other))


def test_a_reserved_model_is_seen_by_nobody_and_its_name_is_taken(units: UnitOfWorkFactory, owner: UUID) -> None:
    keep(units, a_model(owner, name="to come", reserved_by=new_id()))

    assert seen(units, ADMIN) == []
    with units(read_only=True) as work:
        assert work.models.find_by_name("to come", owner_id=owner) is not None


@pytest.fixture
def many(units: UnitOfWorkFactory, owner: UUID) -> Actor:
    """Models a, b and C, made one after another."""
    kinds = [ModelType.LLM, ModelType.EMBEDDING, ModelType.LLM]
    for number, (name, kind) in enumerate(zip("abC", kinds, strict=True)):
        at = NOW + timedelta(minutes=number)
        category = "feature-extraction" if kind is ModelType.EMBEDDING else "text-generation"
        model = a_model(
            owner,
            name=name,
            type=kind,
            category=category,
            description=f"100%_{name} ÄÖ",
            created_at=at,
            updated_at=at,
            download_count=9 - number,
            visibility=Visibility.PUBLIC if name == "a" else Visibility.PRIVATE,
        )
        status = VersionStatus.READY if name == "a" else VersionStatus.FAILED
        keep(units, model, a_version(model, status=status))
    return Actor(user_id=owner)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (ModelFilter(), ["C", "b", "a"]),
        (ModelFilter(type=ModelType.LLM), ["C", "a"]),
        (ModelFilter(category="feature-extraction"), ["b"]),
        (ModelFilter(visibility=Visibility.PUBLIC), ["a"]),
        (ModelFilter(status=VersionStatus.FAILED), ["C", "b"]),
        (ModelFilter(status=VersionStatus.FAILED, type=ModelType.LLM), ["C"]),
        (ModelFilter(owner_id=new_id()), []),
    ],
)
def test_models_are_filtered(units: UnitOfWorkFactory, many: Actor, only: ModelFilter, expected: list[str]) -> None:
    assert seen(units, many, only) == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"sort": "created_at", "order": Order.ASCENDING}, ["a", "b", "C"]),
        ({"sort": "download_count", "order": Order.DESCENDING}, ["a", "b", "C"]),
        ({"sort": "updated_at", "limit": 2}, ["C", "b"]),
        ({"number": 2, "limit": 2}, ["a"]),
        ({"number": 3, "limit": 2}, []),
        ({"search": "c"}, ["C"]),
        ({"search": "%_B Äö"}, ["b"]),
        ({"search": "_b%"}, []),
    ],
)
def test_models_are_sorted_paged_and_searched(
    units: UnitOfWorkFactory, many: Actor, request_: dict[str, Any], expected: list[str]
) -> None:
    assert seen(units, many, **request_) == expected


def test_models_cannot_be_sorted_by_anything(units: UnitOfWorkFactory, many: Actor) -> None:
    with pytest.raises(OutOfRange):
        seen(units, many, sort="owner_id")


def test_downloads_and_likes_are_counted_beside_other_changes(units: UnitOfWorkFactory, owner: UUID, other: UUID) -> None:
    model = a_model(owner)
    keep(units, model)

    with units() as work:
        work.models.count_download(model.id)
        work.models.like(model.id, user_id=owner, at=NOW)
    with units() as work:
        work.models.like(model.id, user_id=owner, at=NOW)
        work.models.like(model.id, user_id=other, at=NOW)
        work.models.count_download(model.id)
    with units() as work:
        work.models.unlike(model.id, user_id=owner)
        work.models.unlike(model.id, user_id=owner)

    with units(read_only=True) as work:
        found = work.models.find(model.id)
        assert found is not None
        assert (found.download_count, found.like_count) == (2, 1)


def test_a_change_of_the_card_does_not_undo_a_count(units: UnitOfWorkFactory, owner: UUID) -> None:
    model = a_model(owner)
    keep(units, model)

    with units() as work:
        found = work.models.get(model.id, visible_to=ADMIN, for_update=True)
        found.change({"description": "new"}, at=NOW)
    with units() as work:
        work.models.count_download(model.id)

    with units(read_only=True) as work:
        found = work.models.get(model.id, visible_to=ADMIN)
        assert (found.description, found.download_count) == ("new", 1)


def test_a_model_that_is_liked_can_be_removed_with_its_versions(units: UnitOfWorkFactory, owner: UUID) -> None:
    model, version = a_model(owner), None
    version = a_version(model)
    keep(units, model, version)
    with units() as work:
        work.models.like(model.id, user_id=owner, at=NOW)

    with units() as work:
        for found in work.model_versions.of([model.id]):
            work.model_versions.remove(found)
        work.models.remove(work.models.get(model.id, visible_to=ADMIN))

    with units(read_only=True) as work:
        assert work.models.find(model.id) is None
        assert work.model_versions.find(version.id) is None
        assert work.model_versions.roots() == set()


def versions_of(units: UnitOfWorkFactory, model: Model, status: VersionStatus | None = None, **request: object) -> Sequence[str]:
    with units(read_only=True) as work:
        page = work.model_versions.page(PageRequest(**request), model_id=model.id, status=status)  # type: ignore[arg-type]
    return [version.version for version in page.items]


def test_versions_are_listed_newest_first_and_otherwise_as_asked(units: UnitOfWorkFactory, owner: UUID) -> None:
    model, second = a_model(owner), a_model(owner)
    versions = [
        a_version(model, version=number, description=f"the {number}", created_at=NOW + timedelta(minutes=minute))
        for minute, number in enumerate(["1.0", "3.0", "2.0"])
    ]
    keep(units, model, second, *versions, a_version(second, version="9.9", status=VersionStatus.FAILED))

    with units(read_only=True) as work:
        assert [version.version for version in work.model_versions.of([model.id])] == ["2.0", "3.0", "1.0"]
        assert len(work.model_versions.of([model.id, second.id])) == 4
        assert work.model_versions.of([]) == []
    assert versions_of(units, model) == ["2.0", "3.0", "1.0"]
    assert versions_of(units, model, sort="version", order=Order.ASCENDING) == ["1.0", "2.0", "3.0"]
    assert versions_of(units, model, search="THE 3") == ["3.0"]
    assert versions_of(units, model, VersionStatus.FAILED) == []
    assert versions_of(units, second, VersionStatus.FAILED) == ["9.9"]


def test_stored_bytes_are_the_larger_of_what_came_up_and_what_it_unpacks_to(
    units: UnitOfWorkFactory, owner: UUID, other: UUID
) -> None:
    model, theirs = a_model(owner), a_model(other)
    keep(
        units,
        model,
        theirs,
        a_version(model, version="1", file_size=100, files=[{"name": "a", "size": 30}, {"name": "b", "size": 400}]),
        a_version(model, version="2", file_size=1000, files=[{"name": "a", "size": 7}]),
        a_version(theirs, file_size=5),
        a_dataset(owner, file_size=2**33),
    )

    with units(read_only=True) as work:
        assert work.model_versions.stored_bytes(owner) == 1430
        assert work.datasets.stored_bytes(owner) == 2**33
        assert work.datasets.stored_bytes(other) == 0


def test_a_dataset_comes_back_as_it_was(units: UnitOfWorkFactory, owner: UUID) -> None:
    dataset = a_dataset(owner, preview=[{"text": "你好", "n": 1.5}], statistics={"tokens": {"min": 1}}, tags=["a"], rows=2**33)
    keep(units, dataset)

    with units(read_only=True) as work:
        found = work.datasets.get(dataset.id, visible_to=Actor(user_id=owner))
        assert work.datasets.roots() == {dataset.files_key}

    assert vars(found) == vars(dataset)


def test_datasets_are_seen_filtered_and_sorted(units: UnitOfWorkFactory, owner: UUID, other: UUID) -> None:
    keep(
        units,
        a_dataset(owner, name="own", rows=5),
        a_dataset(owner, name="csv", rows=7, format=DatasetFormat.CSV),
        a_dataset(other, name="hidden"),
        a_dataset(other, name="shared", rows=6, visibility=Visibility.PUBLIC),
    )

    def names(only: DatasetFilter, **request: object) -> list[str]:
        with units(read_only=True) as work:
            page = work.datasets.page(PageRequest(**request), visible_to=Actor(user_id=owner), only=only)  # type: ignore[arg-type]
        return [dataset.name for dataset in page.items]

    assert names(DatasetFilter(), sort="rows", order=Order.ASCENDING) == ["own", "shared", "csv"]
    assert names(DatasetFilter(format=DatasetFormat.CSV)) == ["csv"]
    assert names(DatasetFilter(visibility=Visibility.PUBLIC)) == ["shared"]
    assert names(DatasetFilter(), search="OW") == ["own"]
    with pytest.raises(OutOfRange):
        names(DatasetFilter(), sort="sha256")


def test_a_removed_dataset_is_gone(units: UnitOfWorkFactory, owner: UUID) -> None:
    dataset = a_dataset(owner)
    keep(units, dataset)

    with units() as work:
        work.datasets.remove(work.datasets.get(dataset.id, visible_to=ADMIN, for_update=True))

    with units(read_only=True) as work:
        assert work.datasets.find(dataset.id) is None
        assert work.datasets.find_by_name(dataset.name, owner_id=owner) is None
