"""Fine-tuning jobs (sections 5.2 to 5.4)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject

from maas.application.finetuning.jobs import FinetuningJobs
from maas.container import Container
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.training import Checkpoint, LogLine, MetricsPoint
from maas.domain.identity import Permission
from maas.domain.paging import Page
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.finetuning_forms import (
    CheckpointItem,
    JobChange,
    JobCreation,
    JobItem,
    JobQuery,
    JobRestart,
    LogItem,
    LogQuery,
    MetricsQuery,
    PointItem,
)
from maas.entrypoints.http.paging import listed, paged
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
_Jobs = Provide[Container.finetuning_jobs]

blueprint = Blueprint(
    "finetuning",
    __name__,
    url_prefix="/api/v1/finetune/jobs",
    description="Fine-tuning jobs: made, followed, stopped, restarted.",
)


@inject
def _locate(job_id: UUID, jobs: FinetuningJobs = _Jobs) -> None:
    jobs.get(current_actor(), job_id)


@blueprint.route("", access=Permission.FINETUNE_READ)
@blueprint.arguments(JobQuery(), location="query")
@blueprint.response(200, paged("jobs", JobItem()))
@inject
def list_jobs(query: Form, jobs: FinetuningJobs = _Jobs) -> Page[FinetuningJob]:
    """List your jobs."""
    return jobs.page(current_actor(), **query)


@blueprint.route("", methods=["POST"], access=Permission.FINETUNE_CREATE)
@blueprint.arguments(JobCreation())
@blueprint.response(201, JobItem(), message="the job was created", location="/api/v1/finetune/jobs/{id}")
@inject
def create_job(body: Form, jobs: FinetuningJobs = _Jobs) -> FinetuningJob:
    """Make a job.

    It is `queued`, then `preparing` and `running` as soon as a worker takes it; at most three jobs of a person run at once, the
    others wait. It ends `succeeded`, `failed` or `cancelled`. The result is a new model, version 1.0.0, whose lineage names the
    base, the dataset and the job; its name is reserved from now on. Whatever process dies on the way, the job goes on from its
    last checkpoint by itself, and its curve is that of an unbroken run.
    """
    return jobs.create(current_actor(), **body)


@blueprint.route("/<uuid:job_id>", access=Permission.FINETUNE_READ)
@blueprint.response(200, JobItem())
@inject
def get_job(job_id: UUID, jobs: FinetuningJobs = _Jobs) -> FinetuningJob:
    """Show a job."""
    return jobs.get(current_actor(), job_id)


@blueprint.route("/<uuid:job_id>", methods=["PUT", "PATCH"], access=Permission.FINETUNE_UPDATE, locate=_locate)
@blueprint.arguments(JobChange())
@blueprint.response(200, JobItem(), message="the job was changed")
@inject
def change_job(body: Form, job_id: UUID, jobs: FinetuningJobs = _Jobs) -> FinetuningJob:
    """Change the name or the description of a job."""
    return jobs.change(current_actor(), job_id, body)


@blueprint.route("/<uuid:job_id>", methods=["DELETE"], access=Permission.FINETUNE_DELETE)
@blueprint.response(200, message="the job was deleted")
@inject
def delete_job(job_id: UUID, jobs: FinetuningJobs = _Jobs) -> None:
    """Delete a finished job with its curve, log and checkpoints. The model that it made stays."""
    jobs.delete(current_actor(), job_id)


@blueprint.route("/<uuid:job_id>/metrics", access=Permission.FINETUNE_READ, locate=_locate)
@blueprint.arguments(MetricsQuery(), location="query")
@blueprint.response(200, listed("metrics", PointItem()))
@inject
def list_metrics(query: Form, job_id: UUID, jobs: FinetuningJobs = _Jobs) -> Sequence[MetricsPoint]:
    """Show the curve: all points by step, at once."""
    return jobs.metrics(current_actor(), job_id, **query)


@blueprint.route("/<uuid:job_id>/logs", access=Permission.FINETUNE_READ, locate=_locate)
@blueprint.arguments(LogQuery(), location="query")
@blueprint.response(200, paged("logs", LogItem()))
@inject
def list_logs(query: Form, job_id: UUID, jobs: FinetuningJobs = _Jobs) -> Page[LogLine]:
    """Show the log, oldest line first."""
    return jobs.logs(current_actor(), job_id, **query)


@blueprint.route("/<uuid:job_id>/checkpoints", access=Permission.FINETUNE_READ)
@blueprint.response(200, listed("checkpoints", CheckpointItem()))
@inject
def list_checkpoints(job_id: UUID, jobs: FinetuningJobs = _Jobs) -> Sequence[Checkpoint]:
    """Show the checkpoints that were saved, by step."""
    return jobs.checkpoints(current_actor(), job_id)


@blueprint.route("/<uuid:job_id>/cancel", methods=["POST"], access=Permission.FINETUNE_UPDATE)
@blueprint.response(200, JobItem(), message="the job is being cancelled")
@inject
def cancel_job(job_id: UUID, jobs: FinetuningJobs = _Jobs) -> FinetuningJob:
    """Cancel a job: at once where it waits, else as soon as it has saved where it stands. A finished one is 409."""
    return jobs.cancel(current_actor(), job_id)


@blueprint.route("/<uuid:job_id>/restart", methods=["POST"], access=Permission.FINETUNE_UPDATE, locate=_locate)
@blueprint.arguments(JobRestart(), required=False)
@blueprint.response(200, JobItem(), message="the job was restarted")
@inject
def restart_job(body: Form, job_id: UUID, jobs: FinetuningJobs = _Jobs) -> FinetuningJob:
    """Restart a failed or cancelled job, from its last checkpoint or from the beginning. Others are 409."""
    return jobs.restart(current_actor(), job_id, **body)
