"""How much a person may do: calls, files and deployments an hour, and bytes that are kept."""

import ipaddress
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from maas.application.actor import Actor
from maas.application.ports.clock import Clock
from maas.application.ports.rate_limiter import Decision, Hit, RateLimiter
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.domain.errors import QuotaExceeded, RateLimited

HOUR_SECONDS = 3600
_MIB, _GIB = 1024**2, 1024**3


@dataclass(frozen=True, kw_only=True)
class LimitNumbers:
    """The numbers of section 12. Sizes are in bytes; what is counted by the hour says so."""

    calls_per_hour: int = 1000
    files_per_hour: int = 10
    deployments_per_hour: int = 5
    address_calls_per_hour: int = 10_000
    registrations_per_hour: int = 10
    running_trainings: int = 3
    deployments: int = 10
    websockets: int = 100
    storage_bytes: int = 100 * _GIB
    model_file_bytes: int = 50 * _GIB
    dataset_file_bytes: int = 10 * _GIB
    document_file_bytes: int = 100 * _MIB
    avatar_file_bytes: int = 2 * _MIB


@dataclass(frozen=True, kw_only=True)
class CallAllowance:
    """What is left of a caller's hour: `limit` calls, `remaining` of them, and the seconds until it begins anew."""

    limit: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What a person may use and has used: calls of the running hour, bytes kept. A limit of None is none."""

    api_calls_limit: int | None
    api_calls_used: int
    storage_limit: int | None
    storage_used: int


class UploadSlot:
    """The right to upload one file. `left_bytes` of storage were left when it was taken; None is no limit.

    What is kept of a file may be more than what was declared, and others upload meanwhile: the transaction that stores it
    calls `check_fits` first.
    """

    def __init__(self, actor: Actor, *, storage_limit: int | None = None, left_bytes: int | None = None) -> None:
        self._actor = actor
        self._storage_limit = storage_limit
        self.left_bytes = left_bytes

    def check_fits(self, work: UnitOfWork, stored_bytes: int) -> None:
        """Raise QuotaExceeded where `stored_bytes` more would pass the quota; others who store at once wait for `work`."""
        if self._storage_limit is not None:
            work.users.get(self._actor.user_id, for_update=True)
            _check_storage(_stored_bytes(work, self._actor), stored_bytes, self._storage_limit)


class Limits:
    """Counts what people do, and refuses what is too much. Administrators have their own numbers, or no limits."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        limiter: RateLimiter,
        clock: Clock,
        numbers: LimitNumbers,
        admin_numbers: LimitNumbers | None = None,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.limiter = limiter
        self.clock = clock
        self.numbers = numbers
        self.admin_numbers = admin_numbers

    def numbers_of(self, actor: Actor) -> LimitNumbers | None:
        """Return the limits of a person; None where there are none."""
        return self.admin_numbers if actor.is_admin else self.numbers

    def count_call(self, actor: Actor, address: str | None = None) -> CallAllowance | None:
        """Count one call of a person, and of the network address that it came from; raise RateLimited where either has none left.

        Returns None for those without a limit, who are counted all the same, but not by their address.
        """
        numbers = self.numbers_of(actor)
        limit = numbers.calls_per_hour if numbers is not None else _UNLIMITED
        hits = [Hit(_calls_key(actor), limit, HOUR_SECONDS)]
        if address is not None and not actor.is_admin:
            hits.append(Hit(_address_key(address), self.numbers.address_calls_per_hour, HOUR_SECONDS))
        decision, *of_address = self.limiter.hit_each(*hits)
        for other in of_address:
            self._check(other, self.numbers.address_calls_per_hour)
        if numbers is None:
            return None
        self._check(decision, limit)
        seconds = decision.reset_at - self.clock.now().timestamp()
        return CallAllowance(limit=limit, remaining=decision.remaining, reset_seconds=seconds)

    def count_address(self, address: str) -> None:
        """Count one call from a network address, signed in or not, or raise RateLimited."""
        self._hit(_address_key(address), self.numbers.address_calls_per_hour)

    @contextmanager
    def upload_slot(self, actor: Actor, declared_bytes: int | None) -> Iterator[UploadSlot]:
        """Count one file, unless the block raises; take it before the body is read.

        Raises RateLimited, or QuotaExceeded (field `storage`) where the declared bytes do not fit what is left. The slot's
        `check_fits` belongs into the transaction that stores the file.
        """
        numbers = self.numbers_of(actor)
        if numbers is None:
            yield UploadSlot(actor)
            return
        limit = numbers.storage_bytes
        with self._slot(f"files:{actor.user_id.hex}", numbers.files_per_hour):
            with self.unit_of_work(read_only=True) as work:
                stored_bytes = _stored_bytes(work, actor)
            _check_storage(stored_bytes, declared_bytes or 0, limit)
            yield UploadSlot(actor, storage_limit=limit, left_bytes=limit - stored_bytes)

    @contextmanager
    def deployment_slot(self, actor: Actor) -> Iterator[None]:
        """Count one new deployment, unless the block raises; raise RateLimited where the hour has no more."""
        numbers = self.numbers_of(actor)
        if numbers is None:
            yield
            return
        with self._slot(f"deployments:{actor.user_id.hex}", numbers.deployments_per_hour):
            yield

    def check_registrations(self, address: str) -> None:
        """Raise RateLimited where a network address has no registration left; nothing is counted."""
        key, limit = f"registrations:{network_of(address)}", self.numbers.registrations_per_hour
        self._check(self.limiter.peek(key, limit=limit, window_seconds=HOUR_SECONDS), limit)

    @contextmanager
    def registration_slot(self, address: str) -> Iterator[None]:
        """Count one registration from a network address, unless the block raises; or raise RateLimited."""
        with self._slot(f"registrations:{network_of(address)}", self.numbers.registrations_per_hour):
            yield

    def quota(self, actor: Actor) -> Quota:
        """Return what a person may use and has used."""
        numbers = self.numbers_of(actor)
        limit = numbers.calls_per_hour if numbers is not None else _UNLIMITED
        calls = self.limiter.peek(_calls_key(actor), limit=limit, window_seconds=HOUR_SECONDS)
        with self.unit_of_work(read_only=True) as work:
            stored_bytes = _stored_bytes(work, actor)
        return Quota(
            api_calls_limit=numbers.calls_per_hour if numbers is not None else None,
            api_calls_used=limit - calls.remaining,
            storage_limit=numbers.storage_bytes if numbers is not None else None,
            storage_used=stored_bytes,
        )

    @contextmanager
    def _slot(self, key: str, limit: int) -> Iterator[None]:
        decision = self._hit(key, limit)
        try:
            yield
        except BaseException:
            # What was not accepted is not counted.
            self.limiter.give_back(key, decision)
            raise

    def _hit(self, key: str, limit: int) -> Decision:
        decision = self.limiter.hit(key, limit=limit, window_seconds=HOUR_SECONDS)
        self._check(decision, limit)
        return decision

    def _check(self, decision: Decision, limit: int) -> None:
        if not decision.allowed:
            raise RateLimited(retry_after_seconds=_retry_after(decision.reset_at - self.clock.now().timestamp()), limit=limit)


def network_of(address: str) -> str:
    """Return what stands for an address when it is counted: a host with IPv6 has a whole network of 2^64 addresses."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


_UNLIMITED = 2**62


def _calls_key(actor: Actor) -> str:
    return f"calls:{actor.user_id.hex}"


def _address_key(address: str) -> str:
    return f"address:{network_of(address)}"


def _stored_bytes(work: UnitOfWork, actor: Actor) -> int:
    return work.model_versions.stored_bytes(actor.user_id) + work.datasets.stored_bytes(actor.user_id)


def _check_storage(stored_bytes: int, more_bytes: int, limit: int) -> None:
    if stored_bytes + more_bytes > limit or stored_bytes >= limit:
        raise QuotaExceeded(
            "this needs {needed} bytes, and {left} of the {limit} bytes of storage are left",
            field="storage",
            needed=more_bytes,
            left=max(0, limit - stored_bytes),
            limit=limit,
        )


def _retry_after(seconds: float) -> int:
    return min(HOUR_SECONDS, max(1, math.ceil(seconds)))
