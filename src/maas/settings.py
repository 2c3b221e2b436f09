"""Settings: each an environment variable `MAAS_<NAME>`, typed, with a default for the embedded profile."""

from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 1024**3


class Profile(StrEnum):
    """`embedded`: everything on this machine without services; `distributed`: Postgres and Redis by their addresses."""

    EMBEDDED = "embedded"
    DISTRIBUTED = "distributed"


class Registration(StrEnum):
    """Whether strangers may make accounts."""

    OPEN = "open"
    CLOSED = "closed"


class SettingsInvalid(Exception):
    """Some settings cannot be read; the message names each."""


class Settings(BaseSettings):
    """Everything that an operator may set."""

    model_config = SettingsConfigDict(env_prefix="MAAS_", env_ignore_empty=True, extra="ignore", frozen=True)

    profile: Profile = Field(Profile.EMBEDDED, description="`embedded` or `distributed`.")
    data_dir: Path = Field(Path("maas-data"), description="The folder that everything is kept in.")
    database_url: str | None = Field(None, description="`postgresql://…`; by default SQLite in the data folder.")
    host: str = Field("127.0.0.1", description="The address that the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port that the API listens on; 0 takes a free one.")
    public_url: str | None = Field(None, description="The address by which people reach this platform.")
    api_workers: int = Field(1, ge=1, le=64, description="API processes.")
    api_threads: int = Field(640, ge=8, le=4096, description="Threads of each API process.")
    most_streams: int = Field(400, ge=1, description="Streams that each API process holds at once.")
    most_sockets: int = Field(200, ge=1, description="WebSockets that each API process holds at once.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="The least level that is logged.")
    tls_cert: Path | None = Field(None, description="A certificate in PEM, to serve HTTPS.")
    tls_key: Path | None = Field(None, description="The certificate's key in PEM.")
    trusted_proxies: str = Field("", description="Comma-separated addresses or CIDR ranges whose `X-Forwarded-For` counts.")
    registration: Registration = Field(Registration.OPEN, description="`open` or `closed`.")
    smtp_url: str | None = Field(None, description="`smtp://user:password@host:587` or `smtps://…`; by default mails are files.")
    smtp_from: str = Field("maas@localhost", description="The sender of mails.")
    import_folders: str = Field("", description="Comma-separated folders below which models may be imported.")
    hub_endpoint: str | None = Field(None, description="The model hub; by default that of Hugging Face.")
    hub_token: str | None = Field(None, description="A token for the model hub.")
    hub_hosts: str = Field("", description="Comma-separated hosts (`*.` for all below) that the hub may redirect downloads to.")
    work_threads: int = Field(
        4, ge=1, le=64, description="Long pieces of work (trainings, imports, batches) at once, per worker."
    )
    reaction_threads: int = Field(2, ge=1, le=16, description="Short pieces of work at once, per worker.")
    lease_seconds: float = Field(30.0, ge=2, le=600, description="How long a silent worker keeps its work.")
    trainer_threads: int | None = Field(None, ge=1, description="CPU threads of each training; by default all cores.")
    engine_threads: int | None = Field(None, ge=1, description="CPU threads of each engine; by default all cores.")
    engine_dtype: str = Field("auto", pattern="^(auto|fp32|bf16)$", description="The numbers that engines compute with.")
    engine_slots: int = Field(16, ge=1, le=1024, description="Requests that each engine answers at once.")
    engine_queue: int = Field(64, ge=0, le=100_000, description="Requests that wait at each engine before it says 503.")
    sync: bool = Field(True, description="Whether files are synced to the disk before an upload is acknowledged (P1).")
    retention_days: int = Field(30, ge=1, description="Days that events and ended work are kept.")

    limit_api_calls: int = Field(1000, ge=1, description="API calls of a user an hour.")
    limit_uploads: int = Field(10, ge=1, description="Files that a user uploads an hour.")
    limit_deployments: int = Field(5, ge=1, description="Deployments that a user makes an hour.")
    limit_address_calls: int = Field(10_000, ge=1, description="Calls of a network address an hour.")
    limit_registrations: int = Field(10, ge=1, description="Registrations from a network address an hour.")
    max_storage_bytes: int = Field(100 * GIB, ge=1, description="Bytes that a user keeps.")
    max_model_bytes: int = Field(50 * GIB, ge=1, description="Bytes of an uploaded model.")
    max_dataset_bytes: int = Field(10 * GIB, ge=1, description="Bytes of an uploaded dataset.")
    max_trainings: int = Field(3, ge=1, description="Trainings of a user at once.")
    max_deployments: int = Field(10, ge=1, description="Deployments of a user at once.")
    max_websockets: int = Field(100, ge=1, description="WebSockets of a user at once.")

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read the settings of the environment; what is `given` and not None wins. Raises SettingsInvalid."""
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            lines = [f"MAAS_{'_'.join(map(str, entry['loc'])).upper()}: {entry['msg']}" for entry in error.errors()]
            raise SettingsInvalid("\n".join(lines)) from error

    @model_validator(mode="after")
    def _check_services(self) -> Self:
        if self.profile is Profile.DISTRIBUTED and not self.database_url:
            raise ValueError("the distributed profile needs MAAS_DATABASE_URL=postgresql://…")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("MAAS_TLS_CERT and MAAS_TLS_KEY go together")
        return self

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'maas.db'}"

    @property
    def listed_import_folders(self) -> tuple[Path, ...]:
        return tuple(Path(folder.strip()) for folder in self.import_folders.split(",") if folder.strip())

    @property
    def listed_hub_hosts(self) -> tuple[str, ...]:
        return tuple(host.strip().lower() for host in self.hub_hosts.split(",") if host.strip())

    @property
    def listed_proxies(self) -> tuple[str, ...]:
        return tuple(proxy.strip() for proxy in self.trusted_proxies.split(",") if proxy.strip())

    @property
    def resolved_public_url(self) -> str:
        return self.public_url or f"http{'s' if self.tls_cert else ''}://{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables for the platform's own processes; what is at its default is left out."""
        fields = type(self).model_fields
        changed = {name: getattr(self, name) for name in fields if getattr(self, name) != fields[name].default}
        return {f"MAAS_{name.upper()}": _text(value) for name, value in changed.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def table() -> list[tuple[str, str, str]]:
    """Return (variable, default, meaning) of every setting, for the documentation."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else _text(field.default)
        rows.append((f"MAAS_{name.upper()}", default, field.description or ""))
    return rows


def markdown_table() -> str:
    """Return the settings as the README shows them."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |" for name, default, meaning in table()]
    return "\n".join(lines)
