"""Importing a version: its files are fetched by a worker, then they are looked at like uploaded ones."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from maas.application.actor import Actor
from maas.application.catalog.arrivals import FILES, Arrivals, Arrived
from maas.application.catalog.sources import ImportSources
from maas.application.catalog.unpacking import MOST_FILES
from maas.application.catalog.version_uploads import IMPORT_KIND
from maas.application.ports.clock import Clock
from maas.application.ports.file_store import FileStore, Staging, WrittenFile
from maas.application.ports.model_source import SourceFile, SourceListing
from maas.application.ports.unit_of_work import UnitOfWork, UnitOfWorkFactory
from maas.application.stored_trees import committed
from maas.application.usage.limits import Limits, UploadSlot
from maas.application.work import Holding, WorkHandler, WorkInterrupted
from maas.domain.catalog.facts import ModelFacts
from maas.domain.catalog.file_names import checked_file_name
from maas.domain.catalog.model import Model, ModelVersion, VersionFiles
from maas.domain.catalog.source import Source, wanted_names
from maas.domain.errors import MaasError, MissingValue, PlatformUnavailable, TooLarge, UnsupportedFile
from maas.domain.leases import Lease

_TELL_EVERY = timedelta(seconds=2)


class ImportModel(WorkHandler):
    """Fetches the files of a version that waits for them."""

    kinds = (IMPORT_KIND,)
    is_long = True

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWorkFactory,
        file_store: FileStore,
        arrivals: Arrivals,
        sources: ImportSources,
        limits: Limits,
        clock: Clock,
        largest_bytes: int,
    ) -> None:
        self.unit_of_work = unit_of_work
        self.file_store = file_store
        self.arrivals = arrivals
        self.sources = sources
        self.limits = limits
        self.clock = clock
        self.largest_bytes = largest_bytes

    def run(self, holding: Holding) -> None:
        try:
            self._import(holding)
        except PlatformUnavailable:
            raise  # It may go better later.
        except MaasError as error:
            with self.unit_of_work() as work:
                version = _held(work, holding.lease)
                work.publish(version.fail(_reason_of(error), at=self.clock.now()))

    def give_up(self, lease: Lease, reason: str) -> None:
        with self.unit_of_work() as work:
            version = work.model_versions.find(lease.subject_id, for_update=True)
            if version is not None and version.is_pending:
                work.publish(version.fail(reason, at=self.clock.now()))

    def _import(self, holding: Holding) -> None:
        with self.unit_of_work(read_only=True) as work:
            version, model, slot = self._subject(work, holding.lease)
        listing = self.sources.open(Source.from_json(version.source or {}))
        files = _chosen(listing, self.largest_bytes)
        expected_bytes = sum(file.size or 0 for file in files)
        with self.unit_of_work() as work:
            slot.check_fits(work, expected_bytes)
        with self.file_store.stage(expected_bytes=expected_bytes) as staging:
            fetching = _Fetching(holding, expected_bytes, self.largest_bytes, self._teller(holding))
            written = [fetching.fetch(listing, file, staging) for file in files]
            self._validate(holding)
            facts = self.arrivals.inspect(staging)
            model.check_agrees(facts)
            # Each attempt has a tree of its own, so that one that lost its lease harms no other.
            arrived = Arrived(fields={}, files=written)
            self._keep(
                holding, staging, arrived.stored(f"models/{version.id}-{holding.lease.attempt}"), facts, slot, listing.revision
            )

    def _subject(self, work: UnitOfWork, lease: Lease) -> tuple[ModelVersion, Model, UploadSlot]:
        version = work.model_versions.find(lease.subject_id)
        model = work.models.find(version.model_id) if version is not None and version.is_pending else None
        if version is None or model is None:
            raise WorkInterrupted
        owner = work.users.get(version.owner_id)
        actor = Actor(user_id=owner.id, roles=owner.roles)
        numbers = self.limits.numbers_of(actor)
        return version, model, UploadSlot(actor, storage_limit=numbers.storage_bytes if numbers is not None else None)

    def _teller(self, holding: Holding) -> Callable[[float], None]:
        """Return what keeps the percentage, every two seconds at most."""
        told_at = self.clock.now()

        def tell(percentage: float) -> None:
            nonlocal told_at
            if self.clock.now() - told_at >= _TELL_EVERY:
                told_at = self.clock.now()
                with self.unit_of_work() as work:
                    _held(work, holding.lease).percentage = percentage

        return tell

    def _validate(self, holding: Holding) -> None:
        with self.unit_of_work() as work:
            version = _held(work, holding.lease)
            version.validate(at=self.clock.now())
            version.percentage = 100.0

    def _keep(
        self, holding: Holding, staging: Staging, files: VersionFiles, facts: ModelFacts, slot: UploadSlot, revision: str | None
    ) -> None:
        with committed(self.file_store, staging, files.root, has_row=lambda: self._has_row(holding.lease, files.root)):
            with self.unit_of_work() as work:
                slot.check_fits(work, files.size)
                version = _held(work, holding.lease)
                work.publish(version.become_ready(files, facts, at=self.clock.now()))
                if revision is not None:
                    version.source = {**(version.source or {}), "commit": revision}
                work.leases.finish(holding.lease)

    def _has_row(self, lease: Lease, root: str) -> bool:
        with self.unit_of_work(read_only=True) as work:
            version = work.model_versions.find(lease.subject_id)
            return version is not None and version.files_root == root


class _Fetching:
    """The files of one attempt on their way into its staging."""

    def __init__(self, holding: Holding, expected_bytes: int, largest_bytes: int, tell: Callable[[float], None]) -> None:
        self._holding = holding
        self._expected_bytes = expected_bytes
        self._largest_bytes = largest_bytes
        self._tell = tell
        self._received_bytes = 0

    def fetch(self, listing: SourceListing, file: SourceFile, staging: Staging) -> WrittenFile:
        writer = staging.create(f"{FILES}/{file.name}")
        for chunk in listing.read(file):
            self._received_bytes += len(chunk)
            self._look()
            writer.write(chunk)
        written = replace(writer.finish(), name=file.name)
        if (file.size is not None and written.size != file.size) or (file.sha256 is not None and written.sha256 != file.sha256):
            raise PlatformUnavailable("{name} arrived damaged", name=file.name)
        return written

    def _look(self) -> None:
        """Put the work down where it must be, and tell how far it is."""
        if self._holding.is_lost or self._holding.is_ending:
            raise WorkInterrupted
        if self._received_bytes > self._largest_bytes:
            raise _too_large(self._largest_bytes)
        if self._expected_bytes:
            self._tell(min(100.0, round(100 * self._received_bytes / self._expected_bytes, 1)))


def _held(work: UnitOfWork, lease: Lease) -> ModelVersion:
    """Return the version to be changed under the lease; put the work down where the lease is lost or the version is gone."""
    version = work.model_versions.find(lease.subject_id, for_update=True) if work.leases.holds(lease) else None
    if version is None or not version.is_pending:
        raise WorkInterrupted
    return version


def _chosen(listing: SourceListing, largest_bytes: int) -> list[SourceFile]:
    """Return the files of a source that belong to the model, or raise what is wrong with them as a whole."""
    wanted = set(wanted_names([file.name for file in listing.files]))
    files = [file for file in listing.files if file.name in wanted]
    for file in files:
        checked_file_name(file.name)
    if not files:
        raise MissingValue("there are no files", field="source")
    if len(files) > MOST_FILES:
        raise UnsupportedFile("a model has at most {limit} files", limit=MOST_FILES)
    if sum(file.size or 0 for file in files) > largest_bytes:
        raise _too_large(largest_bytes)
    return files


def _too_large(limit: int) -> TooLarge:
    return TooLarge("the files are larger than the {limit} bytes allowed", limit=limit)


def _reason_of(error: MaasError) -> str:
    """Return the sentence that says most: of a form with problems the first one's."""
    return error.problems[0].message if error.problems else str(error)
