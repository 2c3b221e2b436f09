"""What every rate limiter does."""

import multiprocessing
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.clock.system import SystemClock
from maas.adapters.rate_limiter.memory import MemoryRateLimiter
from maas.adapters.rate_limiter.shared import SharedRateLimiter
from maas.application.ports.rate_limiter import Hit, RateLimiter

HOUR = 3600


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "shared"])
def limiter(request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path) -> RateLimiter:
    if request.param == "memory":
        return MemoryRateLimiter(clock)
    return SharedRateLimiter(tmp_path / "limits", clock, slots=1024)


def hits(limiter: RateLimiter, count: int, *, key: str = "calls", limit: int = 3) -> list[bool]:
    return [limiter.hit(key, limit=limit, window_seconds=HOUR).allowed for _ in range(count)]


def test_allows_as_many_as_the_limit_says(limiter: RateLimiter) -> None:
    assert hits(limiter, 5) == [True, True, True, False, False]


def test_counts_each_key_for_itself(limiter: RateLimiter) -> None:
    assert hits(limiter, 3, key="a") == hits(limiter, 3, key="b") == [True, True, True]


def test_tells_what_is_left(limiter: RateLimiter) -> None:
    left = [limiter.hit("calls", limit=3, window_seconds=HOUR).remaining for _ in range(4)]

    assert left == [2, 1, 0, 0]


def test_a_window_begins_with_the_first_hit_and_ends_after_its_seconds(limiter: RateLimiter, clock: ManualClock) -> None:
    began_at = clock.now().timestamp()
    first = limiter.hit("calls", limit=1, window_seconds=HOUR)
    clock.advance(timedelta(seconds=HOUR - 1))
    refused = limiter.hit("calls", limit=1, window_seconds=HOUR)
    clock.advance(timedelta(seconds=1))
    later = limiter.hit("calls", limit=1, window_seconds=HOUR)

    assert (first.allowed, refused.allowed, later.allowed) == (True, False, True)
    assert (first.reset_at, refused.reset_at, later.reset_at) == (began_at + HOUR, began_at + HOUR, began_at + 2 * HOUR)


def test_what_is_refused_is_not_counted(limiter: RateLimiter) -> None:
    hits(limiter, 10)

    assert limiter.hit("calls", limit=4, window_seconds=HOUR).allowed
    assert not limiter.hit("calls", limit=4, window_seconds=HOUR).allowed


def test_a_hit_may_cost_more_and_is_allowed_whole_or_not_at_all(limiter: RateLimiter) -> None:
    answers = [limiter.hit("bytes", limit=10, window_seconds=HOUR, cost=cost) for cost in (6, 5, 4, 1)]

    assert [(answer.allowed, answer.remaining) for answer in answers] == [(True, 4), (False, 4), (True, 0), (False, 0)]


def test_several_are_counted_at_once_each_for_itself(limiter: RateLimiter) -> None:
    answers = [limiter.hit_each(Hit("a", 1, HOUR), Hit("b", 3, HOUR), Hit("a", 1, HOUR)) for _ in range(2)]

    assert [[decision.allowed for decision in decisions] for decisions in answers] == [[True, True, False], [False, True, False]]
    assert [decision.remaining for decision in answers[1]] == [0, 1, 0]
    assert limiter.hit_each() == []


def test_peeking_counts_nothing(limiter: RateLimiter, clock: ManualClock) -> None:
    before = limiter.peek("calls", limit=3, window_seconds=HOUR)
    hits(limiter, 3)
    after = limiter.peek("calls", limit=3, window_seconds=HOUR)

    assert (before.allowed, before.remaining, before.reset_at) == (True, 3, clock.now().timestamp() + HOUR)
    assert (after.allowed, after.remaining) == (False, 0)


def test_a_hit_is_given_back(limiter: RateLimiter) -> None:
    decision = limiter.hit("files", limit=1, window_seconds=HOUR)
    limiter.give_back("files", decision)

    assert hits(limiter, 2, key="files", limit=1) == [True, False]


def test_nothing_is_given_back_to_a_later_window(limiter: RateLimiter, clock: ManualClock) -> None:
    old = limiter.hit("files", limit=1, window_seconds=HOUR)
    clock.advance(timedelta(seconds=HOUR + 1))
    limiter.hit("files", limit=1, window_seconds=HOUR)
    limiter.give_back("files", old)

    assert hits(limiter, 1, key="files", limit=1) == [False]


def test_a_key_that_is_reset_begins_anew(limiter: RateLimiter) -> None:
    hits(limiter, 3)
    limiter.reset("calls")
    limiter.reset("unknown")

    assert hits(limiter, 4) == [True, True, True, False]


def test_keys_are_any_text(limiter: RateLimiter) -> None:
    for key in ("", "键", "a" * 10_000, "\ud800", "\x00"):
        assert hits(limiter, 2, key=key, limit=1) == [True, False]


def test_threads_count_exactly(limiter: RateLimiter) -> None:
    allowed: list[bool] = []

    def work() -> None:
        allowed.extend(hits(limiter, 100, limit=250))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(allowed), sum(allowed)) == (400, 250)


def count_in_process(path: Path, hit_count: int, answers: "multiprocessing.SimpleQueue[int]") -> None:
    limiter = SharedRateLimiter(path, SystemClock(), slots=1024)
    answers.put(sum(hits(limiter, hit_count, limit=3000)))


def hit_often(limiter: RateLimiter) -> None:
    hits(limiter, 1000, limit=100_000)


def run_processes(target: Callable[..., None], count: int, *arguments: object) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=target, args=arguments) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count


def test_processes_that_share_a_table_count_exactly(tmp_path: Path) -> None:
    answers: multiprocessing.SimpleQueue[int] = multiprocessing.get_context("fork").SimpleQueue()
    path = tmp_path / "state" / "limits"

    run_processes(count_in_process, 4, path, 1000, answers)

    assert sum(answers.get() for _ in range(4)) == 3000
    assert not SharedRateLimiter(path, SystemClock(), slots=1024).peek("calls", limit=3000, window_seconds=HOUR).allowed
    assert sorted(file.name for file in path.parent.iterdir()) == ["limits", "limits.lock"]


def test_forked_children_count_with_their_parent(tmp_path: Path) -> None:
    limiter = SharedRateLimiter(tmp_path / "limits", SystemClock(), slots=1024)
    hits(limiter, 1, limit=100_000)

    run_processes(hit_often, 3, limiter)

    assert limiter.peek("calls", limit=100_000, window_seconds=HOUR).remaining == 100_000 - 1 - 3000


def test_counts_outlive_the_processes_that_made_them(tmp_path: Path) -> None:
    hits(SharedRateLimiter(tmp_path / "limits", SystemClock()), 3)

    assert hits(SharedRateLimiter(tmp_path / "limits", SystemClock()), 1) == [False]


@pytest.mark.parametrize("content", [b"", b"maasrate", b"\xff" * 40_000, b"\0" * (64 + 32 * 1024)])
def test_a_damaged_table_is_made_anew_for_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "limits"
    path.write_bytes(content)
    one, other = (SharedRateLimiter(path, SystemClock(), slots=1024) for _ in range(2))

    assert hits(one, 2) + hits(other, 2) == [True, True, True, False]


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"cut short")])
def test_a_table_that_is_lost_while_it_is_used_is_made_anew_for_all(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    path = tmp_path / "limits"
    one, other = (SharedRateLimiter(path, SystemClock(), slots=1024) for _ in range(2))
    hits(one, 3)
    hits(other, 3)
    harm(path)

    assert hits(one, 2) + hits(other, 2) == [True, True, True, False]


def test_nonsense_in_the_table_holds_no_slot_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "limits"
    limiter = SharedRateLimiter(path, SystemClock(), slots=64)
    hits(limiter, 1)
    content = path.read_bytes()
    path.write_bytes(content[:64] + b"\x7f" * (len(content) - 64))

    assert [hits(limiter, 1, key=str(number), limit=1) for number in range(64)] == [[True]] * 64
    assert [hits(limiter, 1, key=str(number), limit=1) for number in range(64)] == [[False]] * 64


def test_a_full_table_makes_room_by_windows_that_ended_then_by_the_smallest_count(tmp_path: Path, clock: ManualClock) -> None:
    limiter = SharedRateLimiter(tmp_path / "limits", clock, slots=64)
    hits(limiter, 1, key="old")
    clock.advance(timedelta(seconds=HOUR))
    hits(limiter, 3, key="heavy")
    for number in range(1000):
        hits(limiter, 1, key=f"passer-by {number}")

    assert hits(limiter, 1, key="heavy") == [False]
    assert hits(limiter, 1, key="passer-by 999", limit=1) == [False]


def test_the_table_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    hits(SharedRateLimiter(tmp_path / "limits", SystemClock()), 1)

    assert (tmp_path / "limits").stat().st_mode & 0o777 == 0o600
