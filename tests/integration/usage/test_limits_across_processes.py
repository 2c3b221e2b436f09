"""Limits and meters are exact over all API processes of a running platform, one of which is killed meanwhile."""

import os
import signal
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.platform.running import Platform, command_line, eventually, platform

pytestmark = [pytest.mark.integration, pytest.mark.slow]

JOHN = {"username": "john", "email": "john@example.com", "password": "SecurePass123!"}
CALLS, LIMIT = 300, 100
BROKEN = -1


def sign_up(running: Platform) -> dict[str, str]:
    assert running.call("POST", "/api/v1/auth/register", JOHN)[0] == 201
    status, body = running.call("POST", "/api/v1/auth/login", {"email": JOHN["email"], "password": JOHN["password"]})
    assert status == 200
    return {"Authorization": f"Bearer {body['data']['access_token']}"}


def call_often(running: Platform, headers: dict[str, str], calls: int, *, after: threading.Event | None = None) -> Counter[int]:
    """Call from eight threads at once; return how many calls had which status."""

    def call(number: int) -> int:
        if after is not None and number == calls // 3:
            after.set()
        try:
            return running.call("GET", "/api/v1/users/me", headers=headers)[0]
        except OSError:
            return BROKEN

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(call, range(calls)))


def calls_in_sql(running: Platform) -> int:
    with sqlite3.connect(running.data_dir / "maas.db", timeout=15) as database:
        found = database.execute("SELECT COALESCE(SUM(calls), 0) FROM usage_days").fetchone()[0]
    database.close()
    return int(found)


def workers(running: Platform) -> list[int]:
    """The processes that answer: those of the API whose parent is not the supervisor."""
    api = [child for child in running.descendants() if "maas api" in command_line(child)]
    return [child.pid for child in api if child.ppid() != running.process.pid]


def test_two_processes_answer_exactly_as_many_calls_as_the_limit_says(tmp_path: Path) -> None:
    with platform(tmp_path / "data", api_workers="2", limit_api_calls=str(LIMIT)) as running:
        headers = sign_up(running)
        statuses = call_often(running, headers, CALLS)
        refused = running.call("GET", "/api/v1/users/me", headers=headers)

        assert len(workers(running)) == 2
        assert statuses == {200: LIMIT, 429: CALLS - LIMIT}
        assert (refused[0], refused[1]["error"]["code"]) == (429, "RATE_001")
        eventually(lambda: calls_in_sql(running) == LIMIT, seconds=5)


def test_each_answered_call_is_metered_though_a_process_is_killed(tmp_path: Path) -> None:
    with platform(tmp_path / "data", api_workers="2", limit_api_calls="100000") as running:
        headers, now = sign_up(running), threading.Event()

        def kill_one() -> None:
            assert now.wait(60)
            os.kill(workers(running)[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        statuses = call_often(running, headers, CALLS, after=now)
        killer.join()
        running.end()

        # What the killed process had in hand may have been counted, and was not answered.
        answered = statuses[200]
        assert answered + statuses[BROKEN] == CALLS
        assert answered > CALLS // 2

    with platform(tmp_path / "data") as again:
        eventually(lambda: calls_in_sql(again) >= answered, seconds=10)
        eventually(lambda: not list((tmp_path / "data" / "usage").glob("*.journal")), seconds=10)
        assert answered <= calls_in_sql(again) <= CALLS
