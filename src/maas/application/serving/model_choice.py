"""Which files an engine would load for a model, and what it could do with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.unit_of_work import UnitOfWork
from maas.domain.catalog.facts import ModelFormat, Task
from maas.domain.catalog.model import Model, ModelVersion, latest_ready
from maas.domain.errors import Conflict, ModelUnsuitable, NotFound
from maas.domain.serving.served import ServedModel

_MODEL, _VERSION = "model_id", "model_version"
_SERVED_TASKS = (Task.TEXT_GENERATION, Task.FEATURE_EXTRACTION, Task.TEXT_RANKING)


@dataclass(frozen=True, kw_only=True)
class ChosenModel:
    """A version that can be served. `adapter` is the name that selects it where it is an adapter to its base."""

    served: ServedModel
    task: str
    can_chat: bool
    context_length: int | None
    adapter: str | None

    @property
    def abilities(self) -> dict[str, Any]:
        """What a deployment keeps of it besides the files."""
        return {
            "task": self.task,
            "can_chat": self.can_chat,
            "context_length": self.context_length,
            "adapter": self.adapter,
        }


def choose_model(work: UnitOfWork, actor: Actor, model_id: UUID, version: str | None) -> ChosenModel:
    """Return the version that was asked for, by default the newest ready one, held until the unit of work ends.

    Raises NotFound where `actor` may not know of it, Conflict where it is not ready, ModelUnsuitable where no engine serves it.
    """
    try:
        model = work.models.get(model_id, visible_to=actor, for_update=True)
    except NotFound as error:
        raise NotFound(field=_MODEL) from error
    chosen = _chosen_version(work, model, version)
    if chosen.metadata.get("model_format") != ModelFormat.PEFT.value:
        return _served(ServedModel(model_id=model.id, version=chosen.version, files_key=chosen.files_key), chosen.metadata)
    base = _base_of(work, actor, model, chosen)
    served = ServedModel(
        model_id=model.id,
        version=chosen.version,
        files_key=chosen.files_key,
        base_model_id=base.model_id,
        base_version=base.version,
        base_files_key=base.files_key,
    )
    return _served(served, base.metadata, adapter=str(model.id))


def _chosen_version(work: UnitOfWork, model: Model, version: str | None) -> ModelVersion:
    versions = work.model_versions.of([model.id])
    if version is None:
        newest = latest_ready(versions)
        if newest is None:
            raise Conflict("the model has no version that is ready", field=_MODEL)
        return newest
    chosen = next((one for one in versions if one.version == version), None)
    if chosen is None:
        raise NotFound(field=_VERSION)
    chosen.require_ready()
    return chosen


def _base_of(work: UnitOfWork, actor: Actor, model: Model, adapter: ModelVersion) -> ModelVersion:
    """Return what an adapter was trained on: the version that its source names, else the newest of its lineage."""
    base_id = None if model.lineage is None else model.lineage.base_model_id
    if base_id is None:
        raise ModelUnsuitable("the model is an adapter, and it is not known here what it adapts", field=_MODEL)
    try:
        work.models.get(base_id, visible_to=actor, for_update=True)
    except NotFound as error:
        raise ModelUnsuitable("the model is an adapter to a model that is gone or not visible to you", field=_MODEL) from error
    wanted = (adapter.source or {}).get("base_version")
    base = latest_ready([one for one in work.model_versions.of([base_id]) if wanted in (None, one.version)])
    if base is None or base.metadata.get("model_format") == ModelFormat.PEFT.value:
        raise ModelUnsuitable("the version that the model adapts is gone", field=_MODEL)
    return base


def _served(served: ServedModel, facts: Mapping[str, Any], *, adapter: str | None = None) -> ChosenModel:
    tasks = facts.get("supported_tasks", ())
    task = next((task for task in _SERVED_TASKS if task.value in tasks), None)
    if task is None and not facts.get("has_tokenizer"):
        raise ModelUnsuitable("the model has no tokenizer, and cannot be deployed without one", field=_MODEL)
    if task is None:
        raise ModelUnsuitable("the model does nothing that can be deployed", field=_MODEL)
    if adapter is not None and task is not Task.TEXT_GENERATION:
        raise ModelUnsuitable("adapters are served for language models alone", field=_MODEL)
    return ChosenModel(
        served=served,
        task=task.value,
        can_chat=Task.CHAT.value in tasks,
        context_length=facts.get("context_length"),
        adapter=adapter,
    )
