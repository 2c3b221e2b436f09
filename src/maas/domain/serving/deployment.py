"""A deployment: a model version that is to answer, and how it may change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from maas.domain.errors import Conflict
from maas.domain.events import Event
from maas.domain.inference.parameters import GenerationParameters, checked_defaults
from maas.domain.naming import checked_description, checked_name
from maas.domain.serving.autoscaling import AutoScaling, checked_replicas
from maas.domain.serving.events import DeploymentDeleted, DeploymentFailed, DeploymentRunning
from maas.domain.serving.hardware import HardwareSpec
from maas.domain.serving.served import Revision, ServedModel

LONGEST_REASON = 1_000
LONGEST_PAUSE = timedelta(seconds=30)


class DeploymentStatus(StrEnum):
    """Where a deployment, or one of its replicas, stands."""

    PENDING = "pending"
    LOADING = "loading"
    RUNNING = "running"
    SCALING = "scaling"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


ENDED = frozenset({DeploymentStatus.STOPPED, DeploymentStatus.FAILED})
"""What neither counts to the limit on deployments nor keeps a model from being deleted."""
_LEAVING = {DeploymentStatus.STOPPING, DeploymentStatus.FAILED}
MOVES: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    DeploymentStatus.PENDING: frozenset({DeploymentStatus.LOADING, *_LEAVING}),
    DeploymentStatus.LOADING: frozenset({DeploymentStatus.RUNNING, *_LEAVING}),
    DeploymentStatus.RUNNING: frozenset({DeploymentStatus.SCALING, *_LEAVING}),
    DeploymentStatus.SCALING: frozenset({DeploymentStatus.RUNNING, *_LEAVING}),
    DeploymentStatus.STOPPING: frozenset({DeploymentStatus.STOPPED, DeploymentStatus.FAILED}),
    # Only a start leaves these, and opens a new run.
    DeploymentStatus.STOPPED: frozenset({DeploymentStatus.PENDING}),
    DeploymentStatus.FAILED: frozenset({DeploymentStatus.PENDING}),
}


class Intent(StrEnum):
    """What its owner wants of a deployment."""

    RUN = "run"
    STOP = "stop"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class StatusChange:
    """One move; `before` is None at the making. The changes, in order, fold to the status."""

    before: DeploymentStatus | None
    after: DeploymentStatus
    run: int
    reason: str | None
    at: datetime


@dataclass(eq=False, kw_only=True)
class Deployment:
    """A model version that is to answer.

    `replicas` is what its owner asks for, `desired_replicas` what there should be now (autoscaling may differ).
    `adapter` is the name that selects a fine-tune in an engine that holds its base; it never changes.
    `run` counts from 1; a start opens the next. `current` is what replicas should be; `settled` is the newest revision that
    once ran whole in this run, and comes back where `current` was given up (`is_given_up`).
    `failures` counts rounds of starts that failed one after another; nothing is started before `retry_at`.
    `changes` are moves that are not stored yet.
    """

    id: UUID
    owner_id: UUID
    name: str
    description: str | None = None
    model_id: UUID
    model_version: str
    task: str
    can_chat: bool = False
    context_length: int | None = None
    adapter: str | None = None
    replicas: int = 1
    desired_replicas: int = 1
    hardware_spec: HardwareSpec = field(default_factory=HardwareSpec)
    auto_scaling: AutoScaling = field(default_factory=AutoScaling)
    inference_config: dict[str, Any] = field(default_factory=dict)
    status: DeploymentStatus = DeploymentStatus.PENDING
    reason: str | None = None
    intent: Intent = Intent.RUN
    run: int = 1
    current: Revision
    settled: Revision | None = None
    is_given_up: bool = False
    failures: int = 0
    failed_at: datetime | None = None
    retry_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    changes: list[StatusChange] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        checked_name(self.name)
        checked_description(self.description)
        checked_replicas(self.replicas)

    @classmethod
    def make(cls, *, model: ServedModel, hardware_spec: HardwareSpec, at: datetime, **values: Any) -> "Deployment":
        """Make a pending deployment of `model`."""
        values["inference_config"] = checked_defaults(values.get("inference_config", {}))
        values["desired_replicas"] = values.setdefault("replicas", 1)
        values |= {"model_id": model.model_id, "model_version": model.version, "hardware_spec": hardware_spec}
        first = Revision(number=1, model=model, hardware=hardware_spec)
        deployment = cls(current=first, created_at=at, updated_at=at, **values)
        deployment._check_fits_context()
        deployment.desired_replicas = deployment._asked_replicas()
        deployment.changes.append(StatusChange(before=None, after=DeploymentStatus.PENDING, run=1, reason=None, at=at))
        return deployment

    @property
    def name_key(self) -> str | None:
        """What no two of an owner may share: the name, until the deployment is being deleted."""
        return None if self.intent is Intent.DELETE else self.name

    @property
    def is_live(self) -> bool:
        return self.status not in ENDED

    @property
    def may_answer(self) -> bool:
        """Whether calls may be tried, on whichever replica runs."""
        return self.status in (DeploymentStatus.LOADING, DeploymentStatus.RUNNING, DeploymentStatus.SCALING)

    @property
    def target(self) -> Revision:
        """What replicas should be."""
        return self.settled if self.is_given_up and self.settled is not None else self.current

    def revision(self, number: int) -> Revision | None:
        """Return the revision of a number, as far as it is still known."""
        return next((known for known in (self.current, self.settled) if known is not None and known.number == number), None)

    def uses_model(self, model_id: UUID, version: str | None = None) -> bool:
        """Tell whether replicas are, or are to be, of this model (of this version, where one is given), or of an adapter to it."""
        known = (self.current, self.settled)
        return any(revision.model.uses(model_id, version) for revision in known if revision is not None)

    def change(self, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Set the given ones of name, description, replicas, auto_scaling and inference_config."""
        if "name" in changes:
            self.name = checked_name(changes["name"])
        if "description" in changes:
            self.description = checked_description(changes["description"])
        if "inference_config" in changes:
            self.inference_config = checked_defaults(changes["inference_config"])
        if "auto_scaling" in changes:
            self.auto_scaling = changes["auto_scaling"]
        if "replicas" in changes:
            self.replicas = checked_replicas(changes["replicas"])
            self.desired_replicas = self.replicas
        if changes.keys() & {"replicas", "auto_scaling"}:
            self.desired_replicas = self._asked_replicas()
        self._check_fits_context()
        self.updated_at = at

    def roll(
        self, model: ServedModel, hardware: HardwareSpec, *, can_chat: bool, context_length: int | None, at: datetime
    ) -> None:
        """Have replicas of another version, or on other hardware; those that run answer until these do."""
        self.can_chat = can_chat
        self.context_length = context_length
        self._check_fits_context()
        if self.is_given_up or (model, hardware) != (self.current.model, self.current.hardware):
            self.current = Revision(number=self.current.number + 1, model=model, hardware=hardware)
            self.model_version = model.version
            self.hardware_spec = hardware
            self._forget_failures()
        self.updated_at = at

    def start(self, *, at: datetime) -> None:
        """Open the next run of a stopped or failed deployment."""
        if self.is_live or self.intent is Intent.DELETE:
            raise Conflict("a {status} deployment cannot be started", status=self.status.value)
        self.run += 1
        self._move(DeploymentStatus.PENDING, at=at)
        self.intent = Intent.RUN
        self.settled = None
        self._forget_failures()
        self.desired_replicas = self._asked_replicas()

    def stop(self, *, at: datetime) -> None:
        """Let what is being answered end, and every replica after it."""
        if not self.is_live:
            raise Conflict("a {status} deployment cannot be stopped", status=self.status.value)
        self._leave(Intent.STOP, at=at)

    def delete(self, *, at: datetime) -> None:
        """Stop, and be gone when the last replica is."""
        self._leave(Intent.DELETE, at=at)

    def load(self, *, at: datetime) -> None:
        """The first replica is being started."""
        self._move(DeploymentStatus.LOADING, at=at)

    def settle(self, *, at: datetime) -> list[Event]:
        """All replicas run that there should be."""
        self.settled = self.target
        if not self.is_given_up:
            self.reason = None
        if self.status is DeploymentStatus.RUNNING:
            return []
        first = self.status is DeploymentStatus.LOADING
        self._move(DeploymentStatus.RUNNING, at=at)
        return [DeploymentRunning(owner_id=self.owner_id, deployment_id=self.id)] if first else []

    def unsettle(self, *, at: datetime) -> None:
        """Replicas come or go."""
        if self.status is DeploymentStatus.RUNNING:
            self._move(DeploymentStatus.SCALING, at=at)

    def scale(self, replicas: int, reason: str, *, at: datetime) -> None:
        """Have another number of replicas, for a reason."""
        self.desired_replicas = replicas
        self.reason = reason[:LONGEST_REASON]
        self.updated_at = at

    def count_failure(self, reason: str, pause: timedelta, *, at: datetime) -> None:
        """A replica ended that should not have. What fails before `retry_at` belongs to the same round."""
        self.reason = reason[:LONGEST_REASON]
        self.failed_at = self.updated_at = at
        if self.retry_at is None or at >= self.retry_at:
            self.failures += 1
            self.retry_at = at + min(pause, LONGEST_PAUSE)

    def recover(self, *, at: datetime) -> None:
        """Forget failures that are long past."""
        self.failures = 0
        self.failed_at = self.retry_at = None
        self.updated_at = at

    def give_up_revision(self, reason: str, *, at: datetime) -> None:
        """Go back to the revision that ran before."""
        self.is_given_up = True
        self.recover(at=at)
        self.reason = reason[:LONGEST_REASON]

    def fail(self, reason: str, *, at: datetime) -> DeploymentFailed:
        """Give the deployment up."""
        self._move(DeploymentStatus.FAILED, at=at, reason=reason[:LONGEST_REASON])
        self.desired_replicas = 0
        self.reason = reason[:LONGEST_REASON]
        return DeploymentFailed(owner_id=self.owner_id, deployment_id=self.id, reason=self.reason)

    def finish_stopping(self, *, at: datetime) -> None:
        """The last replica has stopped."""
        self._move(DeploymentStatus.STOPPED, at=at)
        self.settled = None

    def gone(self) -> DeploymentDeleted:
        return DeploymentDeleted(owner_id=self.owner_id, deployment_id=self.id)

    def _leave(self, intent: Intent, *, at: datetime) -> None:
        if self.intent is not Intent.DELETE:
            self.intent = intent
        if self.is_live and self.status is not DeploymentStatus.STOPPING:
            self._move(DeploymentStatus.STOPPING, at=at)
        self.desired_replicas = 0
        self.updated_at = at

    def _asked_replicas(self) -> int:
        if not self.is_live or self.status is DeploymentStatus.STOPPING:
            return 0
        return self.auto_scaling.bounded(self.desired_replicas or self.replicas) if self.auto_scaling.enabled else self.replicas

    def _forget_failures(self) -> None:
        self.is_given_up = False
        self.failures = 0
        self.failed_at = self.retry_at = self.reason = None

    def _check_fits_context(self) -> None:
        asked = GenerationParameters(max_tokens=self.inference_config.get("max_tokens"))
        asked.check_context(self.context_length, field="config.inference_config.max_tokens")

    def _move(self, after: DeploymentStatus, *, at: datetime, reason: str | None = None) -> None:
        if after not in MOVES[self.status]:
            raise Conflict("a deployment cannot go from {before} to {after}", before=self.status.value, after=after.value)
        self.changes.append(StatusChange(before=self.status, after=after, run=self.run, reason=reason, at=at))
        self.status = after
        self.updated_at = at
