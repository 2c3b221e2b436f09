"""One run from its specification to its result."""

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from maas.domain.finetuning.parameters import Algorithm, EvaluationStrategy, held_out_rows
from maas.programs.trainer import adapters, models
from maas.programs.trainer.checkpoints import Position, load_checkpoint, sync_folder
from maas.programs.trainer.devices import batch_budget, choose_device, choose_precision, precision_name
from maas.programs.trainer.encoding import RowEncoder
from maas.programs.trainer.failures import TrainingImpossible
from maas.programs.trainer.loop import Packing, TrainingLoop
from maas.programs.trainer.losses import Loss, NextTokenLoss, PreferenceLoss
from maas.programs.trainer.packing import can_pack
from maas.programs.trainer.rows import EncodedRows, encode_rows
from maas.programs.trainer.schedule import Schedule, shuffled
from maas.programs.trainer.spec import Mode, RowType, TrainingSpec
from maas.programs.trainer.telling import Reports
from maas.programs.trainer.weights import LearnedWeights

_TELL_ROWS_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Data:
    """The rows to learn from and to look at: numbers of rows of `rows` and of `held_out`."""

    rows: EncodedRows
    train_rows: Sequence[int]
    held_out: EncodedRows
    eval_rows: Sequence[int]


def train(spec: TrainingSpec, reports: Reports, cancelled: threading.Event) -> None:
    """Train as asked, reporting all along, and end with `finished`."""
    if spec.threads:
        torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    disable_progress_bar()
    device = choose_device(spec.device)
    adapters.check_algorithm(spec.algorithm, device, on_adapter=spec.adapter_dir is not None)
    tokenizer, model = _load(spec, device, reports)
    encoder = RowEncoder(tokenizer, spec.row_type, models.end_ids(model))
    data = _data(spec, encoder, min(spec.hyperparameters.max_sequence_length, models.longest_context(model)), reports)
    _tell_about_rows(spec, data, encoder, reports)
    inner, peft_model = adapters.prepare(model, spec.algorithm, spec.hyperparameters)
    weights = LearnedWeights(inner, spec.hyperparameters)
    loop = _loop(
        spec,
        device=device,
        model=inner,
        peft_model=peft_model,
        weights=weights,
        pad_id=tokenizer.pad_token_id or 0,
        data=data,
        reports=reports,
        cancelled=cancelled,
    )
    _tell_start(loop, device, data, reports)
    loop.run()
    _finish(spec, peft_model or model, tokenizer, reports)


def _load(spec: TrainingSpec, device: torch.device, reports: Reports) -> tuple[Any, Any]:
    if spec.mode is Mode.PRETRAIN:
        from maas.programs.trainer.pretraining import make_model, make_tokenizer

        reports.report("log", level="info", message="building a tokenizer and a new model")
        tokenizer = make_tokenizer(spec)
        return tokenizer, make_model(spec, tokenizer).to(device)
    if spec.model_dir is None:
        raise TrainingImpossible("there is no base model", field="base_model_id")
    reports.report("log", level="info", message="loading the base model")
    models.check_causal(spec.model_dir)
    tokenizer = models.load_tokenizer(_tokenizer_folder(spec.model_dir, spec.adapter_dir))
    dtype = choose_precision(spec.precision, device, models.parameter_count(spec.model_dir))
    model = models.load_model(spec.model_dir, dtype, device, in_four_bits=spec.algorithm is Algorithm.QLORA)
    if spec.adapter_dir is not None:
        model = models.merge_adapter(model, spec.adapter_dir)
    return _with_end_token(tokenizer, model), model


def _tokenizer_folder(model: Path, adapter: Path | None) -> Path:
    return adapter if adapter is not None and (adapter / "tokenizer.json").is_file() else model


def _with_end_token(tokenizer: Any, model: Any) -> Any:
    """Let a tokenizer without an end token use the one at which the model stops."""
    ends = models.end_ids(model)
    if tokenizer.eos_token_id is None and ends:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(min(ends))
    return tokenizer


def _data(spec: TrainingSpec, encoder: RowEncoder, longest: int, reports: Reports) -> Data:
    spec.checkpoint_dir.mkdir(parents=True, exist_ok=True)
    told = time.monotonic()

    def tell(count: int) -> None:
        nonlocal told
        if time.monotonic() - told > _TELL_ROWS_EVERY_SECONDS:
            told = time.monotonic()
            reports.report("log", level="info", message=f"{count} rows are turned into tokens")

    rows = encode_rows(spec.train_path, encoder, longest=longest, folder=spec.checkpoint_dir, on_row=tell)
    if not len(rows):
        raise TrainingImpossible("the dataset has no rows", field="dataset_id")
    everything = range(len(rows))
    if spec.config.evaluation_strategy is EvaluationStrategy.NO:
        return Data(rows, everything, rows, ())
    if spec.eval_path is not None:
        held_out = encode_rows(spec.eval_path, encoder, longest=longest, folder=spec.checkpoint_dir, on_row=tell)
        return Data(rows, everything, held_out, range(len(held_out)))
    if len(rows) < 2:
        raise TrainingImpossible("a dataset of one row cannot be evaluated: set evaluation_strategy to no", field="dataset_id")
    order = shuffled(len(rows), spec.seed)
    count = held_out_rows(len(rows))
    return Data(rows, sorted(order[count:]), rows, sorted(order[:count]))


def _tell_about_rows(spec: TrainingSpec, data: Data, encoder: RowEncoder, reports: Reports) -> None:
    rows = data.rows
    longest = spec.hyperparameters.max_sequence_length
    if rows.cut_rows:
        message = f"{rows.cut_rows} of {len(rows)} rows are longer than {longest} tokens and were cut"
        reports.report("log", level="warning", message=message)
    if rows.rows_without_answer == len(rows):
        raise TrainingImpossible(
            "no row has anything to learn within max_sequence_length", field="hyperparameters.max_sequence_length"
        )
    if rows.rows_without_answer:
        message = f"{rows.rows_without_answer} of {len(rows)} rows have nothing to learn within {longest} tokens"
        reports.report("log", level="warning", message=message)
    if encoder.learned_template:
        reports.report(
            "log", level="info", message="the base model has no chat template: a plain one is used and kept with the result"
        )


def _loop(
    spec: TrainingSpec,
    *,
    device: torch.device,
    model: Any,
    peft_model: Any,
    weights: LearnedWeights,
    pad_id: int,
    data: Data,
    reports: Reports,
    cancelled: threading.Event,
) -> TrainingLoop:
    vocabulary = int(model.config.get_text_config().vocab_size)
    fingerprint = _fingerprint(spec, data, model)
    loss = _loss(spec, device, model, peft_model)
    resumed = spec.resume_from
    position = Position(fingerprint) if resumed is None else load_checkpoint(resumed, weights, fingerprint)
    packed = can_pack(model, device, vocabulary)
    if not packed:
        message = "this architecture cannot take packed rows: they are sorted by length and padded"
        reports.report("log", level="info", message=message)
    longest = max(data.rows.longest_row, data.held_out.longest_row)
    return TrainingLoop(
        model=model,
        weights=weights,
        loss=loss,
        schedule=Schedule(rows=len(data.train_rows), hyperparameters=spec.hyperparameters, config=spec.config),
        packing=Packing(batch_budget(device, vocabulary, longest), packed, pad_id),
        rows=data.rows,
        train_rows=data.train_rows,
        held_out=data.held_out,
        eval_rows=data.eval_rows,
        position=position,
        checkpoint_dir=spec.checkpoint_dir,
        reports=reports,
        cancelled=cancelled,
        synchronize=torch.cuda.synchronize if device.type == "cuda" else lambda: None,
    )


def _loss(spec: TrainingSpec, device: torch.device, model: Any, peft_model: Any) -> Loss:
    if spec.row_type is not RowType.PREFERENCE:
        return NextTokenLoss(model, device)
    if peft_model is None:
        reference, as_reference = deepcopy(model).requires_grad_(requires_grad=False), nullcontext
    else:
        reference, as_reference = model, peft_model.disable_adapter
    return PreferenceLoss(model, device, beta=spec.hyperparameters.dpo_beta, reference=reference, as_reference=as_reference)


def _fingerprint(spec: TrainingSpec, data: Data, model: Any) -> str:
    """Name what makes two runs the same one: parameters, rows and shape of the model."""
    parts = {
        "hyperparameters": asdict(spec.hyperparameters),
        "evaluation": spec.config.evaluation_strategy,
        "algorithm": spec.algorithm,
        "rows": [len(data.train_rows), len(data.eval_rows), data.rows.longest_row],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _tell_start(loop: TrainingLoop, device: torch.device, data: Data, reports: Reports) -> None:
    reports.report(
        "started",
        total_steps=loop.schedule.total_steps,
        trainable_parameters=loop.weights.count,
        device=str(device),
        precision=precision_name(next(loop.model.parameters()).dtype),
        train_rows=len(data.train_rows),
        eval_rows=len(data.eval_rows),
        step=loop.position.step,
    )


def _finish(spec: TrainingSpec, model: Any, tokenizer: Any, reports: Reports) -> None:
    """Write the result as a folder that Hugging Face's libraries load: the adapter alone, or a whole model."""
    whole = spec.algorithm is Algorithm.FULL or spec.adapter_dir is not None
    if whole and spec.algorithm is not Algorithm.FULL:
        # The new adapter changes weights that its base alone does not have; only the two merged stand by themselves.
        model = model.merge_and_unload()
    spec.output_dir.mkdir(parents=True, exist_ok=True)
    if whole:
        model.config.use_cache = True
    model.save_pretrained(spec.output_dir)
    tokenizer.save_pretrained(spec.output_dir)
    _forget_paths(spec.output_dir)
    sync_folder(spec.output_dir)
    reports.report("finished", path=str(spec.output_dir), format="transformers" if whole else "peft")


def _forget_paths(folder: Path) -> None:
    """Take this machine's folders out of the result: what the base is called is known to the platform alone."""
    (folder / "README.md").unlink(missing_ok=True)
    for name, key in (("adapter_config.json", "base_model_name_or_path"), ("config.json", "_name_or_path")):
        path = folder / name
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))
            if key in config:
                config[key] = None
                path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
