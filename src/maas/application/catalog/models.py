"""Models: uploading the first version, listing, showing, changing, liking, deleting."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.catalog.entries import CatalogEntry, entries_of, entry_of, seen_entry
from maas.application.catalog.removal import remove_model
from maas.application.catalog.version_uploads import Draft, Drafting, VersionUploads, new_version
from maas.application.ports.clock import Clock
from maas.application.ports.incoming_form import IncomingForm
from maas.application.ports.repositories.catalog import ModelFilter
from maas.application.ports.unit_of_work import UnitOfWorkFactory
from maas.application.visibility import require_owner
from maas.domain.catalog.model import FIRST_VERSION, Model, checked_category
from maas.domain.errors import AlreadyExists
from maas.domain.identifiers import new_id
from maas.domain.paging import Page, PageRequest
from maas.domain.visibility import Visibility


class Models:
    """What people do with models."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, uploads: VersionUploads, clock: Clock) -> None:
        self.unit_of_work = unit_of_work
        self.uploads = uploads
        self.clock = clock

    def upload(self, actor: Actor, form: IncomingForm) -> CatalogEntry:
        """Make a model of the form's fields, with the form's files or source as its first version."""
        drafting = Drafting(make=lambda fields: self._draft(actor, fields), needed=frozenset({"name", "type"}))
        return self.get(actor, self.uploads.take(actor, form, drafting).model.id)

    def _draft(self, actor: Actor, fields: Mapping[str, Any]) -> Draft:
        now = self.clock.now()
        model = Model(
            id=new_id(),
            owner_id=actor.user_id,
            name=fields["name"],
            description=fields.get("description"),
            type=fields["type"],
            category=checked_category(fields.get("category"), fields["type"]),
            visibility=fields.get("visibility", Visibility.PRIVATE),
            license=fields.get("license"),
            tags=fields.get("tags", []),
            created_at=now,
            updated_at=now,
        )
        return Draft(model=model, version=new_version(model, fields.get("version", FIRST_VERSION), at=now), is_new_model=True)

    def page(self, actor: Actor, page: PageRequest, only: ModelFilter) -> Page[CatalogEntry]:
        with self.unit_of_work(read_only=True) as work:
            found = work.models.page(page, visible_to=actor, only=only)
            items = entries_of(work, found.items)
            return Page(items=items, number=found.number, limit=found.limit, total=found.total)

    def get(self, actor: Actor, model_id: UUID) -> CatalogEntry:
        with self.unit_of_work(read_only=True) as work:
            return seen_entry(work, actor, model_id)

    def locate_own(self, actor: Actor, model_id: UUID) -> None:
        """Raise NotFound or Forbidden where `actor` may not change the model."""
        with self.unit_of_work(read_only=True) as work:
            require_owner(actor, work.models.get(model_id, visible_to=actor))

    def change(self, actor: Actor, model_id: UUID, changes: Mapping[str, Any]) -> CatalogEntry:
        """Change the given ones of the fields of its card."""
        with self.unit_of_work() as work:
            model = work.models.get(model_id, visible_to=actor, for_update=True)
            require_owner(actor, model)
            named_alike = work.models.find_by_name(changes.get("name", model.name), owner_id=model.owner_id)
            if named_alike is not None and named_alike.id != model.id:
                raise AlreadyExists("a model of yours has this name", field="name")
            model.change(dict(changes), at=self.clock.now())
            return entry_of(work, model)

    def like(self, actor: Actor, model_id: UUID) -> CatalogEntry:
        with self.unit_of_work() as work:
            work.models.get(model_id, visible_to=actor)
            work.models.like(model_id, user_id=actor.user_id, at=self.clock.now())
        return self.get(actor, model_id)

    def unlike(self, actor: Actor, model_id: UUID) -> CatalogEntry:
        with self.unit_of_work() as work:
            work.models.get(model_id, visible_to=actor)
            work.models.unlike(model_id, user_id=actor.user_id)
        return self.get(actor, model_id)

    def delete(self, actor: Actor, model_id: UUID) -> None:
        """Remove the model with its versions and their files; refused while something uses it."""
        with self.unit_of_work() as work:
            model = work.models.get(model_id, visible_to=actor, for_update=True)
            require_owner(actor, model)
            remove_model(work, model)
