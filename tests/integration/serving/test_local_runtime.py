"""What only engines in child processes can do: hang, crash while they load, and outlive their parent."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.replica_runtime.local import EngineOptions, HealthWatch, LocalReplicaRuntime
from maas.application.ports.replica_runtime import ReplicaSpec, ReplicaState
from maas.domain.identifiers import new_id
from maas.domain.serving.hardware import HardwareSpec
from tests.builders import a_served_model
from tests.integration.serving.files import keep_adapter

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LONG_SECONDS = 60.0
PARENT = """
import sys, time, uuid
from pathlib import Path
from maas.adapters.file_store.folder import FolderFileStore
from maas.adapters.replica_runtime.local import EngineOptions, LocalReplicaRuntime
from tests.integration.serving.test_local_runtime import a_spec

runtime = LocalReplicaRuntime(FolderFileStore(Path(sys.argv[1])), EngineOptions(threads=1))
spec = a_spec()
runtime.start(spec)
while runtime.sightings()[spec.replica_id].address is None:
    time.sleep(0.05)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def runtime(files: FolderFileStore) -> Iterator[LocalReplicaRuntime]:
    health = HealthWatch(every_seconds=0.1, patience_seconds=0.5, silent_times=3)
    made = LocalReplicaRuntime(files, EngineOptions(threads=1), health=health)
    yield made
    made.close(drain_seconds=0)


def a_spec(files_key: str = "models/first/files") -> ReplicaSpec:
    return ReplicaSpec(
        replica_id=new_id(),
        task="text-generation",
        model=a_served_model(files_key=files_key),
        adapter=None,
        hardware=HardwareSpec(cpu_cores=1, gpu_count=0),
    )


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def engines_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if "engine" in " ".join(child.cmdline())]


def test_an_engine_that_hangs_is_killed(runtime: LocalReplicaRuntime) -> None:
    spec = a_spec()
    runtime.start(spec)
    wait_until(lambda: runtime.sightings()[spec.replica_id].state is ReplicaState.READY)
    [engine] = engines_of(os.getpid())

    engine.suspend()
    wait_until(lambda: runtime.sightings()[spec.replica_id].state is ReplicaState.ENDED)

    assert runtime.sightings()[spec.replica_id].reason == "the engine did not answer any more"
    assert not engine.is_running()


def test_an_engine_is_measured(runtime: LocalReplicaRuntime) -> None:
    spec = a_spec()
    runtime.start(spec)
    wait_until(lambda: runtime.sightings()[spec.replica_id].state is ReplicaState.READY)

    sighting = runtime.sightings()[spec.replica_id]

    assert sighting.cpu_seconds > 0.1
    assert sighting.memory_bytes > 50_000_000
    assert sighting.busy is None


def test_missing_files_are_the_end_of_an_engine_with_a_reason(runtime: LocalReplicaRuntime) -> None:
    spec = a_spec("models/unknown/files")

    runtime.start(spec)
    wait_until(lambda: runtime.sightings()[spec.replica_id].state is ReplicaState.ENDED)

    reason = runtime.sightings()[spec.replica_id].reason or ""
    assert reason.startswith("the engine could not be started")
    assert "/" not in reason


def test_one_that_is_killed_while_it_loads_says_so(runtime: LocalReplicaRuntime) -> None:
    spec = a_spec()
    runtime.start(spec)
    wait_until(lambda: bool(engines_of(os.getpid())))

    os.kill(engines_of(os.getpid())[0].pid, signal.SIGKILL)
    wait_until(lambda: runtime.sightings()[spec.replica_id].state is ReplicaState.ENDED)

    assert runtime.sightings()[spec.replica_id].reason == "the engine was killed by SIGKILL"


def test_engines_end_with_the_process_that_runs_them_however_it_ends(files: FolderFileStore) -> None:
    folder = files.local_copy("models/first/files").parents[3]
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, cwd=root)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    [engine] = engines_of(parent.pid)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


# PEFT asks transformers for a name that transformers is about to drop.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_an_adapter_is_served_on_its_base_under_its_name(runtime: LocalReplicaRuntime, files: FolderFileStore) -> None:
    base = "models/first/files"
    model = a_served_model(
        files_key=keep_adapter(files, "models/adapter", base), base_files_key=base, base_model_id=new_id(), base_version="1.0.0"
    )
    spec = replace(a_spec(), model=model, adapter="fine-tune")

    runtime.start(spec)
    wait_until(lambda: runtime.sightings()[spec.replica_id].state is not ReplicaState.STARTING)
    sighting = runtime.sightings()[spec.replica_id]
    assert sighting.address is not None, sighting.reason
    texts = [generated(sighting.address, name) for name in (None, "fine-tune")]

    assert texts[0] != texts[1]


def generated(address: str, adapter: str | None) -> str:
    parameters = {"max_new_tokens": 12} | ({} if adapter is None else {"adapter_id": adapter})
    body = json.dumps({"inputs": "hello", "parameters": parameters}).encode()
    request = urllib.request.Request(f"{address}/generate", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["generated_text"])
