"""All tables: importing this module makes the metadata whole."""

from maas.adapters.persistence.tables import catalog, datasets, idempotency, identity, metadata, work

__all__ = ["catalog", "datasets", "idempotency", "identity", "metadata", "work"]
