"""What every runtime of replicas does. The local one starts real engines with a tiny model."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.replica_runtime.local import EngineOptions, LocalReplicaRuntime
from maas.adapters.replica_runtime.memory import MemoryReplicaRuntime
from maas.application.ports.replica_runtime import ReplicaRuntime, ReplicaSpec, ReplicaState, Sighting
from maas.domain.identifiers import new_id
from maas.domain.serving.hardware import HardwareSpec
from tests.builders import a_served_model
from tests.integration.serving.files import keep_model

LONG_SECONDS = 60.0
FILES_KEY = "models/tiny/files"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FolderFileStore:
    store = FolderFileStore(tmp_path_factory.mktemp("files"), sync=False)
    keep_model(store, "models/tiny")
    return store


@pytest.fixture(params=["memory", pytest.param("local", marks=[pytest.mark.integration, pytest.mark.slow])])
def runtime(request: pytest.FixtureRequest) -> Iterator[ReplicaRuntime]:
    if request.param == "memory":
        yield MemoryReplicaRuntime(obliging=True)
        return
    made = LocalReplicaRuntime(request.getfixturevalue("files"), EngineOptions(threads=1))
    yield made
    made.close(drain_seconds=0)


def a_spec(**changes: object) -> ReplicaSpec:
    values: dict[str, object] = {
        "replica_id": new_id(),
        "task": "text-generation",
        "model": a_served_model(files_key=FILES_KEY),
        "adapter": None,
        "hardware": HardwareSpec(cpu_cores=1),
    }
    return ReplicaSpec(**{**values, **changes})  # type: ignore[arg-type]


def seen(runtime: ReplicaRuntime, spec: ReplicaSpec, is_so: Callable[[Sighting], bool]) -> Sighting:
    """Look until an engine is as it should be."""
    deadline = time.monotonic() + LONG_SECONDS
    while time.monotonic() < deadline:
        sighting = runtime.sightings()[spec.replica_id]
        if is_so(sighting):
            return sighting
        time.sleep(0.02)
    raise AssertionError(f"it never came to be: {sighting}")


def is_ready(sighting: Sighting) -> bool:
    return sighting.state is ReplicaState.READY


def has_ended(sighting: Sighting) -> bool:
    return sighting.state is ReplicaState.ENDED


def test_an_engine_is_started_drained_and_forgotten(runtime: ReplicaRuntime) -> None:
    spec = a_spec()

    runtime.start(spec)
    ready = seen(runtime, spec, is_ready)
    assert ready.address is not None
    runtime.drain(spec.replica_id)
    runtime.drain(spec.replica_id)
    ended = seen(runtime, spec, has_ended)
    assert (ended.reason, ended.address) == (None, None)
    runtime.forget(spec.replica_id)

    assert spec.replica_id not in runtime.sightings()


def test_an_engine_that_is_stopped_ends_without_a_reason(runtime: ReplicaRuntime) -> None:
    spec = a_spec()
    runtime.start(spec)

    runtime.stop(spec.replica_id)

    assert seen(runtime, spec, has_ended).reason is None


def test_a_running_engine_is_not_forgotten(runtime: ReplicaRuntime) -> None:
    spec = a_spec()
    runtime.start(spec)

    runtime.forget(spec.replica_id)

    assert spec.replica_id in runtime.sightings()


def test_those_that_are_gone_may_be_named(runtime: ReplicaRuntime) -> None:
    for verb in (runtime.drain, runtime.stop, runtime.forget):
        verb(new_id())

    assert runtime.sightings() == {}


def test_closing_ends_all(runtime: ReplicaRuntime) -> None:
    specs = [a_spec(), a_spec()]
    for spec in specs:
        runtime.start(spec)

    runtime.close(drain_seconds=0)

    assert all(has_ended(runtime.sightings()[spec.replica_id]) for spec in specs)


def test_two_runtimes_have_two_names(runtime: ReplicaRuntime, tmp_path: Path) -> None:
    other = LocalReplicaRuntime(FolderFileStore(tmp_path))

    assert runtime.host != other.host
