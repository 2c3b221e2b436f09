"""Whether model, data and parameters fit together: what a job can be made from."""

from dataclasses import dataclass
from uuid import UUID

from maas.application.actor import Actor
from maas.application.ports.unit_of_work import UnitOfWork
from maas.domain.catalog.facts import ModelFormat, ModelType, Task
from maas.domain.catalog.model import Model, ModelVersion, latest_ready
from maas.domain.datasets.dataset import Dataset
from maas.domain.errors import JobImpossible, NotFound
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy, TrainingConfig

_MODEL, _VERSION, _DATASET, _EVAL_DATASET = "base_model_id", "base_model_version", "dataset_id", "config.eval_dataset_id"


@dataclass(frozen=True, kw_only=True)
class Base:
    """The version to begin with; where that is an adapter, `adapted` is what it adapts."""

    model: Model
    version: ModelVersion
    adapted: ModelVersion | None


def fitting_base(work: UnitOfWork, actor: Actor, model_id: UUID, version: str | None) -> Base:
    """Return the base that was asked for, held until the unit of work ends.

    Raises NotFound where `actor` may not know of it, JobImpossible where nothing can be trained on it.
    """
    try:
        model = work.models.get(model_id, visible_to=actor, for_update=True)
    except NotFound as error:
        raise NotFound(field=_MODEL) from error
    if model.type is not ModelType.LLM:
        raise JobImpossible("only models of type llm can be fine-tuned, not {type}", field=_MODEL, type=model.type.value)
    chosen = _chosen_version(work, model, version)
    if Task.TEXT_GENERATION.value not in chosen.metadata.get("supported_tasks", ()):
        raise JobImpossible("the base model is no language model with a tokenizer that could be trained", field=_MODEL)
    adapted = _adapted_version(work, actor, model, chosen) if _is_adapter(chosen) else None
    return Base(model=model, version=chosen, adapted=adapted)


def _chosen_version(work: UnitOfWork, model: Model, version: str | None) -> ModelVersion:
    versions = work.model_versions.of([model.id])
    if version is None:
        newest = latest_ready(versions)
        if newest is None:
            raise JobImpossible("the base model has no version that is ready", field=_MODEL)
        return newest
    chosen = next((one for one in versions if one.version == version), None)
    if chosen is None:
        raise NotFound(field=_VERSION)
    if not chosen.is_ready:
        raise JobImpossible("this version of the base model is {status}, not ready", field=_VERSION, status=chosen.status.value)
    return chosen


def _is_adapter(version: ModelVersion) -> bool:
    return version.metadata.get("model_format") == ModelFormat.PEFT.value


def _adapted_version(work: UnitOfWork, actor: Actor, model: Model, adapter: ModelVersion) -> ModelVersion:
    """Return the version that an adapter was trained on: by its source where that says, else the newest of its lineage."""
    base_id = None if model.lineage is None else model.lineage.base_model_id
    if base_id is None:
        raise JobImpossible("the base model is an adapter, and it is not known here what it adapts", field=_MODEL)
    try:
        work.models.get(base_id, visible_to=actor, for_update=True)
    except NotFound as error:
        raise JobImpossible("the base model is an adapter to a model that is gone or not visible to you", field=_MODEL) from error
    versions = work.model_versions.of([base_id])
    wanted = (adapter.source or {}).get("base_version")
    adapted = latest_ready([one for one in versions if wanted in (None, one.version)])
    if adapted is None or _is_adapter(adapted):
        raise JobImpossible("the version that the base model adapts is gone", field=_MODEL)
    return adapted


def check_algorithm(algorithm: Algorithm, base: Base) -> None:
    """Raise JobImpossible where the base cannot be trained in this way."""
    if algorithm is Algorithm.QLORA and base.adapted is not None:
        raise JobImpossible("qlora needs a whole model as its base, not an adapter; use lora", field="algorithm")


def fitting_dataset(work: UnitOfWork, actor: Actor, dataset_id: UUID, config: TrainingConfig) -> Dataset:
    """Return the dataset to learn from, held until the unit of work ends; the rows to evaluate on are checked too."""
    dataset = _seen_dataset(work, actor, dataset_id, field=_DATASET)
    is_evaluated = config.evaluation_strategy is not EvaluationStrategy.NO
    if config.eval_dataset_id is None:
        if is_evaluated and dataset.rows < 2:
            raise JobImpossible("a dataset of one row cannot be evaluated: set evaluation_strategy to no", field=_DATASET)
        return dataset
    if not is_evaluated:
        raise JobImpossible("rows to evaluate on need an evaluation_strategy: steps or epoch", field=_EVAL_DATASET)
    held_out = _seen_dataset(work, actor, config.eval_dataset_id, field=_EVAL_DATASET)
    if held_out.type is not dataset.type:
        raise JobImpossible("both datasets must be of one type", field=_EVAL_DATASET)
    return dataset


def _seen_dataset(work: UnitOfWork, actor: Actor, dataset_id: UUID, *, field: str) -> Dataset:
    try:
        return work.datasets.get(dataset_id, visible_to=actor, for_update=True)
    except NotFound as error:
        raise NotFound(field=field) from error


def check_still_fits(work: UnitOfWork, job: FinetuningJob) -> None:
    """Raise JobImpossible where what a job was made from is gone."""
    pairs = [(job.base_model_id, job.base_version), (job.adapter_base_id, job.adapter_base_version)]
    for model_id, version in pairs:
        if model_id is not None and not _has_version(work, model_id, version):
            raise JobImpossible("the base model of this job is gone", field=_MODEL)
    for dataset_id, field in ((job.dataset_id, _DATASET), (job.eval_dataset_id, _EVAL_DATASET)):
        if dataset_id is not None and work.datasets.find(dataset_id) is None:
            raise JobImpossible("the dataset of this job is gone", field=field)


def _has_version(work: UnitOfWork, model_id: UUID, version: str | None) -> bool:
    return any(one.version == version and one.is_ready for one in work.model_versions.of([model_id]))
