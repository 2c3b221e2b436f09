"""A secret box for tests: it seals recognisably, and keeps nothing secret."""

import itertools

from maas.application.ports.secret_box import SecretBox
from maas.domain.errors import PlatformUnavailable


class MemorySecretBox(SecretBox):
    """Seals by turning the bytes over."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def seal(self, secret: bytes) -> bytes:
        return b"sealed:%d:" % next(self._numbers) + secret[::-1] + b"!"

    def open(self, sealed: bytes) -> bytes:
        mark, _, rest = sealed.partition(b":")
        if mark != b"sealed" or not rest.endswith(b"!"):
            raise PlatformUnavailable("a sealed secret cannot be opened: the sealing key is not the one it was sealed with")
        return rest.partition(b":")[2][-2::-1]
