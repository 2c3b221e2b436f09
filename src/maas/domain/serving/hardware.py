"""What a replica asks of a machine, and what machines have."""

import re
from dataclasses import dataclass

from maas.domain.errors import OutOfRange, WrongForm

_MEMORY = re.compile(r"(\d{1,9}(?:\.\d{1,6})?) ?([KMGT]i?B)", re.ASCII)
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_FIELD = "config.hardware_spec"


def memory_bytes(text: str, *, field: str = f"{_FIELD}.memory") -> int:
    """Return the bytes of an amount such as "2GB" or "512 MiB"; raise WrongForm where it is none."""
    found = _MEMORY.fullmatch(text)
    if not found:
        raise WrongForm('memory is written as a number and a unit, like "2GB"', field=field)
    return int(float(found[1]) * _UNITS[found[2]])


def written_memory(amount: int) -> str:
    """Write an amount of bytes as people do: "15.6GB"."""
    return f"{amount / 10**9:.1f}".rstrip("0").rstrip(".") + "GB"


@dataclass(frozen=True, kw_only=True)
class HardwareSpec:
    """What each replica asks for; None leaves it to the platform."""

    gpu_type: str | None = None
    gpu_count: int | None = None
    cpu_cores: int | None = None
    memory: str | None = None

    def __post_init__(self) -> None:
        if self.gpu_count is not None and self.gpu_count < 0:
            raise OutOfRange("there are no negative GPUs", field=f"{_FIELD}.gpu_count")
        if self.cpu_cores is not None and self.cpu_cores < 1:
            raise OutOfRange("a replica has at least one core", field=f"{_FIELD}.cpu_cores")
        if self.memory is not None and memory_bytes(self.memory) < 1:
            raise OutOfRange("a replica has some memory", field=f"{_FIELD}.memory")

    @property
    def memory_bytes(self) -> int | None:
        return None if self.memory is None else memory_bytes(self.memory)

    @property
    def wants_gpu(self) -> bool:
        return self.gpu_count != 0 and (self.gpu_count is not None or self.gpu_type is not None)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What the largest machine has that can take a replica. `gpus` are the names of its GPUs."""

    cpu_cores: int
    memory_bytes: int
    gpus: tuple[str, ...] = ()

    def check(self, spec: HardwareSpec) -> None:
        """Raise OutOfRange, naming the field and what there is, where `spec` cannot be given."""
        self._check_gpus(spec)
        if spec.cpu_cores is not None and spec.cpu_cores > self.cpu_cores:
            raise OutOfRange("there are {there} CPU cores here", field=f"{_FIELD}.cpu_cores", there=self.cpu_cores)
        if spec.memory_bytes is not None and spec.memory_bytes > self.memory_bytes:
            there = written_memory(self.memory_bytes)
            raise OutOfRange("there is {there} of memory here", field=f"{_FIELD}.memory", there=there)

    def _check_gpus(self, spec: HardwareSpec) -> None:
        if not spec.wants_gpu:
            return
        blamed = "gpu_count" if spec.gpu_count is not None else "gpu_type"
        if not self.gpus:
            raise OutOfRange("there is no GPU here; leave it out to run on the CPU", field=f"{_FIELD}.{blamed}")
        there = ", ".join(self.gpus)
        if (spec.gpu_count or 1) > len(self.gpus):
            raise OutOfRange(
                "there are {count} GPUs here: {there}", field=f"{_FIELD}.gpu_count", count=len(self.gpus), there=there
            )
        if spec.gpu_type is not None and not any(spec.gpu_type.lower() in name.lower() for name in self.gpus):
            raise OutOfRange(
                "there are {count} GPUs here: {there}", field=f"{_FIELD}.gpu_type", count=len(self.gpus), there=there
            )
