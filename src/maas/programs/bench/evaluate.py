"""`python -m maas.programs.bench.evaluate`: how well adapters know rows that none of them saw, all judged alike in fp32."""

import os
import sys
from typing import Any

from maas.programs.bench.rows import TextRows
from maas.programs.child import Child


def main() -> int:
    """Report `evaluated` with the mean loss of a token, by adapter."""
    child = Child.start("maas bench evaluate")
    import torch

    torch.set_num_threads(child.spec["threads"])
    rows = TextRows(child.spec)
    child.report("evaluated", losses={folder: _loss(child.spec["model_dir"], folder, rows) for folder in child.spec["adapters"]})
    return 0


def _loss(base: str, adapter: str, rows: TextRows) -> float:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    model = PeftModel.from_pretrained(model, adapter).eval()
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for number, row in enumerate(rows.tokens):
            total += float(model(**rows.padded([number])).loss) * (len(row) - 1)
            tokens += len(row) - 1
    return total / tokens


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
