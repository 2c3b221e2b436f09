"""What is seen of a training and of answers, told by a scripted source."""

import io
import itertools
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from maas.entrypoints.cli.demo.answers import Exchange, Question
from maas.entrypoints.cli.demo.curve import Curve
from maas.entrypoints.cli.demo.screen import Screen
from maas.entrypoints.cli.demo.training_view import TrainingView

PRETRAINING: list[dict[str, Any]] = [
    {"type": "log", "level": "info", "message": "building a tokenizer and a new model"},
    {"type": "started", "step": 0, "total_steps": 40},
    {"type": "metrics", "step": 10, "loss": 4.0, "eval_loss": None, "tokens_per_second": 7123.4},
    {"type": "progress", "step": 12, "total_steps": 40, "eta_seconds": 61.0},
    {"type": "metrics", "step": 20, "loss": 1.25, "eval_loss": None, "tokens_per_second": None},
]
MONITOR: list[dict[str, Any]] = [
    {"type": "snapshot", "status": "queued", "step": 0, "total_steps": None, "eta_seconds": None, "metrics": None},
    {
        "type": "progress",
        "status": "running",
        "step": 5,
        "total_steps": 20,
        "eta_seconds": 7.6,
        "metrics": {"step": 5, "loss": 3.0},
    },
    {"type": "progress", "status": "succeeded", "step": 20, "total_steps": 20, "eta_seconds": None, "metrics": None},
]


def a_view() -> TrainingView:
    return TrainingView(Curve(), clock=lambda: 100.0)


def shown(renderable: Any, *, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_a_pretraining_shows_its_curve_its_pace_and_the_time_left() -> None:
    view = a_view()
    for report in PRETRAINING:
        view.tell(report)

    text = shown(view)

    assert "loss 1.2500" in text
    assert "from 4.0000" in text
    assert "7,123 tokens/s" in text
    assert "step 20/40" in text
    assert "50 %" in text
    assert "1:01 left" in text


def test_before_the_first_step_the_view_says_what_goes_on() -> None:
    view = a_view()
    view.tell(PRETRAINING[0])

    assert "building a tokenizer and a new model" in shown(view, width=100)

    view.tell({"type": "finished", "path": "somewhere", "format": "transformers"})

    assert "finished" in shown(view)


def test_a_job_shows_what_its_monitor_sends_and_ends_with_its_status() -> None:
    view = a_view()
    for message in MONITOR[:2]:
        view.tell(message)
    assert view.summary() == "step 5 of 20, loss 3.000, 0:08 left"

    view.tell(MONITOR[2])

    assert "100 %  succeeded" in shown(view)


def test_no_line_is_wider_than_the_terminal() -> None:
    view = a_view()
    for report in PRETRAINING:
        view.tell(report)

    for width in (60, 80, 200):
        assert max(len(line) for line in shown(view, width=width).splitlines()) <= width


def test_answers_are_written_into_the_table_and_judged_where_the_right_one_is_known() -> None:
    asked = [Exchange(question=Question(text="Yes?", expected="Yes.")), Exchange(question=Question(text="Why?"))]
    answers = iter([["Ye"], ["so"], ["Ye", "s."], ["be", "cause"]])

    def ask(_exchange: Exchange) -> Iterator[str]:
        return iter(next(answers))

    file = io.StringIO()
    screen = Screen(Console(file=file, width=100))
    for _ in range(2):
        screen.answers(asked, "streamed", ask)

    first, second = file.getvalue().split("streamed")[1:]
    assert "✗ Ye" in first
    assert "after fine-tuning" not in first
    assert "✓ Yes." in second
    assert "because" in second
    assert [exchange.is_right for exchange in asked] == [True, None]


def test_an_answer_that_grows_has_a_cursor() -> None:
    exchange = Exchange(question=Question(text="Why?"))
    exchange.write("be")

    assert [cell.plain for cell in exchange.cells()] == ["be▌", ""]


def test_a_log_file_gets_plain_lines_without_control_codes() -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, width=100))
    view = TrainingView(Curve(), clock=itertools.count().__next__)

    screen.act("Learn")
    with screen.waiting("wait"), screen.sending("send") as sent:
        sent(1, 2)
    with screen.training(view) as changed:
        changed()
    screen.verbatim("x" * 300)

    assert "\x1b" not in file.getvalue()
    assert "1 · Learn" in file.getvalue()
    assert "x" * 300 in file.getvalue()
