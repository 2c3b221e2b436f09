"""Every family, algorithm and type of rows is trained, and the steps are what the contract says."""

from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from tests.integration.trainer.tiny import (
    CONVERSATIONS,
    FAMILIES,
    ROWS,
    curve,
    last,
    make_base,
    run_here,
    spec_for,
    write_rows,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    # PEFT asks transformers for a name that transformers is about to drop.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]


# An adapter can do little about the random head of an untrained model: a few per cent show that it learns.
LEARNED = 0.96


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", CONVERSATIONS)


def losses(reports: list[dict[str, Any]]) -> list[float]:
    return [one["loss"] for one in reports if one["type"] == "metrics" and one["loss"] is not None]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_learns_with_packed_rows(family: str, tmp_path: Path, rows: Path) -> None:
    model = make_base(tmp_path / "base", family)

    reports = run_here(
        spec_for(tmp_path, rows=rows, model=model, hyperparameters={"learning_rate": 2e-2, "batch_size": 8, "num_epochs": 8})
    )

    assert last(reports, "finished")["format"] == "peft"
    assert losses(reports)[-1] < losses(reports)[0] * LEARNED
    assert not [one for one in reports if one["type"] == "log" and "padded" in one["message"]]


@pytest.mark.parametrize("algorithm", ["lora", "dora", "rslora", "full"])
def test_each_algorithm_learns_and_writes_a_loadable_result(algorithm: str, tmp_path: Path, base: Path, rows: Path) -> None:
    reports = run_here(
        spec_for(
            tmp_path,
            rows=rows,
            model=base,
            algorithm=algorithm,
            hyperparameters={"learning_rate": 1e-2, "batch_size": 8, "num_epochs": 6},
        )
    )

    assert losses(reports)[-1] < losses(reports)[0] * LEARNED
    result = Path(last(reports, "finished")["path"])
    name = "model.safetensors" if algorithm == "full" else "adapter_model.safetensors"
    with safe_open(result / name, framework="pt") as weights:
        assert len(list(weights.keys())) > 0
    assert (result / "tokenizer.json").is_file()


@pytest.mark.parametrize("row_type", ROWS)
@pytest.mark.parametrize("template", [True, False])
def test_each_type_of_rows_is_learned_with_and_without_a_chat_template(row_type: str, template: bool, tmp_path: Path) -> None:
    model = make_base(tmp_path / "base", template=template)
    rows = write_rows(tmp_path / "rows.jsonl", ROWS[row_type])

    reports = run_here(
        spec_for(
            tmp_path,
            rows=rows,
            model=model,
            dataset_type=row_type,
            hyperparameters={"learning_rate": 1e-2, "batch_size": 6, "num_epochs": 6},
        )
    )

    assert losses(reports)[-1] < losses(reports)[0] * LEARNED


def test_preference_starts_at_the_loss_of_a_coin_and_full_keeps_a_frozen_reference(tmp_path: Path, base: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", ROWS["preference"])
    for algorithm in ("lora", "full"):
        reports = run_here(
            spec_for(
                tmp_path / algorithm,
                rows=rows,
                model=base,
                dataset_type="preference",
                algorithm=algorithm,
                hyperparameters={"learning_rate": 1e-3, "batch_size": 4, "num_epochs": 4, "lora_dropout": 0.0},
            )
        )

        assert losses(reports)[0] == pytest.approx(0.6931, abs=1e-3)
        assert losses(reports)[-1] < losses(reports)[0]


def test_sixteen_rows_in_batches_of_eight_for_two_epochs_are_four_steps(tmp_path: Path, base: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", CONVERSATIONS[:16])

    reports = run_here(
        spec_for(tmp_path, rows=rows, model=base, hyperparameters={"batch_size": 8, "num_epochs": 2, "learning_rate": 1e-3})
    )

    assert last(reports, "started")["total_steps"] == 4
    assert [one["step"] for one in reports if one["type"] == "metrics"] == [1, 2, 3, 4]
    assert [one["epoch"] for one in reports if one["type"] == "metrics"] == [0.5, 1.0, 1.5, 2.0]


def test_the_learning_rate_rises_over_the_warmup_and_falls_towards_zero(tmp_path: Path, base: Path, rows: Path) -> None:
    reports = run_here(
        spec_for(
            tmp_path,
            rows=rows,
            model=base,
            hyperparameters={"learning_rate": 1.0e-3, "batch_size": 3, "num_epochs": 1, "warmup_steps": 4},
        )
    )

    rates = [one["learning_rate"] for one in reports if one["type"] == "metrics"]
    assert rates == pytest.approx([0.00025, 0.0005, 0.00075, 0.001, 0.0008, 0.0006, 0.0004, 0.0002])


def test_points_evaluations_and_checkpoints_come_when_asked(tmp_path: Path, base: Path, rows: Path) -> None:
    config = {"logging_steps": 3, "evaluation_strategy": "steps", "eval_steps": 4, "save_steps": 5}

    reports = run_here(
        spec_for(
            tmp_path,
            rows=rows,
            model=base,
            config=config,
            hyperparameters={"batch_size": 2, "num_epochs": 1, "learning_rate": 1e-3},
        )
    )

    points = [one for one in reports if one["type"] == "metrics"]
    assert last(reports, "started")["train_rows"] == 22
    assert last(reports, "started")["eval_rows"] == 2
    assert [one["step"] for one in points if one["loss"] is not None] == [3, 6, 9, 11]
    assert [one["step"] for one in points if one["eval_loss"] is not None] == [4, 8, 11]
    assert [one["step"] for one in reports if one["type"] == "checkpoint"] == [5, 10, 11]


def test_rows_of_their_own_are_evaluated_where_they_are_given(tmp_path: Path, base: Path, rows: Path) -> None:
    held_out = write_rows(tmp_path / "eval.jsonl", CONVERSATIONS[:5])

    reports = run_here(
        spec_for(
            tmp_path,
            rows=rows,
            model=base,
            eval_path=str(held_out),
            config={"evaluation_strategy": "epoch"},
            hyperparameters={"batch_size": 8, "num_epochs": 2, "learning_rate": 1e-3},
        )
    )

    assert last(reports, "started")["train_rows"] == len(CONVERSATIONS)
    assert last(reports, "started")["eval_rows"] == 5
    assert [one["step"] for one in reports if one["type"] == "metrics" and one["eval_loss"] is not None] == [3, 6]


def test_packed_and_padded_rows_give_the_same_losses(
    tmp_path: Path, base: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = {"learning_rate": 1e-2, "batch_size": 8, "num_epochs": 2, "lora_dropout": 0.0}
    packed = run_here(spec_for(tmp_path / "packed", rows=rows, model=base, hyperparameters=parameters))
    monkeypatch.setattr("maas.programs.trainer.run.can_pack", lambda *_: False)

    padded = run_here(spec_for(tmp_path / "padded", rows=rows, model=base, hyperparameters=parameters))

    assert losses(packed) == pytest.approx(losses(padded), rel=1e-4)


def test_long_rows_are_cut_and_counted(tmp_path: Path, base: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", [{"text": "北京 " * 100}, {"text": "short"}, {"text": "上海 " * 100}])

    reports = run_here(
        spec_for(
            tmp_path,
            rows=rows,
            model=base,
            dataset_type="text",
            hyperparameters={"max_sequence_length": 16, "batch_size": 3, "num_epochs": 1, "learning_rate": 1e-3},
        )
    )

    messages = [one["message"] for one in reports if one["type"] == "log"]
    assert "2 of 3 rows are longer than 16 tokens and were cut" in messages
    assert 16 * 2 < last(reports, "metrics")["tokens"] <= 16 * 3


def test_a_result_is_trained_again_with_its_adapter_merged(tmp_path: Path, base: Path, rows: Path) -> None:
    parameters = {"learning_rate": 2e-2, "batch_size": 8, "num_epochs": 8}
    first = run_here(spec_for(tmp_path / "first", rows=rows, model=base, hyperparameters=parameters))

    second = run_here(
        spec_for(
            tmp_path / "second", rows=rows, model=base, adapter_dir=last(first, "finished")["path"], hyperparameters=parameters
        )
    )

    assert losses(second)[0] < losses(first)[0] * LEARNED
    assert last(second, "finished")["format"] == "transformers"
    assert (tmp_path / "second" / "output" / "model.safetensors").is_file()


def test_a_small_model_is_made_from_text_and_can_be_trained_further(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", CONVERSATIONS)
    shape = {"hidden": 32, "layers": 2, "heads": 4, "kv_heads": 2, "vocabulary": 320, "intermediate": 64}
    made = run_here(
        spec_for(
            tmp_path / "made",
            mode="pretrain",
            rows=rows,
            algorithm="full",
            architecture=shape,
            hyperparameters={"learning_rate": 1e-2, "batch_size": 8, "num_epochs": 12},
        )
    )
    folder = Path(last(made, "finished")["path"])

    reports = run_here(spec_for(tmp_path / "tuned", rows=rows, model=folder))

    assert {"config.json", "generation_config.json", "tokenizer.json", "model.safetensors"} <= {
        path.name for path in folder.iterdir()
    }
    assert losses(made)[-1] < losses(made)[0] * 0.7
    assert losses(reports)[0] < losses(made)[0] * 0.7


def test_bf16_learns_the_same_curve_within_its_precision(tmp_path: Path, base: Path, rows: Path) -> None:
    parameters = {"learning_rate": 1e-2, "batch_size": 8, "num_epochs": 6, "lora_dropout": 0.0}
    exact = run_here(spec_for(tmp_path / "fp32", rows=rows, model=base, hyperparameters=parameters))

    coarse = run_here(spec_for(tmp_path / "bf16", rows=rows, model=base, precision="bf16", hyperparameters=parameters))

    assert last(coarse, "started")["precision"] == "bf16"
    assert losses(coarse) == pytest.approx(losses(exact), rel=0.03)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"algorithm": "qlora"}, "algorithm"),
        ({"hyperparameters": {"target_modules": ["nowhere"]}}, "hyperparameters.target_modules"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_field(
    changes: dict[str, Any], field: str, tmp_path: Path, base: Path, rows: Path
) -> None:
    failed = last(run_here(spec_for(tmp_path, rows=rows, model=base, **changes)), "failed")

    assert failed["code"] == "FINETUNE_001"
    assert failed["field"] == field


def test_a_model_that_is_no_language_model_is_refused(tmp_path: Path, rows: Path) -> None:
    import transformers

    untyped: Any = transformers
    folder = make_base(tmp_path / "bert")
    (folder / "model.safetensors").unlink()
    config = untyped.BertConfig(vocab_size=320, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    untyped.BertModel(config).save_pretrained(folder)

    failed = last(run_here(spec_for(tmp_path, rows=rows, model=folder)), "failed")

    assert failed["field"] == "base_model_id"
    assert "decoder-only" in failed["reason"]


def test_two_runs_of_one_seed_give_one_curve(tmp_path: Path, base: Path, rows: Path) -> None:
    one = run_here(spec_for(tmp_path / "one", rows=rows, model=base))

    other = run_here(spec_for(tmp_path / "other", rows=rows, model=base))

    assert curve(one) == curve(other)
