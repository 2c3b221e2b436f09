"""How many replicas there should be: Kubernetes' rule, `ceil(replicas x current / target)`."""

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from maas.domain.errors import OutOfRange

MOST_REPLICAS = 32
TOLERANCE = 0.1
STABILISATION = timedelta(seconds=60)
_FIELD = "config.auto_scaling"


def checked_replicas(replicas: int, *, field: str = "config.replicas") -> int:
    """Return `replicas`, or raise OutOfRange."""
    if not 1 <= replicas <= MOST_REPLICAS:
        raise OutOfRange("from 1 to {most} replicas", field=field, most=MOST_REPLICAS)
    return replicas


@dataclass(frozen=True, kw_only=True)
class AutoScaling:
    """Bounds and target; `target_cpu_utilization` is percent of `cpu_cores` (on a GPU, of busy slots)."""

    enabled: bool = False
    min_replicas: int = 1
    max_replicas: int = 1
    target_cpu_utilization: int = 70

    def __post_init__(self) -> None:
        checked_replicas(self.min_replicas, field=f"{_FIELD}.min_replicas")
        checked_replicas(self.max_replicas, field=f"{_FIELD}.max_replicas")
        if self.max_replicas < self.min_replicas:
            raise OutOfRange("max_replicas is below min_replicas", field=f"{_FIELD}.max_replicas")
        if not 1 <= self.target_cpu_utilization <= 100:
            raise OutOfRange("a utilization from 1 to 100 percent", field=f"{_FIELD}.target_cpu_utilization")

    def bounded(self, replicas: int) -> int:
        return min(self.max_replicas, max(self.min_replicas, replicas))


def wanted_replicas(replicas: int, utilization: float, target: float) -> int:
    """Return `ceil(replicas x utilization / target)`, or `replicas` where the two differ by a tenth at most.

    The rule is that of Kubernetes' HorizontalPodAutoscaler, its tolerance included.
    """
    ratio = utilization / target
    if abs(ratio - 1.0) <= TOLERANCE:
        return replicas
    # What differs by rounding alone is no reason for one more.
    return max(1, math.ceil(replicas * ratio - 1e-9))


@dataclass(frozen=True, kw_only=True)
class ScalingDecision:
    """A new number of replicas, and the sentence that says why."""

    replicas: int
    reason: str


@dataclass(eq=False, kw_only=True)
class Autoscaler:
    """Decides for one deployment: up at once, down only when a whole window asked for no more.

    The window begins with the autoscaler, so that a restarted controller does not scale down on its first look.
    """

    began_at: datetime
    _wishes: deque[tuple[datetime, int]] = field(default_factory=deque)

    def decide(
        self, rule: AutoScaling, *, desired: int, running: int, utilization: float, at: datetime
    ) -> ScalingDecision | None:
        """Return a decision where the number should change. `utilization` is the mean over the running replicas, in percent."""
        target = rule.target_cpu_utilization
        wish = rule.bounded(wanted_replicas(running, utilization, target))
        self._remember(wish, at)
        measured = f"CPU utilization {utilization:.0f}% of {running} replicas against a target of {target}%"
        if wish > desired:
            return ScalingDecision(replicas=wish, reason=f"scaling up from {desired} to {wish} replicas: {measured}")
        most = max(replicas for _, replicas in self._wishes)
        if most < desired and at - self.began_at >= STABILISATION:
            seconds = int(STABILISATION.total_seconds())
            reason = f"scaling down from {desired} to {most} replicas: {measured}; no more were needed for {seconds} s"
            return ScalingDecision(replicas=most, reason=reason)
        return None

    def _remember(self, wish: int, at: datetime) -> None:
        self._wishes.append((at, wish))
        while at - self._wishes[0][0] > STABILISATION:
            self._wishes.popleft()
