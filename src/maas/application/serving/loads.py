"""How busy deployments are, measured from one look to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from maas.application.ports.replica_runtime import Sighting
from maas.domain.serving.autoscaling import Autoscaler, ScalingDecision
from maas.domain.serving.deployment import Deployment
from maas.domain.serving.replica import Replica

WINDOW = timedelta(seconds=10)
"""Over so long the use of processors is measured: shorter ones show moments."""


@dataclass(frozen=True)
class _Reading:
    at: datetime
    cpu_seconds: Mapping[UUID, float]


class Loads:
    """Measures the replicas of each deployment, and asks its autoscaler what follows.

    `cpu_cores` are those of a replica that names none.
    """

    def __init__(self, *, cpu_cores: int) -> None:
        self._cpu_cores = cpu_cores
        self._readings: dict[UUID, _Reading] = {}
        self._autoscalers: dict[UUID, Autoscaler] = {}

    def decide(
        self, deployment: Deployment, running: Sequence[Replica], sightings: Mapping[UUID, Sighting], *, at: datetime
    ) -> ScalingDecision | None:
        """Return what its load asks of a deployment; None between two windows, and where all is well."""
        seen = {replica.id: sightings[replica.id] for replica in running if replica.id in sightings}
        before = self._readings.get(deployment.id)
        if before is not None and at - before.at < WINDOW:
            return None
        self._readings[deployment.id] = _Reading(at, {replica_id: sighting.cpu_seconds for replica_id, sighting in seen.items()})
        autoscaler = self._autoscalers.setdefault(deployment.id, Autoscaler(began_at=at))
        utilization = None if before is None else self._utilization(deployment, before, seen, at)
        if utilization is None:
            return None
        return autoscaler.decide(
            deployment.auto_scaling, desired=deployment.desired_replicas, running=len(seen), utilization=utilization, at=at
        )

    def forget_all_but(self, deployment_ids: set[UUID]) -> None:
        """Drop what is known of deployments that are not scaled any more."""
        for known in (self._readings, self._autoscalers):
            for deployment_id in set(known) - deployment_ids:
                del known[deployment_id]

    def _utilization(self, deployment: Deployment, before: _Reading, seen: Mapping[UUID, Sighting], at: datetime) -> float | None:
        """Return the mean percentage over the replicas that were there the whole window, or None where there is none."""
        seconds = (at - before.at).total_seconds() * (deployment.target.hardware.cpu_cores or self._cpu_cores)
        shares = [
            sighting.busy
            if sighting.busy is not None
            else 100.0 * (sighting.cpu_seconds - before.cpu_seconds[replica_id]) / seconds
            for replica_id, sighting in seen.items()
            if replica_id in before.cpu_seconds
        ]
        return sum(shares) / len(shares) if shares else None
