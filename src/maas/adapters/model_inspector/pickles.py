"""Files that would run code when they are loaded, told by name and by content."""

from pathlib import Path

from maas.domain.errors import UnsupportedFile

_ENDINGS = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".h5", ".keras"})
_OLDEST, _NEWEST = 2, 5
_ZIP = b"PK\x03\x04"
_PICKLE_IN_ZIP = b"data.pkl"


def refuse_pickles(folder: Path) -> None:
    """Raise UnsupportedFile where a file of `folder` is a pickle, whatever it is called."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix.lower() in _ENDINGS or _looks_like_pickle(path)):
            raise UnsupportedFile(
                "{name} is a pickle or may hold one, and loading it would run code: save the model again with "
                "save_pretrained(…, safe_serialization=True), which writes safetensors, and leave this file out",
                field=path.name,
                name=path.name,
            )


def _looks_like_pickle(path: Path) -> bool:
    if path.suffix.lower() == ".safetensors":
        return False  # Its first bytes are a length, and may be anything; its header is checked elsewhere.
    with path.open("rb") as stream:
        head = stream.read(1024)
    if head.startswith(_ZIP):
        return _PICKLE_IN_ZIP in head or path.suffix.lower() not in (".zip", ".npz")
    return len(head) > 2 and head[0] == 0x80 and _OLDEST <= head[1] <= _NEWEST
