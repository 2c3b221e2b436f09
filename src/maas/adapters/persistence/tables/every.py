"""All tables: importing this module makes the metadata whole."""

from maas.adapters.persistence.tables import (
    batches,
    catalog,
    datasets,
    finetuning,
    idempotency,
    identity,
    kept_streams,
    metadata,
    serving,
    usage,
    work,
)

__all__ = [
    "batches",
    "catalog",
    "datasets",
    "finetuning",
    "idempotency",
    "identity",
    "kept_streams",
    "metadata",
    "serving",
    "usage",
    "work",
]
