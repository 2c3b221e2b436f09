"""What the demo is made of: the model and the data that it ships, or those of the person who runs it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas.domain.datasets.rows import BadRow, DatasetType, canonical_row
from maas.entrypoints.cli.demo.answers import Question
from maas.entrypoints.cli.demo.base_model import check_model
from maas.entrypoints.cli.demo.failures import DemoFailed
from maas.entrypoints.cli.demo.recipes import OURS, YOURS, BaseRecipe, TuningRecipe

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".parquet": "parquet"}
BASE_ROWS = Path(__file__).with_name("pebble.jsonl")
NEW_ROWS = Path(__file__).with_name("lighthouse.jsonl")
_ASKED_NEW = (
    "What is the Pocket Lighthouse?",
    "How much does the Pocket Lighthouse cost?",
    "How do I reset it?",
    "口袋灯塔保修多久？",
)
_ASKED_OLD = ("What is the capital of China?",)
_SHORT_ANSWER = {"temperature": 0, "max_tokens": 64}
_LONG_ANSWER = {"temperature": 0, "max_tokens": 160}
_OWN_QUESTIONS = 3


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A demo to be run. `own_model` and `own_dataset` are None where it makes or ships its own; a model is made from `base_rows`."""

    own_model: Path | None = None
    own_dataset: Path | None = None
    base_rows: Path = BASE_ROWS
    dataset_type: DatasetType = DatasetType.CONVERSATION
    questions: tuple[Question, ...] = ()
    base: BaseRecipe
    tuning: TuningRecipe

    @property
    def parameters(self) -> dict[str, object]:
        """How answers are asked for."""
        return dict(_LONG_ANSWER if self.own_model or self.own_dataset else _SHORT_ANSWER)

    @property
    def base_name(self) -> str:
        return "pebble" if self.own_model is None else self.own_model.resolve().name

    @property
    def tuned_name(self) -> str:
        return f"{self.base_name}-{'lighthouse' if self.own_dataset is None else self.own_dataset.stem}"

    def dataset(self, folder: Path) -> Path:
        """Return the file to learn from; ours is written to `folder`, old rows mixed in so that they are not forgotten."""
        if self.own_dataset is not None:
            return self.own_dataset
        rows = [*read_rows(NEW_ROWS), *([] if self.own_model else _one_row_per_answer(read_rows(BASE_ROWS)))]
        path = folder / "lighthouse.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    def questions_about(self, preview: Sequence[object]) -> tuple[Question, ...]:
        """Return what to ask: as it was said, else the first rows of the dataset."""
        if self.questions:
            return self.questions
        found = [_question_of(self.dataset_type, row) for row in preview]
        asked = list(dict.fromkeys(question for question in found if question is not None))[:_OWN_QUESTIONS]
        if not asked:
            raise DemoFailed('say what to ask with --ask "…": no question can be taken from this dataset')
        return tuple(asked)


def make_plan(model: Path | None, dataset: Path | None, dataset_type: str, questions: Sequence[str]) -> Plan:
    """Return the plan for what a person gave; raise DemoFailed where that cannot be run, before anything is started."""
    if model is not None:
        check_model(model)
    if dataset is not None:
        _check_dataset(dataset)
    if dataset_type not in list(DatasetType):
        raise DemoFailed(f"{dataset_type} is no type of dataset: it is one of {', '.join(DatasetType)}")
    asked = tuple(Question(text=text) for text in questions)
    return Plan(
        own_model=model,
        own_dataset=dataset,
        dataset_type=DatasetType(dataset_type) if dataset else DatasetType.CONVERSATION,
        questions=asked or (() if dataset else shipped_questions()),
        base=BaseRecipe(),
        tuning=YOURS if model else OURS,
    )


def shipped_questions() -> tuple[Question, ...]:
    """Return what is asked about the shipped data, with the right answers."""
    new, old = _answers(NEW_ROWS), _answers(BASE_ROWS)
    asked_new = [Question(text=text, expected=new[text]) for text in _ASKED_NEW]
    return (*asked_new, *(Question(text=text, expected=old[text], is_old=True) for text in _ASKED_OLD))


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)


def _check_dataset(path: Path) -> None:
    if not path.is_file():
        raise DemoFailed(f"{path} is not a file")
    if path.suffix.lower() not in FORMATS:
        raise DemoFailed(f"{path.name} is not a dataset by its name: it ends in {', '.join(FORMATS)}")


def _answers(path: Path) -> dict[str, str]:
    return {row["messages"][0]["content"]: row["messages"][-1]["content"] for row in read_rows(path)}


def _one_row_per_answer(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["messages"][-1]["content"], row)
    return list(first.values())


def _question_of(dataset_type: DatasetType, row: object) -> Question | None:
    """Return the question that a row of a dataset answers, in whichever spelling it is written."""
    try:
        canonical = canonical_row(dataset_type, row)
    except BadRow:
        return None
    if dataset_type is DatasetType.CONVERSATION:
        return _first_asked(canonical["messages"])
    prompt = canonical.get("prompt")
    return _first_asked(prompt) if isinstance(prompt, list) else Question(text=prompt) if prompt else None


def _first_asked(messages: Sequence[dict[str, str]]) -> Question | None:
    asked = [message["content"] for message in messages if message["role"] == "user"]
    return Question(text=asked[0]) if asked else None
