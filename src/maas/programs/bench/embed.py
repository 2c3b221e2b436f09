"""`python -m maas.programs.bench.embed`: sentence-transformers, as the embedding engine's reference."""

import os
import sys
import time
from queue import SimpleQueue
from typing import Any

from maas.programs.child import Child


def main() -> int:
    """Load the model, report `ready` (or `missing`), and answer each `embed` command with `embedded`."""
    child = Child.start("maas bench embed")
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        child.report("missing", package=error.name or "sentence_transformers")
        return 0
    commands: SimpleQueue[dict[str, Any]] = SimpleQueue()
    child.on_command(commands.put)
    torch.set_num_threads(child.spec["threads"])
    model: Any = SentenceTransformer(child.spec["model_dir"], device="cpu", local_files_only=True)
    child.report("ready")
    while True:
        texts = commands.get()["texts"]
        began = time.perf_counter()
        vectors = model.encode(texts)
        seconds = time.perf_counter() - began
        child.report("embedded", seconds=seconds, vectors=vectors.tolist())


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)
