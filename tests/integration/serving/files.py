"""Tiny models in a file store."""

from maas.application.ports.file_store import FileStore
from tests.integration.trainer.tiny import make_base


def keep_model(store: FileStore, key: str, family: str = "qwen2") -> str:
    """Put a tiny model of a family under `<key>/files`; return that key."""
    with store.stage() as staging:
        make_base(staging.folder / "files", family)
        staging.commit(key)
    return f"{key}/files"
