"""The forms of fine-tuning jobs: what is asked for and what is shown."""

from typing import Any

from marshmallow import fields, validate

from maas.domain.finetuning.job import JobStatus
from maas.domain.finetuning.parameters import CONFIG_RANGES, HYPERPARAMETER_RANGES, Algorithm, EvaluationStrategy, Range
from maas.domain.finetuning.training import LogLevel
from maas.domain.paging import Order
from maas.entrypoints.http.fields import (
    Boolean,
    Choice,
    Identifier,
    Integer,
    Number,
    QueryInteger,
    Text,
    Timestamp,
)
from maas.entrypoints.http.paging import ListQuery
from maas.entrypoints.http.schemas import StrictSchema

_LONGEST_MODULE_NAME = 200


def _number(name: str, meaning: str, default: object, *, shown_default: str | None = None) -> dict[str, Any]:
    """Return what the API document says of a parameter: its meaning, default and range."""
    allowed: Range = {**HYPERPARAMETER_RANGES, **CONFIG_RANGES}[name]
    least = {"minimum": allowed.least, **({"exclusiveMinimum": True} if allowed.above else {})}
    told = f"Default {shown_default or default}; {'above' if allowed.above else 'from'} {allowed.least:g} to {allowed.most:.12g}."
    known = {} if shown_default else {"default": default}
    return {"description": f"{meaning} {told}", "maximum": allowed.most, **least, **known}


class HyperparametersForm(StrictSchema):
    """The numbers that shape learning. A step is one optimiser step over `batch_size` rows."""

    learning_rate = Number(
        metadata=_number(
            "learning_rate",
            "The peak of the learning rate: it rises linearly over warmup_steps and falls linearly to zero.",
            None,
            shown_default="2e-4, and 2e-5 for full",
        )
    )
    batch_size = Integer(
        metadata=_number(
            "batch_size", "Rows of each optimiser step; the last of an epoch may have fewer. Memory is not affected.", 4
        )
    )
    num_epochs = Integer(metadata=_number("num_epochs", "How often all rows are gone through.", 3))
    warmup_steps = Integer(metadata=_number("warmup_steps", "Steps over which the learning rate rises to its peak.", 0))
    lora_r = Integer(metadata=_number("lora_r", "The rank of the adapter (all algorithms but full).", 8))
    lora_alpha = Number(
        metadata=_number(
            "lora_alpha", "The adapter's change is scaled by lora_alpha / lora_r, by lora_alpha / sqrt(lora_r) with rslora.", 16
        )
    )
    lora_dropout = Number(
        metadata=_number("lora_dropout", "The share of the adapter's inputs that is dropped while learning.", 0.05)
    )
    weight_decay = Number(metadata=_number("weight_decay", "AdamW's decay of weight matrices.", 0.0))
    max_grad_norm = Number(metadata=_number("max_grad_norm", "Gradients with a larger norm are scaled down to it.", 1.0))
    max_sequence_length = Integer(
        metadata=_number("max_sequence_length", "Rows of more tokens are cut; the log tells how many were.", 1024)
    )
    seed = Integer(metadata=_number("seed", "What the order of rows, dropout and the rows held out are drawn from.", 42))
    dpo_beta = Number(metadata=_number("dpo_beta", "How closely DPO stays to the base (datasets of type preference only).", 0.1))
    target_modules = fields.List(
        Text(validate=validate.Length(1, _LONGEST_MODULE_NAME)),
        allow_none=True,
        metadata={
            "description": "The names of the linear layers that the adapter changes, such as q_proj. Default null: all; 1 to 64.",
            "default": None,
        },
    )


class ConfigForm(StrictSchema):
    """What happens beside learning."""

    evaluation_strategy = Choice(
        EvaluationStrategy,
        metadata={
            "description": "When the held-out rows are evaluated. Default no: every row is trained on and eval_loss stays null. "
            "Otherwise a tenth of the rows (1 to 500), chosen by the seed, is held out, or those of eval_dataset_id are taken.",
            "default": "no",
        },
    )
    eval_steps = Integer(metadata=_number("eval_steps", "Steps between evaluations, with evaluation_strategy steps.", 100))
    save_steps = Integer(
        metadata=_number("save_steps", "Steps between checkpoints; a run that was broken off goes on from the last.", 500)
    )
    logging_steps = Integer(metadata=_number("logging_steps", "Steps between points of the curve.", 10))
    eval_dataset_id = Identifier(
        allow_none=True,
        metadata={"description": "A dataset of the same type to evaluate on. Default null.", "default": None},
    )


class JobCreation(StrictSchema):
    """A new job."""

    name = Text(
        required=True,
        metadata={
            "description": "1 to 200 characters; jobs may share one. The resulting model takes it, with a number where needed."
        },
    )
    description = Text(allow_none=True)
    base_model_id = Identifier(
        required=True, metadata={"description": "A model of type llm with a tokenizer; it may be the result of a job."}
    )
    base_model_version = Text(metadata={"description": "Default: the newest ready version."})
    dataset_id = Identifier(
        required=True,
        metadata={"description": "conversation, instruction and text are learned by SFT, preference by DPO."},
    )
    algorithm = Choice(
        Algorithm,
        load_default=Algorithm.LORA,
        metadata={
            "description": "lora, dora, rslora and qlora learn an adapter (the result's format is peft, and transformers where the "
            "base is an adapter itself), full changes all weights. qlora needs an NVIDIA GPU.",
        },
    )
    hyperparameters = fields.Nested(HyperparametersForm())
    config = fields.Nested(ConfigForm())


class JobChange(StrictSchema):
    """What may be changed of a job."""

    name = Text()
    description = Text(allow_none=True)


class JobRestart(StrictSchema):
    """How a job goes on."""

    from_scratch = Boolean(
        metadata={"description": "Begin again instead of going on from the last checkpoint; clears the points.", "default": False}
    )


class ResultItem(StrictSchema):
    """The version that a job made."""

    model_id = Identifier()
    version = Text()


class JobItem(StrictSchema):
    """A job."""

    id = Identifier()
    owner_id = Identifier()
    name = Text()
    description = Text(allow_none=True)
    base_model_id = Identifier()
    base_model_version = Text(attribute="base_version")
    dataset_id = Identifier()
    algorithm = Choice(Algorithm)
    hyperparameters = fields.Nested(HyperparametersForm())
    config = fields.Nested(ConfigForm())
    status = Choice(JobStatus)
    reason = Text(allow_none=True, metadata={"description": "Why the job has failed."})
    run = Integer(metadata={"description": "Counts from 1; a restart opens the next."})
    cancel_requested_at = Timestamp(allow_none=True)
    step = Integer(metadata={"description": "Optimiser steps done."})
    total_steps = Integer(allow_none=True)
    percentage = Number(metadata={"description": "0 to 100; never falls within a run."})
    eta_seconds = Number(allow_none=True)
    device = Text(allow_none=True)
    precision = Text(allow_none=True)
    trainable_parameters = Integer(allow_none=True)
    result = fields.Nested(ResultItem(), allow_none=True)
    result_name = Text(metadata={"description": "The name that is reserved for the resulting model."})
    created_at = Timestamp()
    updated_at = Timestamp()
    started_at = Timestamp(allow_none=True)
    finished_at = Timestamp(allow_none=True)


class JobQuery(ListQuery):
    """Which jobs."""

    status = Choice(JobStatus)
    algorithm = Choice(Algorithm)
    base_model_id = Identifier()
    dataset_id = Identifier()


class MetricsQuery(StrictSchema):
    """Which points."""

    after_step = QueryInteger(
        load_default=0,
        validate=validate.Range(min=0),
        metadata={"description": "Only points after this step."},
    )


class PointItem(StrictSchema):
    """A point of the curve: a training point has `loss`, an evaluation `eval_loss`, a step may have both."""

    step = Integer()
    epoch = Number()
    loss = Number(allow_none=True)
    eval_loss = Number(allow_none=True)
    learning_rate = Number(allow_none=True)
    grad_norm = Number(allow_none=True)
    tokens_per_second = Number(allow_none=True)
    tokens = Integer(allow_none=True)
    at = Timestamp()


class LogQuery(ListQuery):
    """Which lines of the log; oldest first unless `order` says otherwise."""

    sorts = ("created_at",)
    order = Choice(Order, load_default=Order.ASCENDING)
    level = Choice(LogLevel)


class LogItem(StrictSchema):
    """A line of the log."""

    level = Choice(LogLevel)
    message = Text()
    at = Timestamp()


class CheckpointItem(StrictSchema):
    """A checkpoint."""

    step = Integer()
    size = Integer(metadata={"description": "Bytes."})
    kept = Boolean(
        attribute="is_kept",
        metadata={"description": "Whether its files are still there: the newest two of an unfinished or broken-off job are."},
    )
    created_at = Timestamp()


class ProgressMessage(StrictSchema):
    """What the monitor sends: first as a `snapshot`, then as `progress` on each change."""

    job_id = Identifier()
    status = Choice(JobStatus)
    reason = Text(allow_none=True)
    step = Integer()
    total_steps = Integer(allow_none=True)
    percentage = Number()
    metrics = fields.Nested(PointItem(), allow_none=True)
    eta_seconds = Number(allow_none=True)
    at = Timestamp()
