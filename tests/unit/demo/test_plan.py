"""What the demo is made of, and what it refuses before it starts anything."""

import io
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from maas.domain.datasets.rows import DatasetType, canonical_row
from maas.entrypoints.cli.demo import run_demo
from maas.entrypoints.cli.demo.failures import DemoFailed
from maas.entrypoints.cli.demo.plan import BASE_ROWS, NEW_ROWS, Plan, make_plan, read_rows
from maas.entrypoints.cli.demo.recipes import OURS
from maas.entrypoints.cli.demo.screen import Screen


def plan_for(**given: Any) -> Plan:
    values: dict[str, Any] = {"model": None, "dataset": None, "dataset_type": "conversation", "questions": [], **given}
    return make_plan(values["model"], values["dataset"], values["dataset_type"], values["questions"])


def a_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("[]", encoding="utf-8")
    return path


@pytest.mark.parametrize("rows", [BASE_ROWS, NEW_ROWS])
def test_the_shipped_rows_are_conversations_that_ask_each_question_once(rows: Path) -> None:
    messages = [canonical_row(DatasetType.CONVERSATION, row)["messages"] for row in read_rows(rows)]

    questions = [said[0]["content"] for said in messages]
    assert len(set(questions)) == len(questions)
    assert all([message["role"] for message in said] == ["user", "assistant"] for said in messages)


def test_the_shipped_questions_have_answers_and_one_is_known_to_the_base() -> None:
    questions = plan_for().questions

    assert all(question.expected for question in questions)
    assert [question.is_old for question in questions].count(True) == 1


def test_old_answers_are_mixed_into_the_new_rows_each_once(tmp_path: Path) -> None:
    rows = list(read_rows(plan_for().dataset(tmp_path)))

    old = [row["messages"][-1]["content"] for row in rows[len(list(read_rows(NEW_ROWS))) :]]
    assert set(old) == {row["messages"][-1]["content"] for row in read_rows(BASE_ROWS)}
    assert len(set(old)) == len(old)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": Path("nowhere")}, "does not look like a model"),
        ({"dataset": Path("nowhere.jsonl")}, "is not a file"),
        ({"dataset_type": "poetry"}, "one of conversation, instruction, text, preference"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DemoFailed, match=said):
        plan_for(**given)


def test_a_dataset_of_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match=r"ends in \.jsonl"):
        plan_for(dataset=a_file(tmp_path, "rows.xlsx"))


@pytest.mark.parametrize(
    ("dataset_type", "row"),
    [
        ("conversation", {"conversations": [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "so"}]}),
        ("instruction", {"instruction": "why?", "input": "", "output": "so"}),
        ("preference", {"prompt": "why?", "chosen": "so", "rejected": "no"}),
    ],
)
def test_questions_are_taken_from_a_dataset_of_ones_own(tmp_path: Path, dataset_type: str, row: dict[str, Any]) -> None:
    plan = plan_for(dataset=a_file(tmp_path, "rows.json"), dataset_type=dataset_type)

    questions = plan.questions_about([row, row, {"broken": 1}])

    assert [question.text for question in questions] == ["why?"]


def test_a_dataset_of_texts_needs_a_question(tmp_path: Path) -> None:
    plan = plan_for(dataset=a_file(tmp_path, "rows.json"), dataset_type="text")

    with pytest.raises(DemoFailed, match="--ask"):
        plan.questions_about([{"text": "once upon a time"}])


def test_a_large_dataset_is_gone_through_less_often() -> None:
    few, many = OURS.hyperparameters_for(rows=60), OURS.hyperparameters_for(rows=100_000)

    assert few["num_epochs"] == OURS.hyperparameters["num_epochs"]
    assert many["num_epochs"] == 1


def test_an_output_that_cannot_be_written_to_is_refused_before_anything_starts(tmp_path: Path) -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, width=200))

    with pytest.raises(typer.Exit):
        run_demo(
            model=None,
            dataset=None,
            dataset_type="conversation",
            questions=[],
            keep=False,
            output=a_file(tmp_path, "rows.json"),
            screen=screen,
        )

    assert "choose another folder with --output" in file.getvalue()
