"""`python -m maas.programs.bench.train`: a padded loop and trl's SFTTrainer, as the trainer's references."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from maas.programs.bench.rows import TextRows
from maas.programs.child import Child


def main() -> int:
    """Train as the specification says, write the adapter, and report `trained` (or `missing`)."""
    child = Child.start("maas bench train")
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.set_num_threads(child.spec["threads"])
    torch.manual_seed(child.spec["seed"])
    try:
        seconds, steps = _KINDS[child.spec["kind"]](child.spec)
    except ImportError as error:
        child.report("missing", package=error.name or child.spec["kind"])
        return 0
    child.report("trained", seconds=seconds, steps=steps)
    return 0


def _bare(spec: Any) -> tuple[float, int]:
    """Train in the plainest way: batches padded to their longest row. Return (seconds, steps)."""
    import torch

    rows = TextRows(spec)
    model = _with_adapter(spec)
    model.train()
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=spec["learning_rate"], weight_decay=0.0)
    schedule = rows.schedule
    began = time.perf_counter()
    for step in range(1, schedule.total_steps + 1):
        batch = rows.padded(schedule.rows_of(step))
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step)
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - began
    model.save_pretrained(spec["output_dir"])
    return seconds, schedule.total_steps


def _with_adapter(spec: Any) -> Any:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if spec["precision"] == "bf16" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(spec["model_dir"], dtype=dtype, local_files_only=True)
    model.config.use_cache = False
    return get_peft_model(model, _lora(spec))


def _lora(spec: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM", r=spec["lora_r"], lora_alpha=spec["lora_alpha"], lora_dropout=0.0, target_modules="all-linear"
    )


def _trl(spec: Any) -> tuple[float, int]:
    """Train by trl's SFTTrainer as it comes, or with `options` of its configuration."""
    from datasets import Dataset  # type: ignore[import-not-found,unused-ignore]
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    bf16 = spec["precision"] == "bf16"
    config = SFTConfig(
        output_dir=str(Path(spec["output_dir"]) / "trl"),
        per_device_train_batch_size=spec["batch_size"],
        num_train_epochs=1,
        learning_rate=spec["learning_rate"],
        lr_scheduler_type="linear",
        max_length=spec["longest"],
        use_cpu=True,
        bf16=bf16,
        save_strategy="no",
        report_to="none",
        seed=spec["seed"],
        disable_tqdm=True,
        model_init_kwargs={"dtype": "bfloat16" if bf16 else "float32"},
        **spec.get("options", {}),
    )
    trainer = SFTTrainer(
        model=spec["model_dir"],
        args=config,
        train_dataset=Dataset.from_list(TextRows(spec).raw),
        processing_class=AutoTokenizer.from_pretrained(spec["model_dir"], local_files_only=True),
        peft_config=_lora(spec),
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    trainer.model.save_pretrained(spec["output_dir"])
    return seconds, trainer.state.global_step


_KINDS = {"bare": _bare, "trl": _trl}


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
