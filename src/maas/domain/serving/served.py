"""What the engines of a deployment are made of."""

from dataclasses import dataclass
from uuid import UUID

from maas.domain.serving.hardware import HardwareSpec


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """What an engine loads: a version's files by their key in the file store, and for an adapter those of its base."""

    model_id: UUID
    version: str
    files_key: str
    base_model_id: UUID | None = None
    base_version: str | None = None
    base_files_key: str | None = None

    def uses(self, model_id: UUID, version: str | None) -> bool:
        parts = ((self.model_id, self.version), (self.base_model_id, self.base_version))
        return any(used == model_id and version in (None, its_version) for used, its_version in parts)


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What all replicas of one number are: the same model on the same hardware."""

    number: int
    model: ServedModel
    hardware: HardwareSpec
