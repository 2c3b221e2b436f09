"""The port for what the machines have that replicas run on."""

from abc import ABC, abstractmethod

from maas.domain.serving.hardware import Hardware


class HardwareProbe(ABC):
    """Looks at the machines."""

    @abstractmethod
    def largest(self) -> Hardware:
        """Return what the largest machine has that can take a replica."""
