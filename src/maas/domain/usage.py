"""What was used: entries of single calls, and their sums per person and day, per deployment and replica."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal
from uuid import UUID

UsageKind = Literal["call", "chat", "completion", "embedding", "rerank", "batch"]
"""`call` is a call of the API as such; the others are inference, and one call of the API may hold many of them."""

_SHORTEST_SECONDS = 1e-4
_GROWTH = math.log(1.04)
_LAST_BUCKET = 450


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageEntry:
    """One answered call. `latency_seconds` goes from its arrival to the last byte; tokens are those that were generated."""

    user_id: UUID
    at: datetime
    kind: UsageKind
    deployment_id: UUID | None = None
    replica_id: UUID | None = None
    model_id: UUID | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_seconds: float = 0.0
    first_token_seconds: float | None = None
    failed: bool = False

    @property
    def day(self) -> date:
        return self.at.astimezone(UTC).date()


@dataclass(eq=False, kw_only=True)
class UserDay:
    """What a person used on one day, by UTC."""

    user_id: UUID
    day: date
    calls: int = 0
    inference_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def count(self, entry: UsageEntry) -> None:
        if entry.kind == "call":
            self.calls += 1
            return
        self.inference_calls += 1
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens

    def include(self, other: "UserDay") -> None:
        self.calls += other.calls
        self.inference_calls += other.inference_calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens


@dataclass(kw_only=True)
class Durations:
    """How long things took, in buckets that grow by 4 %: a quantile is right within 2 %, from 0.1 ms to an hour."""

    counts: dict[int, int] = field(default_factory=dict)

    def count(self, seconds: float) -> None:
        bucket = _bucket_of(seconds)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def include(self, counts: Mapping[int, int]) -> None:
        for bucket, count in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def quantile(self, part: float) -> float | None:
        """Return the seconds that `part` of all took at most (nearest rank); None where nothing was counted."""
        rank, seen = max(1, math.ceil(part * sum(self.counts.values()))), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return _seconds_of(bucket)
        return None


@dataclass(eq=False, kw_only=True)
class Served:
    """What was answered: by a deployment, or by one of its replicas. Latencies are those of good answers."""

    calls: int = 0
    failed_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    busy_seconds: float = 0.0
    latencies: Durations = field(default_factory=Durations)
    first_tokens: Durations = field(default_factory=Durations)

    @property
    def tokens_per_second(self) -> float | None:
        """How fast a single answer comes, on average."""
        return self.completion_tokens / self.busy_seconds if self.busy_seconds > 0 else None

    def count(self, entry: UsageEntry) -> None:
        self.calls += 1
        self.prompt_tokens += entry.prompt_tokens
        self.completion_tokens += entry.completion_tokens
        if entry.first_token_seconds is not None:
            self.first_tokens.count(entry.first_token_seconds)
        if entry.completion_tokens:
            self.busy_seconds += entry.latency_seconds
        if entry.failed:
            self.failed_calls += 1
        else:
            self.latencies.count(entry.latency_seconds)

    def include(self, other: "Served") -> None:
        self.calls += other.calls
        self.failed_calls += other.failed_calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        self.busy_seconds += other.busy_seconds
        self.latencies.include(other.latencies.counts)
        self.first_tokens.include(other.first_tokens.counts)


@dataclass(frozen=True, kw_only=True)
class DeploymentUsage:
    """What a deployment answered, and how much of it each replica did."""

    total: Served
    replicas: Mapping[UUID, Served] = field(default_factory=dict)


NO_REPLICA = UUID(int=0)
"""Stands for the replica of what was answered, or failed, without one."""


@dataclass(kw_only=True)
class UsageSums:
    """Entries, summed up."""

    days: dict[tuple[UUID, date], UserDay] = field(default_factory=dict)
    served: dict[tuple[UUID, UUID], Served] = field(default_factory=dict)
    """By deployment and replica."""


def summed(entries: Iterable[UsageEntry]) -> UsageSums:
    """Sum up entries."""
    sums = UsageSums()
    for entry in entries:
        by_day = (entry.user_id, entry.day)
        if by_day not in sums.days:
            sums.days[by_day] = UserDay(user_id=entry.user_id, day=entry.day)
        sums.days[by_day].count(entry)
        if entry.deployment_id is not None:
            by_replica = (entry.deployment_id, entry.replica_id or NO_REPLICA)
            sums.served.setdefault(by_replica, Served()).count(entry)
    return sums


def deployment_usage(parts: Mapping[UUID, Served]) -> DeploymentUsage:
    """Return the whole of a deployment from its parts by replica."""
    total = Served()
    for part in parts.values():
        total.include(part)
    return DeploymentUsage(
        total=total, replicas={replica_id: part for replica_id, part in parts.items() if replica_id != NO_REPLICA}
    )


def _bucket_of(seconds: float) -> int:
    if not seconds > _SHORTEST_SECONDS:
        return 0
    return 1 + int(min(_LAST_BUCKET - 1, math.log(seconds / _SHORTEST_SECONDS) / _GROWTH))


def _seconds_of(bucket: int) -> float:
    """Return the middle of a bucket, as ratios go."""
    return _SHORTEST_SECONDS * math.exp((bucket - 0.5) * _GROWTH) if bucket else _SHORTEST_SECONDS
