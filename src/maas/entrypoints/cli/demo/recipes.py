"""How the demo's models are made: numbers found by trying, good for two cores and a minute."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_SMALL: Mapping[str, object] = {"shape": "qwen2", "hidden": 192, "layers": 4, "heads": 6, "kv_heads": 3, "intermediate": 512}


@dataclass(frozen=True, kw_only=True)
class BaseRecipe:
    """A model made from nothing."""

    architecture: Mapping[str, object] = field(default_factory=lambda: {**_SMALL, "vocabulary": 500, "context": 512})
    hyperparameters: Mapping[str, object] = field(
        default_factory=lambda: {
            "learning_rate": 3e-3,
            "batch_size": 16,
            "num_epochs": 24,
            "warmup_steps": 40,
            "max_sequence_length": 256,
            "seed": 1,
        }
    )
    logging_steps: int = 5


@dataclass(frozen=True, kw_only=True)
class TuningRecipe:
    """What a fine-tuning job is asked for. `most_steps` shortens the training on large datasets."""

    hyperparameters: Mapping[str, object]
    config: Mapping[str, object]
    most_steps: int | None = None

    def hyperparameters_for(self, rows: int) -> dict[str, object]:
        """Return the hyperparameters, with fewer epochs where so many rows would take more than `most_steps` steps."""
        values = dict(self.hyperparameters)
        epochs, batch_size = values.get("num_epochs"), values.get("batch_size")
        if self.most_steps is not None and isinstance(epochs, int) and isinstance(batch_size, int):
            values["num_epochs"] = max(1, min(epochs, self.most_steps * batch_size // max(rows, 1)))
        return values


OURS = TuningRecipe(
    hyperparameters={
        "learning_rate": 2e-3,
        "batch_size": 8,
        "num_epochs": 20,
        "warmup_steps": 20,
        "lora_r": 16,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "seed": 1,
    },
    config={"logging_steps": 2},
    most_steps=400,
)
"""For the model that the demo makes: it is so small that an adapter may change it much."""

YOURS = TuningRecipe(hyperparameters={"num_epochs": 3}, config={"logging_steps": 1})
"""For a model of one's own: the platform's defaults."""
