"""`maas serve` keeps its processes running, ends them in order, and leaves none behind."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.platform.running import Platform, eventually, platform

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def answers(running: Platform) -> bool:
    try:
        return running.call("GET", "/readyz")[0] == 200
    except OSError:
        return False


def test_every_process_that_is_killed_comes_back_and_all_end_with_status_0(tmp_path: Path) -> None:
    with platform(tmp_path / "data") as running:
        for role in ("api", "worker", "controller"):
            before = running.pids(role)
            assert before, role
            for pid in before:
                os.kill(pid, signal.SIGKILL)

            eventually(lambda role=role, before=before: bool(set(running.pids(role)) - set(before)), seconds=60)  # type: ignore[misc]
            eventually(lambda: answers(running), seconds=60)
        children = running.descendants()

        assert running.end() == 0
        assert not [child for child in children if child.is_running()]


def test_a_killed_supervisor_leaves_no_orphan_and_can_be_started_again_at_once(tmp_path: Path) -> None:
    with platform(tmp_path / "data") as running:
        children = running.descendants()
        port = int(running.url.rpartition(":")[2])
        running.process.kill()
        running.process.wait()

        with platform(tmp_path / "data", port=port) as again:
            assert answers(again)
            assert not [child for child in children if child.is_running()]
            assert again.end() == 0


def test_an_account_of_the_command_line_signs_in_beside_a_running_platform(tmp_path: Path) -> None:
    with platform(tmp_path / "data") as running:
        command = [
            "user",
            "create",
            "--username",
            "ada",
            "--email",
            "ada@example.com",
            "--password",
            "analytical",
            "--role",
            "admin",
        ]
        made = run_maas(*command, "--data-dir", str(tmp_path / "data"))
        twice = run_maas(*command, "--data-dir", str(tmp_path / "data"))

        status, answer = running.call("POST", "/api/v1/auth/login", {"email": "ada@example.com", "password": "analytical"})

        assert made[0] == 0
        assert twice == (1, "", "an account with this e-mail exists\n")
        assert status == 200
        assert answer["data"]["user"]["roles"] == ["user", "admin"]


def run_maas(*arguments: str) -> tuple[int, str, str]:
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "maas.entrypoints.cli", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
