"""What the folder alone must do: abandoned stagings, durability."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maas.adapters.file_store.folder import FolderFileStore

_DIES_HALFWAY = """
import os, sys
from pathlib import Path
from maas.adapters.file_store.folder import FolderFileStore
staging = FolderFileStore(Path(sys.argv[1])).stage()
staging.create("half").write(b"x" * 2_000_000)
os.kill(os.getpid(), 9)
"""


def test_the_staging_of_a_killed_process_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _DIES_HALFWAY, str(tmp_path)], check=False)
    store = FolderFileStore(tmp_path)

    with store.stage() as alive:
        alive.create("mine").write(b"1")
        swept = store.sweep_staging()
        still_there = (alive.folder / "mine").exists()

    assert swept == 1
    assert still_there
    assert os.listdir(tmp_path / "staging") == []


def test_files_and_folders_are_synced_before_the_commit_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def spy(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spy)
    with FolderFileStore(tmp_path).stage() as staging:
        staging.create("files/a").finish()
        staging.commit("models/a")

    assert any(path.endswith("/tree/files/a") for path in synced)
    assert synced[-2:] == [str(tmp_path / "kept/models"), str(tmp_path / "kept")]
