"""The rows of a reference training: the same tokens in the same order as the platform's trainer has them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from maas.domain.finetuning.parameters import Hyperparameters, TrainingConfig
from maas.programs.trainer.encoding import RowEncoder
from maas.programs.trainer.rows import read_rows
from maas.programs.trainer.schedule import Schedule
from maas.programs.trainer.spec import RowType

_NOT_LEARNED = -100


class TextRows:
    """Rows of text, cut at the longest length allowed."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.raw = list(read_rows(Path(spec["train_path"])))
        tokenizer: Any = AutoTokenizer.from_pretrained(spec["model_dir"], local_files_only=True)
        encoder = RowEncoder(tokenizer, RowType.TEXT)
        self.tokens = [encoder.encode(row)[0].tokens[: spec["longest"]] for row in self.raw]
        self._padding = tokenizer.pad_token_id
        self.schedule = Schedule(
            rows=len(self.tokens),
            hyperparameters=Hyperparameters(
                learning_rate=spec["learning_rate"], batch_size=spec["batch_size"], num_epochs=1, seed=spec["seed"]
            ),
            config=TrainingConfig(),
        )

    def padded(self, numbers: Sequence[int]) -> dict[str, torch.Tensor]:
        """Return rows as one batch, as long as its longest row."""
        rows = [self.tokens[number] for number in numbers]
        longest = max(map(len, rows))
        ids = [row + [self._padding] * (longest - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
        labels = [row + [_NOT_LEARNED] * (longest - len(row)) for row in rows]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}
