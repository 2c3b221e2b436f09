"""Deployments as people handle them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.clock import Clock
from maas.application.ports.hardware_probe import HardwareProbe
from maas.application.ports.repositories.serving import DeploymentFilter
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.serving.controller import DEPLOYMENTS_TOPIC
from maas.application.serving.model_choice import ChosenModel, choose_model
from maas.application.usage import Limits
from maas.domain.errors import AlreadyExists, Conflict, ModelUnsuitable, NotFound, QuotaExceeded
from maas.domain.identifiers import new_id
from maas.domain.naming import checked_name
from maas.domain.paging import Page, PageRequest
from maas.domain.serving.autoscaling import AutoScaling
from maas.domain.serving.deployment import ENDED, Deployment
from maas.domain.serving.hardware import Hardware, HardwareSpec
from maas.domain.serving.log import DeploymentLine, LineLevel
from maas.domain.serving.replica import Replica
from maas.domain.usage import Served


@dataclass(frozen=True, kw_only=True)
class DeploymentState:
    """A deployment with its replicas, oldest first."""

    deployment: Deployment
    replicas: Sequence[Replica]


@dataclass(frozen=True, kw_only=True)
class ReplicaMetrics:
    """What a replica answered."""

    replica: Replica
    served: Served


@dataclass(frozen=True, kw_only=True)
class DeploymentMetrics:
    """What a deployment answered, in all and by each replica that is there now."""

    total: Served
    replicas: Sequence[ReplicaMetrics]


class Deployments:
    """Makes, shows, changes and ends deployments. What is asked for becomes true by the controller, which is woken each time."""

    def __init__(self, *, unit_of_work: UnitOfWorkFactory, clock: Clock, hardware: HardwareProbe, limits: Limits) -> None:
        self.unit_of_work = unit_of_work
        self.clock = clock
        self.hardware = hardware
        self.limits = limits

    def create(
        self,
        actor: Actor,
        *,
        name: str,
        model_id: UUID,
        model_version: str | None = None,
        description: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Deployment:
        """Make a deployment of a model that `actor` may see. `config` has the parts of the API's config."""
        there = self.hardware.largest()
        with self.limits.deployment_slot(actor), self.unit_of_work() as work:
            self._check_room(work, actor)
            parts = _new_parts(config or {}, there)
            _check_name(work, checked_name(name), actor.user_id)
            chosen = choose_model(work, actor, model_id, model_version)
            owned: dict[str, Any] = {"id": new_id(), "owner_id": actor.user_id, "name": name, "description": description}
            deployment = Deployment.make(model=chosen.served, at=self.clock.now(), **owned, **parts, **chosen.abilities)
            work.deployments.add(deployment)
            work.announce(DEPLOYMENTS_TOPIC)
            return deployment

    def page(self, actor: Actor, *, page: PageRequest, **filters: Any) -> Page[Deployment]:
        with self.unit_of_work(read_only=True) as work:
            return work.deployments.page(page, visible_to=actor, only=DeploymentFilter(**filters))

    def get(self, actor: Actor, deployment_id: UUID) -> Deployment:
        with self.unit_of_work(read_only=True) as work:
            return work.deployments.get(deployment_id, visible_to=actor)

    def change(
        self,
        actor: Actor,
        deployment_id: UUID,
        *,
        model_version: str | None = None,
        config: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Deployment:
        """Change the given ones of name, description, model_version and the parts of config; None clears.

        Another version or other hardware is rolled out: what runs goes on answering until the new replicas do.
        """
        asked, there = config or {}, self.hardware.largest()
        with self.unit_of_work() as work:
            deployment = work.deployments.get(deployment_id, visible_to=actor, for_update=True)
            if "name" in changes and changes["name"] != deployment.name:
                _check_name(work, checked_name(changes["name"]), deployment.owner_id)
            if model_version is not None or "hardware_spec" in asked:
                self._roll(work, actor, deployment, model_version, asked, there)
            deployment.change({**changes, **_changed_parts(deployment, asked)}, at=self.clock.now())
            work.announce(DEPLOYMENTS_TOPIC)
            return deployment

    def delete(self, actor: Actor, deployment_id: UUID) -> None:
        """Have a deployment stop and be gone. Where nothing of it runs any more, it is gone at once."""
        with self.unit_of_work() as work:
            deployment = work.deployments.get(deployment_id, visible_to=actor, for_update=True)
            deployment.delete(at=self.clock.now())
            replicas = work.replicas.of(deployment_id)
            if not deployment.is_live and all(replica.status in ENDED for replica in replicas):
                for replica in replicas:
                    work.replicas.remove(replica)
                work.publish(deployment.gone())
                work.deployments.remove(deployment)
            work.announce(DEPLOYMENTS_TOPIC)

    def stop(self, actor: Actor, deployment_id: UUID) -> Deployment:
        with self.unit_of_work() as work:
            deployment = work.deployments.get(deployment_id, visible_to=actor, for_update=True)
            deployment.stop(at=self.clock.now())
            work.announce(DEPLOYMENTS_TOPIC)
            return deployment

    def start(self, actor: Actor, deployment_id: UUID) -> Deployment:
        """Open the next run of a stopped or failed deployment, on the files that its version has now."""
        there = self.hardware.largest()
        with self.unit_of_work() as work:
            deployment = work.deployments.get(deployment_id, visible_to=actor, for_update=True)
            self._check_room(work, actor)
            deployment.start(at=self.clock.now())
            try:
                self._roll(work, actor, deployment, None, {}, there)
            except NotFound as error:
                raise Conflict("the model of this deployment is gone") from error
            work.announce(DEPLOYMENTS_TOPIC)
            return deployment

    def state(self, actor: Actor, deployment_id: UUID) -> DeploymentState:
        with self.unit_of_work(read_only=True) as work:
            deployment = work.deployments.get(deployment_id, visible_to=actor)
            return DeploymentState(deployment=deployment, replicas=work.replicas.of(deployment_id))

    def log(
        self, actor: Actor, deployment_id: UUID, *, number: int, limit: int, level: LineLevel | None = None
    ) -> Page[DeploymentLine]:
        """Return what happened to a deployment and what its engines wrote, oldest first."""
        with self.unit_of_work(read_only=True) as work:
            work.deployments.get(deployment_id, visible_to=actor)
            return work.deployment_log.page(deployment_id, number=number, limit=limit, level=level)

    def metrics(self, actor: Actor, deployment_id: UUID) -> DeploymentMetrics:
        with self.unit_of_work(read_only=True) as work:
            work.deployments.get(deployment_id, visible_to=actor)
            replicas = [replica for replica in work.replicas.of(deployment_id) if replica.status not in ENDED]
            usage = work.usage.of_deployment(deployment_id)
        by_replica = [ReplicaMetrics(replica=replica, served=usage.replicas.get(replica.id) or Served()) for replica in replicas]
        return DeploymentMetrics(total=usage.total, replicas=by_replica)

    def _roll(
        self,
        work: UnitOfWork,
        actor: Actor,
        deployment: Deployment,
        version: str | None,
        asked: Mapping[str, Any],
        there: Hardware,
    ) -> None:
        chosen = choose_model(work, actor, deployment.model_id, version or deployment.model_version)
        _check_same_kind(deployment, chosen)
        hardware = _checked_hardware(_merged_hardware(deployment.hardware_spec, asked), there)
        deployment.roll(
            chosen.served, hardware, can_chat=chosen.can_chat, context_length=chosen.context_length, at=self.clock.now()
        )

    def _check_room(self, work: UnitOfWork, actor: Actor) -> None:
        """Raise QuotaExceeded where the caller has as many deployments as may be; others of theirs wait for `work`."""
        numbers = self.limits.numbers_of(actor)
        if numbers is None:
            return
        work.users.get(actor.user_id, for_update=True)
        if work.deployments.count_live(actor.user_id) >= numbers.deployments:
            raise QuotaExceeded(
                "you have {limit} deployments, and no more may run at once: stop or delete one",
                field="deployments",
                limit=numbers.deployments,
            )


def _check_name(work: UnitOfWork, name: str, owner_id: UUID) -> None:
    if work.deployments.find_by_name(name, owner_id=owner_id) is not None:
        raise AlreadyExists("you have a deployment of this name already", field="name")


def _check_same_kind(deployment: Deployment, chosen: ChosenModel) -> None:
    """A replica of the one is asked as a replica of the other while they change places."""
    if (chosen.task, chosen.adapter) != (deployment.task, deployment.adapter):
        raise ModelUnsuitable(
            "this version is of another kind than the deployed one: make a new deployment", field="model_version"
        )


def _new_parts(asked: Mapping[str, Any], there: Hardware) -> dict[str, Any]:
    """Return the parts of a new deployment's `config`, each whole."""
    scaling = _merged_scaling(AutoScaling(), asked.get("auto_scaling"))
    return {
        "hardware_spec": _checked_hardware(HardwareSpec(**(asked.get("hardware_spec") or {})), there),
        "auto_scaling": scaling,
        "replicas": asked.get("replicas", scaling.min_replicas),
        "inference_config": dict(asked.get("inference_config") or {}),
    }


def _changed_parts(deployment: Deployment, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of `config` that change, each whole."""
    parts: dict[str, Any] = {}
    if "replicas" in asked:
        parts["replicas"] = asked["replicas"]
    if "auto_scaling" in asked:
        parts["auto_scaling"] = _merged_scaling(deployment.auto_scaling, asked["auto_scaling"])
    if "inference_config" in asked:
        given = asked["inference_config"]
        parts["inference_config"] = {} if given is None else {**deployment.inference_config, **given}
    return parts


def _merged_scaling(scaling: AutoScaling, given: Mapping[str, Any] | None) -> AutoScaling:
    """Return `scaling` with what is given; None gives a field its default, or all of them."""
    if given is None:
        return AutoScaling()
    defaults = vars(AutoScaling())
    return replace(scaling, **{name: defaults[name] if value is None else value for name, value in given.items()})


def _checked_hardware(spec: HardwareSpec, there: Hardware) -> HardwareSpec:
    there.check(spec)
    return spec


def _merged_hardware(spec: HardwareSpec, asked: Mapping[str, Any]) -> HardwareSpec:
    if "hardware_spec" not in asked:
        return spec
    given = asked["hardware_spec"]
    return HardwareSpec() if given is None else replace(spec, **given)
