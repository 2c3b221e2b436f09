"""How alembic reaches the database: by the connection that `migrate` hands it."""

from typing import Any

import sqlalchemy as sa
from alembic import context

from maas.adapters.persistence.tables.every import metadata
from maas.adapters.persistence.types import UtcDateTime


def _render(kind: str, item: Any, autogenerating: Any) -> Any:
    """Write our types as what they are in the database, so that a step never changes with our code."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, sa.JSON):
        autogenerating.imports.add("from sqlalchemy.dialects import postgresql")
        return 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")'
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
    compare_type=True,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()
