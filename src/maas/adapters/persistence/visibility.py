"""The condition that somebody may see a row."""

from sqlalchemy import Table, or_, true
from sqlalchemy.sql.elements import ColumnElement

from maas.application.actor import Actor
from maas.domain.visibility import Visibility


def seen_by(table: Table, actor: Actor) -> ColumnElement[bool]:
    """Build what `application.visibility.may_see` says, for a table with `owner_id` and `visibility`."""
    if actor.is_admin:
        return true()
    return or_(table.c.owner_id == actor.user_id, table.c.visibility == Visibility.PUBLIC.value)
