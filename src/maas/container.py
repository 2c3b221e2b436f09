"""Builds everything that a process is made of, once, after any fork."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dependency_injector import containers, providers

from maas.adapters.archive_reader.by_hand import HandArchiveReader
from maas.adapters.broadcaster.sql import SqlBroadcaster
from maas.adapters.clock.system import SystemClock
from maas.adapters.dataset_reader.files import FileDatasetReader
from maas.adapters.dataset_reader.parquet import parquet_records
from maas.adapters.embedder.tgi import TgiEmbedder
from maas.adapters.engine_http.connections import EngineConnections
from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.hardware_probe.local import LocalHardwareProbe
from maas.adapters.mailer.folder import FolderMailer
from maas.adapters.mailer.smtp import SmtpMailer
from maas.adapters.model_inspector.files import FileModelInspector
from maas.adapters.model_source.folder import FolderModelSource
from maas.adapters.model_source.hub import HubModelSource
from maas.adapters.password_hasher.argon2 import Argon2PasswordHasher
from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.migrate import current_revision, migrate, newest_revision, roll_back
from maas.adapters.persistence.unit_of_work import SqlUnitsOfWork
from maas.adapters.rate_limiter.shared import SharedRateLimiter
from maas.adapters.replica_runtime.local import EngineOptions, LocalReplicaRuntime
from maas.adapters.secret_box.aes import AesSecretBox, key_from_file
from maas.adapters.text_generator.tgi import TgiTextGenerator
from maas.adapters.token_signer.jwt import JwtTokenSigner
from maas.adapters.trainer.process import ProcessTrainer
from maas.adapters.usage_journal.file import FileUsageJournal
from maas.application.catalog.arrivals import Arrivals
from maas.application.catalog.importing import ImportModel
from maas.application.catalog.models import Models
from maas.application.catalog.sources import ImportSources
from maas.application.catalog.version_uploads import VersionUploads
from maas.application.catalog.versions import ModelVersions
from maas.application.datasets.datasets import Datasets
from maas.application.file_sweep import FileSweep
from maas.application.finetuning.checkpoint_files import CheckpointFiles
from maas.application.finetuning.jobs import FinetuningJobs
from maas.application.finetuning.monitoring import JobMonitor
from maas.application.finetuning.preparation import Preparation
from maas.application.finetuning.publication import Publication
from maas.application.finetuning.train_model import TrainModel
from maas.application.idempotency import Idempotency
from maas.application.identity import Accounts, Authentication, PersonalApiKeys, SignIn
from maas.application.inference.asking import TextAsking
from maas.application.inference.batch_answers import BatchAnswers
from maas.application.inference.batch_work import BatchWork
from maas.application.inference.batches import Batches
from maas.application.inference.chat import Chat, Completion
from maas.application.inference.embedding import Embedding
from maas.application.inference.metering import CollectedUsage, Metering
from maas.application.inference.resumable import ResumableStreams
from maas.application.inference.routing import Router
from maas.application.inference.served_models import ServedModels
from maas.application.ports.clock import Clock
from maas.application.ports.mailer import Mailer
from maas.application.serving.controller import DeploymentController
from maas.application.serving.deployments import Deployments
from maas.application.stored_trees import RemoveTree
from maas.application.usage import ApiCalls, LimitNumbers, Limits, UsageFlush
from maas.application.work import Reaction, WorkHandler
from maas.settings import Registration, Settings

Singleton = providers.ThreadSafeSingleton


def _in_data(settings: Settings, *names: str) -> Path:
    return settings.data_dir.joinpath(*names).absolute()


def _secret(settings: Settings, name: str) -> bytes:
    return key_from_file(_in_data(settings, "secrets", name))


def _limit_numbers(settings: Settings) -> LimitNumbers:
    return LimitNumbers(
        calls_per_hour=settings.limit_api_calls,
        files_per_hour=settings.limit_uploads,
        deployments_per_hour=settings.limit_deployments,
        address_calls_per_hour=settings.limit_address_calls,
        registrations_per_hour=settings.limit_registrations,
        running_trainings=settings.max_trainings,
        deployments=settings.max_deployments,
        websockets=settings.max_websockets,
        storage_bytes=settings.max_storage_bytes,
        model_file_bytes=settings.max_model_bytes,
        dataset_file_bytes=settings.max_dataset_bytes,
    )


def _registration_open(settings: Settings) -> bool:
    return settings.registration is Registration.OPEN


def _mailer(settings: Settings, clock: Clock) -> Mailer:
    if settings.smtp_url is None:
        return FolderMailer(_in_data(settings, "mails"), sender=settings.smtp_from, clock=clock)
    return SmtpMailer(url=settings.smtp_url, sender=settings.smtp_from, clock=clock)


def _engine_options(settings: Settings) -> EngineOptions:
    return EngineOptions(
        dtype={"fp32": "float32", "bf16": "bfloat16"}.get(settings.engine_dtype, settings.engine_dtype),
        threads=settings.engine_threads,
        max_slots=settings.engine_slots,
        max_queue=settings.engine_queue,
    )


def _handlers(*handlers: WorkHandler) -> Sequence[WorkHandler]:
    return handlers


def _reactions(**reactions: Reaction) -> Mapping[str, Reaction]:
    return reactions


def _tasks(**tasks: Callable[[], object]) -> Mapping[str, Callable[[], object]]:
    return tasks


def migrate_database(settings: Settings) -> str | None:
    """Bring the database to this release's schema; return its revision."""
    engine = open_engine(settings.resolved_database_url)
    try:
        if current_revision(engine) != newest_revision():
            migrate(engine)
        return current_revision(engine)
    finally:
        engine.dispose()


def roll_back_database(settings: Settings) -> str | None:
    """Take the newest step of the schema back; return the revision that is left."""
    engine = open_engine(settings.resolved_database_url)
    try:
        roll_back(engine)
        return current_revision(engine)
    finally:
        engine.dispose()


def schema_revisions(settings: Settings) -> tuple[str | None, str | None]:
    """Return the revisions of the database and of this release."""
    engine = open_engine(settings.resolved_database_url)
    try:
        return current_revision(engine), newest_revision()
    finally:
        engine.dispose()


class Container(containers.DeclarativeContainer):
    """All providers. Tests override the adapters by in-memory ones."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)

    # What everything stands on.
    clock = Singleton(SystemClock)
    engine = Singleton(open_engine, settings.provided.resolved_database_url)
    unit_of_work: providers.Provider[Any] = Singleton(SqlUnitsOfWork, engine, clock)
    broadcaster: providers.Provider[Any] = Singleton(SqlBroadcaster, engine)
    file_store: providers.Provider[Any] = Singleton(
        FolderFileStore, providers.Callable(_in_data, settings, "files"), sync=settings.provided.sync
    )
    secret_box: providers.Provider[Any] = Singleton(AesSecretBox, key=providers.Callable(_secret, settings, "sealing.key"))
    token_signer: providers.Provider[Any] = Singleton(JwtTokenSigner, secret=providers.Callable(_secret, settings, "signing.key"))
    password_hasher: providers.Provider[Any] = Singleton(Argon2PasswordHasher)

    # Files that users bring.
    archive_reader: providers.Provider[Any] = Singleton(HandArchiveReader)
    model_inspector: providers.Provider[Any] = Singleton(FileModelInspector)
    dataset_reader: providers.Provider[Any] = Singleton(FileDatasetReader, parquet=parquet_records)

    # Calls that may be repeated.
    idempotency = Singleton(Idempotency, unit_of_work=unit_of_work, clock=clock, secret_box=secret_box)

    # Limits and usage.
    rate_limiter: providers.Provider[Any] = Singleton(
        SharedRateLimiter, providers.Callable(_in_data, settings, "limits.table"), clock
    )
    usage_journal: providers.Provider[Any] = Singleton(FileUsageJournal, providers.Callable(_in_data, settings, "usage"))
    limit_numbers = Singleton(_limit_numbers, settings)
    limits = Singleton(Limits, unit_of_work=unit_of_work, limiter=rate_limiter, clock=clock, numbers=limit_numbers)
    api_calls = Singleton(ApiCalls, limits=limits, journal=usage_journal, clock=clock)
    usage_flush = Singleton(UsageFlush, unit_of_work=unit_of_work, journal=usage_journal, clock=clock)

    # Identity.
    mailer: providers.Provider[Any] = Singleton(_mailer, settings, clock)
    authentication = Singleton(Authentication, unit_of_work=unit_of_work, tokens=token_signer, clock=clock)
    sign_in = Singleton(
        SignIn,
        unit_of_work=unit_of_work,
        passwords=password_hasher,
        tokens=token_signer,
        limiter=rate_limiter,
        authentication=authentication,
        clock=clock,
    )
    accounts = Singleton(
        Accounts,
        unit_of_work=unit_of_work,
        passwords=password_hasher,
        mailer=mailer,
        limiter=rate_limiter,
        sign_in=sign_in,
        clock=clock,
        registration_open=providers.Callable(_registration_open, settings),
        public_url=settings.provided.resolved_public_url,
    )
    api_keys = Singleton(PersonalApiKeys, unit_of_work=unit_of_work, authentication=authentication, clock=clock)

    # Catalog and datasets.
    folder_source: providers.Provider[Any] = Singleton(FolderModelSource, settings.provided.listed_import_folders)
    hub_source: providers.Provider[Any] = Singleton(
        HubModelSource,
        endpoint=settings.provided.hub_endpoint,
        token=settings.provided.hub_token,
        hosts=settings.provided.listed_hub_hosts,
    )
    import_sources = Singleton(ImportSources, folders=folder_source, hub=hub_source)
    arrivals = Singleton(Arrivals, archive_reader=archive_reader, inspector=model_inspector)
    version_uploads = Singleton(
        VersionUploads,
        unit_of_work=unit_of_work,
        file_store=file_store,
        arrivals=arrivals,
        sources=import_sources,
        limits=limits,
        clock=clock,
        largest_bytes=settings.provided.max_model_bytes,
    )
    models = Singleton(Models, unit_of_work=unit_of_work, uploads=version_uploads, clock=clock)
    model_versions = Singleton(
        ModelVersions, unit_of_work=unit_of_work, file_store=file_store, uploads=version_uploads, clock=clock
    )
    import_model = Singleton(
        ImportModel,
        unit_of_work=unit_of_work,
        file_store=file_store,
        arrivals=arrivals,
        sources=import_sources,
        limits=limits,
        clock=clock,
        largest_bytes=settings.provided.max_model_bytes,
    )
    datasets = Singleton(
        Datasets,
        unit_of_work=unit_of_work,
        file_store=file_store,
        reader=dataset_reader,
        limits=limits,
        clock=clock,
        largest_bytes=settings.provided.max_dataset_bytes,
    )
    remove_model_files = Singleton(RemoveTree, file_store=file_store, named="files_root")
    remove_dataset_files = Singleton(RemoveTree, file_store=file_store, named="files_key")
    file_sweep = Singleton(FileSweep, unit_of_work=unit_of_work, file_store=file_store, clock=clock)

    # Fine-tuning.
    trainer: providers.Provider[Any] = Singleton(ProcessTrainer, threads=settings.provided.trainer_threads)
    finetuning_jobs = Singleton(
        FinetuningJobs,
        unit_of_work=unit_of_work,
        trainer=trainer,
        clock=clock,
        most_running=settings.provided.max_trainings,
    )
    job_monitor = Singleton(JobMonitor, unit_of_work=unit_of_work, broadcaster=broadcaster)
    checkpoint_files = Singleton(CheckpointFiles, unit_of_work=unit_of_work, file_store=file_store)
    train_model = Singleton(
        TrainModel,
        unit_of_work=unit_of_work,
        file_store=file_store,
        preparation=Singleton(Preparation, file_store=file_store, dataset_reader=dataset_reader),
        checkpoint_files=checkpoint_files,
        publication=Singleton(
            Publication, unit_of_work=unit_of_work, file_store=file_store, inspector=model_inspector, clock=clock
        ),
        trainer=trainer,
        clock=clock,
        most_running=settings.provided.max_trainings,
    )

    # Serving.
    hardware_probe: providers.Provider[Any] = Singleton(LocalHardwareProbe)
    replica_runtime: providers.Provider[Any] = Singleton(
        LocalReplicaRuntime, file_store, providers.Callable(_engine_options, settings)
    )
    deployments = Singleton(Deployments, unit_of_work=unit_of_work, clock=clock, hardware=hardware_probe, limits=limits)
    deployment_controller = Singleton(
        DeploymentController, unit_of_work=unit_of_work, runtime=replica_runtime, hardware=hardware_probe
    )

    # Inference.
    engine_connections = Singleton(EngineConnections)
    text_generator: providers.Provider[Any] = Singleton(TgiTextGenerator, engine_connections)
    embedder: providers.Provider[Any] = Singleton(TgiEmbedder, engine_connections)
    router = Singleton(Router, unit_of_work=unit_of_work)
    metering = Singleton(Metering, journal=usage_journal, clock=clock)
    text_asking = Singleton(TextAsking, router=router, generator=text_generator, metering=metering)
    chat = Singleton(Chat, asking=text_asking)
    completion = Singleton(Completion, asking=text_asking)
    embedding = Singleton(Embedding, router=router, embedder=embedder, metering=metering)
    resumable_streams = Singleton(ResumableStreams, unit_of_work=unit_of_work, clock=clock)
    served_models = Singleton(ServedModels, unit_of_work=unit_of_work, router=router)
    batch_answers = Singleton(BatchAnswers, chat=chat, completion=completion, embedding=embedding, patience_seconds=30.0)
    batches = Singleton(
        Batches, unit_of_work=unit_of_work, file_store=file_store, router=router, answers=batch_answers, clock=clock
    )
    # What a batch that goes on by itself has used is counted with its results, not in the journal.
    collected_usage = Singleton(CollectedUsage)
    batch_metering = Singleton(Metering, journal=collected_usage, clock=clock)
    batch_asking = Singleton(TextAsking, router=router, generator=text_generator, metering=batch_metering)
    patient_batch_answers = Singleton(
        BatchAnswers,
        chat=Singleton(Chat, asking=batch_asking),
        completion=Singleton(Completion, asking=batch_asking),
        embedding=Singleton(Embedding, router=router, embedder=embedder, metering=batch_metering),
        patience_seconds=60.0,
        collected=collected_usage,
    )
    batch_work = Singleton(
        BatchWork, unit_of_work=unit_of_work, file_store=file_store, router=router, answers=patient_batch_answers, clock=clock
    )

    # What workers do: handlers of leased work, and reactions to events by name.
    work_handlers = providers.Callable(_handlers, import_model, train_model, batch_work)
    reactions = providers.Callable(
        _reactions,
        remove_model_files=remove_model_files,
        remove_dataset_files=remove_dataset_files,
        remove_checkpoint_files=checkpoint_files.provided.clear,
    )

    # What the controller does from time to time, by name.
    housekeeping = providers.Callable(
        _tasks,
        idempotency=idempotency.provided.sweep,
        usage=usage_flush.provided.flush,
        sessions=sign_in.provided.sweep,
        files=file_sweep.provided.sweep,
        streams=resumable_streams.provided.sweep,
    )
