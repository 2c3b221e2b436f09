"""Which reactions follow which event, by name; the container binds the names to their handlers."""

from maas.domain.catalog.model import ModelDeleted, ModelVersionDeleted, ModelVersionFailed, ModelVersionReady
from maas.domain.datasets.dataset import DatasetCreated, DatasetDeleted
from maas.domain.events import Event
from maas.domain.finetuning.job import (
    FinetuningCancelled,
    FinetuningDeleted,
    FinetuningFailed,
    FinetuningRestarted,
    FinetuningSucceeded,
)
from maas.domain.identity import CredentialRevoked, UserRegistered
from maas.domain.inference.batch import BatchCancelled, BatchFailed, BatchSucceeded
from maas.domain.serving.events import DeploymentDeleted, DeploymentFailed, DeploymentRunning

REACTIONS: dict[type[Event], tuple[str, ...]] = {
    UserRegistered: (),
    CredentialRevoked: (),
    ModelVersionReady: (),
    ModelVersionFailed: (),
    ModelVersionDeleted: ("remove_model_files",),
    ModelDeleted: (),
    DatasetCreated: (),
    DatasetDeleted: ("remove_dataset_files",),
    FinetuningSucceeded: ("remove_checkpoint_files",),
    FinetuningFailed: ("remove_checkpoint_files",),
    FinetuningCancelled: ("remove_checkpoint_files",),
    FinetuningRestarted: ("remove_checkpoint_files",),
    FinetuningDeleted: ("remove_checkpoint_files",),
    DeploymentRunning: (),
    DeploymentFailed: (),
    DeploymentDeleted: (),
    BatchSucceeded: (),
    BatchFailed: (),
    BatchCancelled: (),
}
"""Every event has an entry; what nobody reacts to yet has an empty one."""

REACTION_KIND = "reaction:"
"""Leased work of this kind, plus the reaction's name, has the event's fields as its payload."""

WORK_TOPIC = "work"
"""Announced whenever work is offered."""
