"""`python -m maas.programs.trainer`: reads a specification on stdin, trains, reports on stdout."""

import errno
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maas.programs.child import Child, die_first, die_with_parent, leave_network, limit_resources
from maas.programs.walls import confine


def main() -> int:
    """Run one training; return 0 where it ended as told (finished, cancelled, or failed with a reason)."""
    die_with_parent()
    die_first()
    walls = {"network": leave_network()}
    limit_resources()
    child = Child.start("maas trainer", before_threads=lambda spec: walls.update(files=_confine(spec)))
    os.nice(int(child.spec.get("niceness", 0)))
    child.report("confinement", **walls)
    cancelled = threading.Event()

    def obey(command: dict[str, Any]) -> None:
        if command.get("type") == "cancel":
            cancelled.set()

    child.on_command(obey)
    try:
        _train(child, cancelled)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _confine(spec: Mapping[str, Any]) -> bool:
    """Leave in sight what this run reads and writes, and no other file of the platform."""
    written = [Path(spec[name]) for name in ("output_dir", "checkpoint_dir")]
    for folder in written:
        folder.mkdir(parents=True, exist_ok=True)
    read = [spec.get(name) for name in ("model_dir", "adapter_dir", "train_path", "eval_path", "resume_from")]
    return confine(readable=[Path(path) for path in read if path is not None], writable=[*written, Path.cwd()])


def _train(child: Child, cancelled: threading.Event) -> None:
    # Threads that wait for each other by spinning come to a halt where something else (an engine, say) wants a core as well:
    # two threads learned 42 tokens a second beside other work, and 1,759 when they slept.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Torch is imported only now: the network must be left before any thread starts.
    import torch

    from maas.programs.trainer.failures import Cancelled, TrainingImpossible
    from maas.programs.trainer.run import train
    from maas.programs.trainer.spec import read_spec

    try:
        train(read_spec(child.spec), child, cancelled)
    except Cancelled as end:
        child.report("cancelled", step=end.step)
    except TrainingImpossible as end:
        child.report("failed", code=end.code, field=end.field, reason=end.reason)
    except (MemoryError, torch.OutOfMemoryError):
        reason = "memory ran out: use a smaller max_sequence_length, a smaller model, or lora in place of full"
        child.report("failed", code="FINETUNE_001", field="hyperparameters.max_sequence_length", reason=reason)
    except Exception as error:
        if not _is_full_disk(error):
            raise
        reason = "the platform's disk is full: the job can be restarted when there is room"
        child.report("failed", code="SYSTEM_002", field="", reason=reason)


def _is_full_disk(error: Exception) -> bool:
    """Tell whether there was no room for a file; safetensors says so in words alone."""
    number = getattr(error, "errno", None)
    return number in (errno.ENOSPC, errno.EDQUOT) or f"os error {errno.ENOSPC}" in str(error)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # The watching thread holds stdin's lock, which an orderly end of the interpreter would trip over.
    os._exit(status)
