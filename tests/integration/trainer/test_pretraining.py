"""A model made from nothing is read back as it was made."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from maas.programs.trainer.pretraining import make_model, make_tokenizer
from maas.programs.trainer.spec import read_spec
from tests.integration.trainer.tiny import CONVERSATIONS, spec_for, write_rows

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TEXTS = ["What is 3 x 3?", "2,000 years  ago\n\nit's 199元，口袋灯塔", "e\u0301", " leading and trailing "]


@pytest.mark.parametrize("shape", ["qwen2", "llama"])
def test_a_tokenizer_that_was_saved_reads_text_as_the_one_that_was_trained(shape: str, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", CONVERSATIONS)
    architecture = {"shape": shape, "hidden": 32, "layers": 1, "heads": 2, "kv_heads": 1, "vocabulary": 320}
    spec = read_spec(spec_for(tmp_path, mode="pretrain", rows=rows, architecture=architecture))
    made: Any = make_tokenizer(spec)

    made.save_pretrained(tmp_path)
    make_model(spec, made).save_pretrained(tmp_path)
    read: Any = AutoTokenizer.from_pretrained(tmp_path)

    assert [read(text)["input_ids"] for text in TEXTS] == [made(text)["input_ids"] for text in TEXTS]
    assert read.decode(read(TEXTS[1])["input_ids"]) == TEXTS[1]
