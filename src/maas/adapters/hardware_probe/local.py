"""This machine."""

import logging
import os
import shutil
import subprocess
from functools import cached_property
from pathlib import Path

import psutil

from maas.application.ports.hardware_probe import HardwareProbe
from maas.domain.serving.hardware import Hardware

log = logging.getLogger(__name__)

_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_ASK_SECONDS = 10


class LocalHardwareProbe(HardwareProbe):
    """Looks at this machine once: the cores and the memory that this process may use, and NVIDIA's GPUs."""

    def largest(self) -> Hardware:
        return self._hardware

    @cached_property
    def _hardware(self) -> Hardware:
        return Hardware(cpu_cores=len(os.sched_getaffinity(0)), memory_bytes=_memory_bytes(), gpus=_gpus())


def _memory_bytes() -> int:
    there = int(psutil.virtual_memory().total)
    limit = _MEMORY_LIMIT.read_text().strip() if _MEMORY_LIMIT.is_file() else "max"
    return min(there, int(limit)) if limit.isdigit() else there


def _gpus() -> tuple[str, ...]:
    """Ask NVIDIA's own tool: no library of theirs is loaded into this process."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        log.warning("nvidia-smi is there and does not answer: no GPU is counted on", exc_info=True)
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
