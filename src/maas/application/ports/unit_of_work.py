"""The port for one transaction over everything that the platform keeps in SQL."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Protocol, Self

from maas.application.ports.repositories.batches import Batches
from maas.application.ports.repositories.catalog import Models, ModelVersions
from maas.application.ports.repositories.datasets import Datasets
from maas.application.ports.repositories.finetuning import FinetuningJobs
from maas.application.ports.repositories.idempotency import IdempotentCalls
from maas.application.ports.repositories.identity import ApiKeys, MailTokens, Sessions, Users
from maas.application.ports.repositories.kept_streams import KeptStreams
from maas.application.ports.repositories.leases import Leases
from maas.application.ports.repositories.owners import Owners
from maas.application.ports.repositories.serving import DeploymentLog, Deployments, Leaderships, Replicas
from maas.application.ports.repositories.usage import Usage
from maas.domain.events import Event


class UnitOfWork(ABC):
    """One transaction: it commits at the end of its `with` block, and rolls back on any error.

    Things that its repositories returned are tracked; what was changed on them is stored at the end.
    """

    users: Users
    sessions: Sessions
    api_keys: ApiKeys
    mail_tokens: MailTokens
    leases: Leases
    idempotent_calls: IdempotentCalls
    owners: Owners
    models: Models
    model_versions: ModelVersions
    datasets: Datasets
    batches: Batches
    kept_streams: KeptStreams
    usage: Usage
    finetuning_jobs: FinetuningJobs
    deployments: Deployments
    replicas: Replicas
    deployment_log: DeploymentLog
    leaderships: Leaderships

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    @abstractmethod
    def publish(self, *events: Event) -> None:
        """Keep events, and offer one piece of work per reaction to each, in this transaction."""

    @abstractmethod
    def announce(self, topic: str) -> None:
        """Wake those who listen to `topic`, once this transaction is committed."""


class UnitOfWorkFactory(Protocol):
    """Opens units of work."""

    def __call__(self, *, read_only: bool = False) -> UnitOfWork: ...
