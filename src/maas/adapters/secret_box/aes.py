"""Secrets sealed with AES-256-GCM under a key of the operator's."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maas.application.ports.secret_box import SecretBox
from maas.domain.errors import PlatformUnavailable

KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = b"\x01"


class AesSecretBox(SecretBox):
    """Seals as version, nonce, ciphertext with its tag."""

    def __init__(self, *, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("the sealing key must have 32 bytes")
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, _VERSION)

    def open(self, sealed: bytes) -> bytes:
        version, nonce, ciphertext = sealed[:1], sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if version != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, ciphertext, version)
        except (InvalidTag, ValueError) as error:
            raise PlatformUnavailable(
                "a sealed secret cannot be opened: the sealing key is not the one it was sealed with"
            ) from error


def key_from_file(path: Path) -> bytes:
    """Return the key in `path`, made at the first call; readable by its owner alone. Several processes may ask at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, os.urandom(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _publish(draft, path)
    return path.read_bytes()


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name, unless another process was first."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
