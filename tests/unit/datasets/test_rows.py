"""The spellings of rows."""

from typing import Any

import pytest

from maas.domain.datasets.rows import BadRow, DatasetType, canonical_row

C, I, T, P = DatasetType.CONVERSATION, DatasetType.INSTRUCTION, DatasetType.TEXT, DatasetType.PREFERENCE
USER, BOT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
HUMAN, GPT = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}


@pytest.mark.parametrize(
    ("kind", "row", "expected"),
    [
        (C, {"messages": [USER, BOT], "id": 5}, {"messages": [USER, BOT]}),
        (C, {"conversations": [HUMAN, GPT]}, {"messages": [USER, BOT]}),
        (
            C,
            {"system": "s", "conversations": [HUMAN, GPT]},
            {"messages": [{"role": "system", "content": "s"}, USER, BOT]},
        ),
        (I, {"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": "a"}),
        (I, {"question": "q", "answer": "a"}, {"prompt": "q", "completion": "a"}),
        (I, {"instruction": "q", "input": "", "output": "a"}, {"prompt": "q", "completion": "a"}),
        (
            I,
            {"instruction": "q", "input": "i", "output": "a", "system": "s"},
            {"prompt": "q\ni", "completion": "a", "system": "s"},
        ),
        (I, {"instruction": "q", "output": "a", "history": [["1", "2"]]}, {"prompt": "1\n2\nq", "completion": "a"}),
        (T, {"text": " t "}, {"text": " t "}),
        (P, {"prompt": "q", "chosen": "a", "rejected": "b"}, {"prompt": "q", "chosen": "a", "rejected": "b"}),
        (
            P,
            {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "b"}},
            {"prompt": "q", "chosen": "a", "rejected": "b"},
        ),
        (
            P,
            {"conversations": [{"from": "system", "value": "s"}, HUMAN], "chosen": "a", "rejected": "b"},
            {"prompt": [{"role": "system", "content": "s"}, USER], "chosen": "a", "rejected": "b"},
        ),
        (
            P,
            {"prompt": [USER], "chosen": [BOT], "rejected": [{"role": "assistant", "content": "b"}]},
            {"prompt": "q", "chosen": "a", "rejected": "b"},
        ),
    ],
)
def test_each_spelling_has_its_canonical_form(kind: DatasetType, row: dict[str, Any], expected: Any) -> None:
    assert canonical_row(kind, row) == expected


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (C, {"messages": []}),
        (C, {"messages": "hello"}),
        (C, {"messages": [USER]}),
        (C, {"messages": [BOT, USER]}),
        (C, {"messages": [USER, {"role": "assistant", "content": None}]}),
        (C, {"messages": [USER, {"role": "robot", "content": "x"}]}),
        (C, {"messages": [USER, ["assistant"]]}),
        (C, {"messages": [USER, {"role": ["assistant"], "content": "x"}]}),
        (C, {"messages": [USER, {"role": "system", "content": "late"}, BOT]}),
        (C, {"prompt": "q", "completion": "a"}),
        (I, {"prompt": "q"}),
        (I, {"instruction": "q", "output": ""}),
        (I, {"instruction": "q", "output": "a", "history": [["1"]]}),
        (I, {"instruction": "q", "output": "a", "history": "x"}),
        (I, {"prompt": "q", "completion": "a", "system": 1}),
        (T, {"text": None}),
        (P, {"prompt": "q", "chosen": "a", "rejected": "a"}),
        (P, {"prompt": "q", "chosen": "a"}),
        (P, {"conversations": [HUMAN, GPT], "chosen": "a", "rejected": "b"}),
        (P, {"conversations": [HUMAN], "chosen": HUMAN, "rejected": "b"}),
        (T, [1]),
        (T, None),
    ],
)
def test_what_cannot_be_learned_from_is_a_bad_row(kind: DatasetType, row: Any) -> None:
    with pytest.raises(BadRow):
        canonical_row(kind, row)
