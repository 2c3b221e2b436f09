"""Which replicas come and which go, so that a deployment becomes what it should be and answers all the while."""

from collections.abc import Sequence
from dataclasses import dataclass

from maas.domain.serving.replica import Replica

SURGE = 1
"""So many replicas more than desired there may be while one revision replaces another."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The next step: how many of the target's revision to start, and which replicas to let go."""

    start: int = 0
    leave: tuple[Replica, ...] = ()


def next_step(standing: Sequence[Replica], *, desired: int, run: int, revision: int) -> Rollout:
    """Return what to do next, given the replicas that come up or run, oldest first.

    Old ones that run go only while more run than are desired; so as many as are desired answer, if ever they did.
    """
    fresh = [replica for replica in standing if (replica.run, replica.revision) == (run, revision)]
    old = [replica for replica in standing if replica not in fresh]
    return Rollout(
        start=_missing(len(fresh), len(old), desired), leave=(*_unneeded(fresh, old, desired), *_spare(fresh, old, desired))
    )


def _missing(fresh: int, old: int, desired: int) -> int:
    most = desired - fresh
    return max(0, min(most, desired + SURGE - fresh - old) if old else most)


def _unneeded(fresh: Sequence[Replica], old: Sequence[Replica], desired: int) -> list[Replica]:
    """Return those that do not run yet and are not wanted any more."""
    coming = [replica for replica in fresh if not replica.is_running]
    too_many = max(0, len(fresh) - desired)
    return [replica for replica in old if not replica.is_running] + coming[::-1][:too_many]


def _spare(fresh: Sequence[Replica], old: Sequence[Replica], desired: int) -> list[Replica]:
    """Return those that run beyond what is desired: old ones first, then the newest."""
    running = [replica for replica in old if replica.is_running]
    running += [replica for replica in reversed(fresh) if replica.is_running]
    return running[: max(0, len(running) - desired)]
