"""The whole platform in this process, on adapters that keep everything in memory: for unit tests of routes and use cases."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from dependency_injector import providers
from flask import Flask

from maas.adapters.broadcaster.memory import MemoryBroadcaster
from maas.adapters.clock.memory import ManualClock
from maas.adapters.embedder.hashing import HashingEmbedder
from maas.adapters.file_store.memory import MemoryFileStore
from maas.adapters.hardware_probe.memory import FixedHardwareProbe
from maas.adapters.mailer.memory import MemoryMailer
from maas.adapters.password_hasher.memory import Sha256PasswordHasher
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.rate_limiter.memory import MemoryRateLimiter
from maas.adapters.replica_runtime.memory import MemoryReplicaRuntime
from maas.adapters.secret_box.memory import MemorySecretBox
from maas.adapters.text_generator.scripted import ScriptedTextGenerator
from maas.adapters.token_signer.jwt import JwtTokenSigner
from maas.adapters.usage_journal.memory import MemoryUsageJournal
from maas.application.actor import Actor
from maas.application.work import WorkHandler
from maas.container import Container
from maas.domain.identity import Role
from maas.entrypoints.api.assembly import assemble
from maas.entrypoints.worker.loop import Worker, WorkerOptions
from maas.settings import Settings

PASSWORD = "correct horse battery"
Client = Any
"""Flask's test client; the JSON of its answers is taken to be there."""


@dataclass
class House:
    """A platform of one's own. `overrides` replace providers of the container by name; `settings` are settings by name."""

    data_dir: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.database = MemoryDatabase(self.clock)
        self.broadcaster = MemoryBroadcaster()
        self.database.hearers.append(self.broadcaster.announce)
        self.files = MemoryFileStore()
        self.mailer = MemoryMailer()
        self.writer = ScriptedTextGenerator()
        self.embedder = HashingEmbedder()
        self.usage_journal = MemoryUsageJournal()
        self.hardware = FixedHardwareProbe()
        self.runtime = MemoryReplicaRuntime(obliging=True)
        # Limits that tests do not speak of are out of their way.
        roomy = {"limit_uploads": 1_000, "limit_deployments": 1_000, "limit_registrations": 1_000}
        self.container = Container(settings=Settings(data_dir=self.data_dir, **{**roomy, **self.settings}))
        self._override(
            clock=self.clock,
            unit_of_work=self.database,
            broadcaster=self.broadcaster,
            file_store=self.files,
            secret_box=MemorySecretBox(),
            token_signer=JwtTokenSigner(secret=b"a secret of thirty-two bytes, or more"),
            password_hasher=Sha256PasswordHasher(),
            mailer=self.mailer,
            rate_limiter=MemoryRateLimiter(self.clock),
            text_generator=self.writer,
            embedder=self.embedder,
            usage_journal=self.usage_journal,
            hardware_probe=self.hardware,
            replica_runtime=self.runtime,
            **self.overrides,
        )

    def _override(self, **instances: Any) -> None:
        for name, instance in instances.items():
            getattr(self.container, name).override(providers.Object(instance))

    @cached_property
    def app(self) -> Flask:
        return assemble(self.container)

    @cached_property
    def client(self) -> Client:
        return self.app.test_client()

    def sign_up(self, username: str = "alice", *, role: Role = Role.USER) -> dict[str, str]:
        """Make an account, sign in, and return the headers of its calls (messages in English)."""
        self.container.accounts().create(username=username, email=f"{username}@example.com", password=PASSWORD, role=role)
        return self.sign_in(username)

    def sign_in(self, username: str) -> dict[str, str]:
        signed_in = self.container.sign_in().sign_in(email=f"{username}@example.com", password=PASSWORD, address="192.0.2.1")
        return {"Authorization": f"Bearer {signed_in.tokens.access_token}", "Accept-Language": "en"}

    def key(self, headers: Mapping[str, str], *permissions: str) -> dict[str, str]:
        """Return the headers of calls with a new API key of the account."""
        secret = self.container.api_keys().create(self.actor(headers), name="key", permissions=list(permissions)).secret
        return {"X-API-Key": secret, "Accept-Language": "en"}

    def actor(self, headers: Mapping[str, str]) -> Actor:
        """Return who calls with these headers."""
        actor: Actor = self.container.authentication().authenticate(headers["Authorization"].removeprefix("Bearer "))
        return actor

    def user_id(self, headers: Mapping[str, str]) -> UUID:
        return self.actor(headers).user_id

    @cached_property
    def worker(self) -> Worker:
        """A worker without threads: `house.work()` makes it do all that is due."""
        handlers: list[WorkHandler] = list(self.container.work_handlers())
        return Worker(
            handlers=handlers,
            reactions=self.container.reactions(),
            unit_of_work=self.database,
            broadcaster=self.broadcaster,
            clock=self.clock,
            options=WorkerOptions(),
            ending=threading.Event(),
        )

    def reconcile(self) -> None:
        """Let the controller look at the deployments until all that was asked for is true; engines oblige at once."""
        for _ in range(8):
            self.container.deployment_controller().reconcile(self.clock.now())
            self.clock.advance(timedelta(seconds=1))

    def work(self) -> int:
        """Do all work that is due now; return how much there was."""
        done = 0
        while self.worker.take_one():
            done += 1
        return done
