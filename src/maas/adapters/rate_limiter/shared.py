"""A rate limiter in a file that all processes of a host share."""

import hashlib
import logging
import struct
import time
from collections.abc import Sequence
from functools import lru_cache
from mmap import mmap
from pathlib import Path

from maas.adapters.rate_limiter.shared_file import SharedFile
from maas.application.ports.clock import Clock
from maas.application.ports.rate_limiter import LONGEST_WINDOW_SECONDS, Decision, Hit, RateLimiter

log = logging.getLogger(__name__)

SLOTS = 131_072
_MAGIC = b"maasrate"
_HEADER = struct.Struct("<8sII")
_HEADER_BYTES = 64
_SLOT = struct.Struct("<16sdq")
_REGION_SLOTS = 64
_REGION_BYTES = _SLOT.size * _REGION_SLOTS
_WARNED_EVERY_SECONDS = 60.0


class SharedRateLimiter(RateLimiter):
    """A table of counters of fixed size, one lock around each count: exact over processes, some microseconds a call.

    A key's hash names its region of 64 slots. A new key takes a slot whose window has ended; in a region that is full of
    running windows the smallest count gives way. The file may be lost or damaged at any time: it is made anew, and all
    windows with it.
    """

    def __init__(self, path: Path, clock: Clock, *, slots: int = SLOTS) -> None:
        self._clock = clock
        self._regions = max(1, slots // _REGION_SLOTS)
        header = _HEADER.pack(_MAGIC, 1, self._regions).ljust(_HEADER_BYTES, b"\0")
        self._table = SharedFile(path, header=header, size=_HEADER_BYTES + self._regions * _REGION_BYTES)
        self._warned_at = float("-inf")

    def hit(self, key: str, *, limit: int, window_seconds: float, cost: int = 1) -> Decision:
        return self.hit_each(Hit(key, limit, window_seconds, cost))[0]

    def hit_each(self, *hits: Hit) -> Sequence[Decision]:
        now = self._clock.now().timestamp()
        with self._table as table:
            return [self._count(table, hit, now) for hit in hits]

    def _count(self, table: mmap, hit: Hit, now: float) -> Decision:
        name = _name(hit.key)
        position, ends_at, count = self._window(table, name, now, hit.window_seconds)
        allowed = count + hit.cost <= hit.limit
        if allowed:
            count += hit.cost
            table[position : position + _SLOT.size] = _SLOT.pack(name, ends_at, count)
        return Decision(allowed, max(0, hit.limit - count), ends_at)

    def peek(self, key: str, *, limit: int, window_seconds: float) -> Decision:
        now = self._clock.now().timestamp()
        with self._table as table:
            _, ends_at, count = self._window(table, _name(key), now, window_seconds)
        return Decision(count < limit, max(0, limit - count), ends_at)

    def give_back(self, key: str, decision: Decision, *, cost: int = 1) -> None:
        name = _name(key)
        with self._table as table:
            found = self._find(table, name)
            if found is not None and found[1] == decision.reset_at:
                position, ends_at, count = found
                table[position : position + _SLOT.size] = _SLOT.pack(name, ends_at, max(0, count - cost))

    def reset(self, key: str) -> None:
        with self._table as table:
            found = self._find(table, _name(key))
            if found is not None:
                table[found[0] : found[0] + _SLOT.size] = bytes(_SLOT.size)

    def _window(self, table: mmap, name: bytes, now: float, window_seconds: float) -> tuple[int, float, int]:
        """Return the slot of a key, when its window ends, and what it has counted; a new window where none runs."""
        found = self._find(table, name)
        if found is not None and now < found[1] <= now + LONGEST_WINDOW_SECONDS:
            return found
        position = found[0] if found is not None else self._free_slot(table, name, now)
        return position, now + window_seconds, 0

    def _find(self, table: mmap, name: bytes) -> tuple[int, float, int] | None:
        start = self._start(name)
        end = start + _REGION_BYTES
        at = table.find(name, start, end)
        while at >= 0 and (at - start) % _SLOT.size:
            at = table.find(name, at + 1, end)
        if at < 0:
            return None
        _, ends_at, count = _SLOT.unpack_from(table, at)
        return at, ends_at, count

    def _free_slot(self, table: mmap, name: bytes, now: float) -> int:
        start = self._start(name)
        windows = list(_SLOT.iter_unpack(table[start : start + _REGION_BYTES]))
        for index, (_, ends_at, _count) in enumerate(windows):
            if not now < ends_at <= now + LONGEST_WINDOW_SECONDS:
                return start + index * _SLOT.size
        self._warn_full()
        smallest = min(range(_REGION_SLOTS), key=lambda index: (windows[index][2], windows[index][1]))
        return start + smallest * _SLOT.size

    def _start(self, name: bytes) -> int:
        return _HEADER_BYTES + int.from_bytes(name[:4], "little") % self._regions * _REGION_BYTES

    def _warn_full(self) -> None:
        if time.monotonic() - self._warned_at >= _WARNED_EVERY_SECONDS:
            self._warned_at = time.monotonic()
            log.warning("the table of rate limits is full: small counts are forgotten before their time")


@lru_cache(maxsize=4096)
def _name(key: str) -> bytes:
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
