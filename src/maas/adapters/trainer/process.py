"""A trainer that runs each training as a child process, which has no network, no secrets and ends with its parent."""

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from maas.adapters.trainer.reports import read_report
from maas.application.ports.trainer import (
    LastReport,
    Report,
    Trainer,
    Training,
    TrainingCrashed,
    TrainingRequest,
)
from maas.domain.finetuning.parameters import Algorithm

log = logging.getLogger(__name__)

_PROGRAM = ("-I", "-m", "maas.programs.trainer")
_TAIL_BYTES = 16 * 1024
_END_SECONDS = 10.0
_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")


class ProcessTrainer(Trainer):
    """Starts `python -m maas.programs.trainer`. `threads` None takes all cores; `niceness` is added to the children's."""

    def __init__(self, *, threads: int | None = None, niceness: int = 5, device: str = "auto", precision: str = "auto") -> None:
        self.threads = threads
        self.niceness = niceness
        self.device = device
        self.precision = precision

    def start(self, request: TrainingRequest) -> "ProcessTraining":
        for folder in (request.output, request.checkpoints):
            folder.mkdir(parents=True, exist_ok=True)
        return ProcessTraining(self._specification(request), environment=self._environment(), folder=request.output.parent)

    def obstacle(self, algorithm: Algorithm) -> str | None:
        if algorithm is not Algorithm.QLORA:
            return None
        if not _has_nvidia_gpu():
            return "qlora needs an NVIDIA GPU, and there is none here; use lora"
        if find_spec("bitsandbytes") is None:
            return "qlora needs the package bitsandbytes, and it is not installed here; use lora"
        return None

    def _specification(self, request: TrainingRequest) -> dict[str, Any]:
        return {
            "mode": "finetune",
            "model_dir": str(request.model),
            "adapter_dir": _text(request.adapter),
            "train_path": str(request.train_rows),
            "eval_path": _text(request.eval_rows),
            "dataset_type": request.dataset_type.value,
            "output_dir": str(request.output),
            "checkpoint_dir": str(request.checkpoints),
            "resume_from": _text(request.resume_from),
            "algorithm": request.algorithm.value,
            "hyperparameters": asdict(request.hyperparameters),
            "config": asdict(request.config),
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "niceness": self.niceness,
        }

    def _environment(self) -> dict[str, str]:
        """Return all that a child knows of its surroundings: none of the platform's settings, which may be secret."""
        kept = {name: os.environ[name] for name in _GPU_VARIABLES if name in os.environ}
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **kept,
            **threads,
        }


class ProcessTraining(Training):
    """A child at work. Threads read what it says; the pipe to its stdin is its life line."""

    def __init__(self, specification: Mapping[str, Any], *, environment: Mapping[str, str], folder: Path) -> None:
        self._told: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._has_ended = False
        self._is_closed = False
        self._tail = b""
        self._child = subprocess.Popen(
            [sys.executable, *_PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            # Its libraries look for caches and configuration at home: there are none.
            env={**environment, "HOME": str(folder), "TMPDIR": str(folder)},
            process_group=0,
        )
        self._readers = [
            threading.Thread(target=self._read_reports, args=(self._child.stdout,), name="trainer-reports", daemon=True),
            threading.Thread(target=self._read_errors, args=(self._child.stderr,), name="trainer-errors", daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        self._send(specification)

    @property
    def pid(self) -> int:
        return self._child.pid

    def reports(self, timeout_seconds: float) -> Sequence[Report]:
        if self._has_ended:
            return []
        told: list[Report] = []
        deadline = time.monotonic() + timeout_seconds
        try:
            self._take(told, self._told.get(timeout=max(0.0, deadline - time.monotonic())))
            while not self._has_ended:
                self._take(told, self._told.get_nowait())
        except queue.Empty:
            pass
        return told

    def cancel(self) -> None:
        self._send({"type": "cancel"})

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = self._has_ended = True
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for reader in self._readers:
            reader.join(_END_SECONDS)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _take(self, told: list[Report], report: Report | None) -> None:
        """Add a report; None stands for the end of what the child says."""
        told.append(self._crash() if report is None else report)
        self._has_ended = isinstance(told[-1], LastReport)

    def _crash(self) -> TrainingCrashed:
        try:
            status = self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # It has closed its end of the pipe and lives on: nothing good comes of that.
            self._child.kill()
            status = self._child.wait()
        self._readers[1].join(_END_SECONDS)
        log.warning("a trainer died with status %s: %s", status, self._tail.decode(errors="replace"))
        if status < 0:
            return TrainingCrashed(reason=f"the training process was killed (signal {-status})")
        return TrainingCrashed(reason=f"the training process ended by itself (status {status})")

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(message, default=str).encode() + b"\n")
            self._child.stdin.flush()
        except (BrokenPipeError, ValueError):
            log.info("a trainer is gone before it heard of a command")

    def _read_reports(self, pipe: IO[bytes]) -> None:
        try:
            for line in pipe:
                report = read_report(line)
                if report is not None:
                    self._told.put(report)
        except Exception:
            log.exception("a trainer said what cannot be understood")
            self._child.kill()
        finally:
            self._told.put(None)

    def _read_errors(self, pipe: IO[bytes]) -> None:
        while chunk := pipe.read1(_TAIL_BYTES):  # type: ignore[attr-defined]
            self._tail = (self._tail + chunk)[-_TAIL_BYTES:]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _has_nvidia_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*"))
