"""`python -m maas.programs.bench.generate`: transformers' `generate`, one prompt at a time, as the engine's reference."""

import os
import sys
import time
from queue import SimpleQueue
from typing import Any

from maas.programs.child import Child


def main() -> int:
    """Load the model, report `ready`, and answer each `generate` command with `generated`."""
    child = Child.start("maas bench generate")
    import torch
    from transformers import AutoModelForCausalLM

    commands: SimpleQueue[dict[str, Any]] = SimpleQueue()
    child.on_command(commands.put)
    torch.set_num_threads(child.spec["threads"])
    model: Any = AutoModelForCausalLM.from_pretrained(
        child.spec["model_dir"], dtype=getattr(torch, child.spec["dtype"]), local_files_only=True
    )
    model.eval()
    child.report("ready")
    while True:
        command = commands.get()
        began = time.perf_counter()
        answers = [_answer(model, prompt, command["max_new_tokens"]) for prompt in command["prompts"]]
        seconds = time.perf_counter() - began
        child.report("generated", seconds=seconds, tokens=sum(map(len, answers)), answers=answers)


def _answer(model: Any, prompt: list[int], max_new_tokens: int) -> list[int]:
    import torch

    ids = torch.tensor([prompt])
    with torch.inference_mode():
        whole = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=0
        )
    answer: list[int] = whole[0, len(prompt) :].tolist()
    return answer


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
