"""Things as tests need them: valid by default, each naming only what matters."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from maas.domain.catalog.facts import ModelFacts, ModelFormat, ModelType, Task
from maas.domain.catalog.model import Model, ModelVersion, VersionStatus
from maas.domain.datasets.dataset import Dataset, DatasetFormat
from maas.domain.datasets.rows import DatasetType
from maas.domain.finetuning.job import FinetuningJob
from maas.domain.finetuning.parameters import Algorithm, Hyperparameters, TrainingConfig
from maas.domain.identifiers import new_id
from maas.domain.identity import ApiKey, Permission, Session, User
from maas.domain.inference.batch import Batch
from maas.domain.serving.deployment import Deployment
from maas.domain.serving.hardware import HardwareSpec
from maas.domain.serving.replica import Replica
from maas.domain.serving.served import ServedModel
from maas.domain.usage import UsageEntry

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_user(username: str = "alice", **changes: Any) -> User:
    values: dict[str, Any] = {
        "id": new_id(),
        "username": username,
        "email": f"{username}@example.com",
        "password_hash": "hash",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return User(**{**values, **changes})


def a_session(user: User, **changes: Any) -> Session:
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": user.id,
        "refresh_hash": "hash",
        "created_at": NOW,
        "refreshed_at": NOW,
        "expires_at": NOW + timedelta(days=30),
    }
    return Session(**{**values, **changes})


def an_api_key(user: User, **changes: Any) -> ApiKey:
    key_id = new_id()
    values: dict[str, Any] = {
        "id": key_id,
        "user_id": user.id,
        "name": "key",
        "prefix": "maas_abc",
        "key_hash": f"hash of {key_id}",
        "permissions": frozenset({Permission.MODEL_READ}),
        "created_at": NOW,
    }
    return ApiKey(**{**values, **changes})


def some_facts(**changes: Any) -> ModelFacts:
    values: dict[str, Any] = {
        "model_format": ModelFormat.TRANSFORMERS,
        "parameters_count": 1_000,
        "weight_bytes": 4_000,
        "dtypes": ("F32",),
        "architecture": "Qwen2ForCausalLM",
        "architecture_family": "qwen2",
        "context_length": 256,
        "suggested_type": ModelType.LLM,
        "supported_tasks": (Task.TEXT_GENERATION, Task.CHAT),
        "has_tokenizer": True,
        "has_chat_template": True,
    }
    return ModelFacts(**{**values, **changes})


def a_model(owner_id: UUID, **changes: Any) -> Model:
    model_id = new_id()
    values: dict[str, Any] = {
        "id": model_id,
        "owner_id": owner_id,
        "name": f"model {model_id}",
        "type": ModelType.LLM,
        "category": "text-generation",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Model(**{**values, **changes})


def a_version(model: Model, **changes: Any) -> ModelVersion:
    """A ready version of a model."""
    version_id = new_id()
    values: dict[str, Any] = {
        "id": version_id,
        "model_id": model.id,
        "owner_id": model.owner_id,
        "status": VersionStatus.READY,
        "files_root": f"models/{version_id}",
        "file_size": 4_096,
        "metadata": some_facts().to_json(),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return ModelVersion(**{**values, **changes})


def a_dataset(owner_id: UUID, **changes: Any) -> Dataset:
    dataset_id = new_id()
    values: dict[str, Any] = {
        "id": dataset_id,
        "owner_id": owner_id,
        "name": f"dataset {dataset_id}",
        "type": DatasetType.CONVERSATION,
        "format": DatasetFormat.JSONL,
        "files_key": f"datasets/{dataset_id}",
        "file_name": "rows.jsonl",
        "file_size": 1_024,
        "sha256": "0" * 64,
        "rows": 16,
        "tokens_estimate": 320,
        "columns": ["messages"],
        "preview": [],
        "statistics": {},
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Dataset(**{**values, **changes})


def a_job(owner_id: UUID, **changes: Any) -> FinetuningJob:
    """A queued job."""
    values: dict[str, Any] = {
        "id": new_id(),
        "owner_id": owner_id,
        "name": "a job",
        "base_model_id": new_id(),
        "base_version": "1.0.0",
        "dataset_id": new_id(),
        "algorithm": Algorithm.LORA,
        "hyperparameters": Hyperparameters(),
        "config": TrainingConfig(),
        "result_model_id": new_id(),
        "result_name": "a job",
    }
    return FinetuningJob.make(at=changes.pop("at", NOW), **{**values, **changes})


def a_served_model(**changes: Any) -> ServedModel:
    values: dict[str, Any] = {"model_id": new_id(), "version": "1.0.0", "files_key": f"models/{new_id()}/files"}
    return ServedModel(**{**values, **changes})


def a_deployment(*, owner_id: UUID, **changes: Any) -> Deployment:
    """A pending deployment of one replica; `status` puts it elsewhere."""
    deployment_id = new_id()
    status = changes.pop("status", None)
    values: dict[str, Any] = {
        "id": deployment_id,
        "owner_id": owner_id,
        "name": f"deployment {deployment_id}",
        "model": a_served_model(),
        "hardware_spec": HardwareSpec(),
        "task": "text-generation",
        "can_chat": True,
        "context_length": 256,
    }
    deployment = Deployment.make(at=changes.pop("at", NOW), **{**values, **changes})
    if status is not None:
        deployment.status = status
    return deployment


def a_replica(*, deployment_id: UUID, **changes: Any) -> Replica:
    """A pending replica; `status` and `address` make it another."""
    elsewhere = {name: changes.pop(name) for name in ("status", "address", "reason", "started_at") if name in changes}
    values: dict[str, Any] = {"id": new_id(), "deployment_id": deployment_id, "run": 1, "revision": 1, "host": "here"}
    replica = Replica.make(at=changes.pop("at", NOW), **{**values, **changes})
    for name, value in elsewhere.items():
        setattr(replica, name, value)
    return replica


def a_usage_entry(**values: Any) -> UsageEntry:
    """A chat that took 0.5 s, of 10 tokens in and 20 out."""
    entry: dict[str, Any] = {
        "user_id": UUID(int=0xA11CE),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "kind": "chat",
        "deployment_id": UUID(int=0xDE9),
        "replica_id": UUID(int=0x4E9),
        "model_id": UUID(int=0x30DE1),
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "latency_seconds": 0.5,
        "first_token_seconds": 0.1,
    }
    return UsageEntry(**{**entry, **values})


def a_batch(owner_id: UUID, **changes: Any) -> Batch:
    """A queued batch of three requests."""
    batch_id = changes.pop("id", new_id())
    values: dict[str, Any] = {
        "id": batch_id,
        "owner_id": owner_id,
        "deployment_id": new_id(),
        "name": f"batch {batch_id}",
        "files_key": f"batches/{batch_id}",
        "total": 3,
    }
    return Batch.make(at=changes.pop("at", NOW), **{**values, **changes})
