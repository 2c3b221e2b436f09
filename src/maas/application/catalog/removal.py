"""Removing versions and models, unless something uses them."""

from maas.application.catalog.version_uploads import IMPORT_KIND
from maas.application.ports.unit_of_work import UnitOfWork
from maas.domain.catalog.model import Model, ModelVersion
from maas.domain.errors import Conflict


def remove_model(work: UnitOfWork, model: Model) -> None:
    """Remove a model with all of its versions."""
    _require_unused(work, model, None)
    for version in work.model_versions.of([model.id]):
        _remove(work, version)
    work.models.remove(model)
    work.publish(model.delete())


def remove_version(work: UnitOfWork, model: Model, version: ModelVersion) -> None:
    """Remove one version; the model stays, even without any."""
    _require_unused(work, model, version.version)
    _remove(work, version)


def _require_unused(work: UnitOfWork, model: Model, version: str | None) -> None:
    if work.deployments.uses_model(model.id, version):
        raise Conflict("a deployment uses this model; stop it first")
    if work.finetuning_jobs.uses_model(model.id, version):
        raise Conflict("a fine-tuning job uses this model; wait for its end, or cancel it")


def _remove(work: UnitOfWork, version: ModelVersion) -> None:
    if version.is_pending:
        work.leases.withdraw(version.id, kinds=[IMPORT_KIND])
    work.model_versions.remove(version)
    work.publish(version.delete())
