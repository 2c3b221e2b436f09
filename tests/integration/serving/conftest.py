"""A controller that looks twice a second, on SQLite and real engines."""

import http.client
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from maas.adapters.clock.system import SystemClock
from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.hardware_probe.memory import FixedHardwareProbe
from maas.adapters.persistence.engine import open_engine
from maas.adapters.persistence.tables.every import metadata
from maas.adapters.persistence.unit_of_work import SqlUnitsOfWork
from maas.adapters.replica_runtime.local import EngineOptions, LocalReplicaRuntime
from maas.application.actor import Actor
from maas.application.serving.controller import DeploymentController
from maas.domain.errors import NotFound
from maas.domain.serving.deployment import Deployment
from maas.domain.serving.replica import Replica
from tests.builders import a_deployment, a_served_model, a_user
from tests.integration.serving.files import keep_model

LONG_SECONDS = 90.0


@dataclass
class Platform:
    """Deployments in SQLite, engines in children, and a controller on a thread of its own."""

    folder: Path
    files: FolderFileStore
    runtimes: list[LocalReplicaRuntime] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sql = open_engine(f"sqlite:///{self.folder / 'maas.db'}")
        metadata.create_all(self.sql)
        self.units = SqlUnitsOfWork(self.sql, SystemClock())
        user = a_user()
        self.owner = Actor(user_id=user.id)
        with self.units() as work:
            work.users.add(user)
        self.failures: list[BaseException] = []

    def begin(self) -> None:
        """Start a controller of its own, as a process would."""
        self.runtime = LocalReplicaRuntime(self.files, EngineOptions(threads=1))
        self.runtimes.append(self.runtime)
        self.controller = DeploymentController(unit_of_work=self.units, runtime=self.runtime, hardware=FixedHardwareProbe())
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._look, args=(self.controller, self.ending), daemon=True)
        self.thread.start()

    def _look(self, controller: DeploymentController, ending: threading.Event) -> None:
        while not ending.wait(0.1):
            try:
                controller.reconcile(datetime.now(UTC))
            except BaseException as error:
                self.failures.append(error)
                raise

    def end(self) -> None:
        self.ending.set()
        self.thread.join()
        self.controller.close()

    def deploy(self, files_key: str, **values: Any) -> UUID:
        deployment = a_deployment(
            owner_id=self.owner.user_id, model=a_served_model(files_key=files_key), at=datetime.now(UTC), **values
        )
        with self.units() as work:
            work.deployments.add(deployment)
        return deployment.id

    def change(self, deployment_id: UUID, verb: str, **values: Any) -> None:
        with self.units() as work:
            deployment = work.deployments.get(deployment_id, visible_to=self.owner, for_update=True)
            getattr(deployment, verb)(at=datetime.now(UTC), **values)

    def get(self, deployment_id: UUID) -> Deployment:
        with self.units(read_only=True) as work:
            return work.deployments.get(deployment_id, visible_to=self.owner)

    def exists(self, deployment_id: UUID) -> bool:
        try:
            self.get(deployment_id)
        except NotFound:
            return False
        return True

    def running(self, deployment_id: UUID) -> list[Replica]:
        with self.units(read_only=True) as work:
            return [replica for replica in work.replicas.of(deployment_id) if replica.is_running]

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONG_SECONDS
        while not is_so():
            assert not self.failures, self.failures
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.05)

    def wait_for_status(self, deployment_id: UUID, status: str) -> None:
        self.wait_until(lambda: self.get(deployment_id).status.value == status)

    def ask(self, deployment_id: UUID) -> int:
        """Ask a deployment as a router does: try each replica that runs, and look anew once; return the last status."""
        status = 0
        for _ in range(3):
            for replica in self.running(deployment_id):
                status = ask(replica.address or "")
                if status == 200:
                    return status
            time.sleep(0.05)
        return status

    def engines(self) -> list[psutil.Process]:
        """The engine processes of this test process, whoever started them."""
        return [child for child in psutil.Process().children(recursive=True) if _is_engine(child)]


def _is_engine(process: psutil.Process) -> bool:
    try:
        return "maas engine" in " ".join(process.cmdline()) or "maas.programs.engine" in process.cmdline()
    except psutil.Error:
        return False


def ask(address: str) -> int:
    """Ask an engine for three tokens; 0 where it cannot be reached."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    body = json.dumps({"inputs": "hello", "parameters": {"max_new_tokens": 3}})
    try:
        connection.request("POST", "/generate", body=body, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FolderFileStore:
    """Two versions of a tiny model, and one that is broken."""
    store = FolderFileStore(tmp_path_factory.mktemp("files"), sync=False)
    first = store.local_copy(keep_model(store, "models/first"))
    with store.stage() as staging:
        shutil.copytree(first, staging.folder / "files")
        staging.commit("models/second")
    with store.stage() as staging:
        shutil.copytree(first, staging.folder / "files")
        (staging.folder / "files" / "model.safetensors").write_bytes(b"nothing of the kind")
        staging.commit("models/broken")
    return store


@pytest.fixture
def platform(tmp_path: Path, files: FolderFileStore) -> Iterator[Platform]:
    made = Platform(tmp_path, files)
    made.begin()
    yield made
    made.end()
    made.sql.dispose()
