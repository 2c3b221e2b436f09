"""The use cases of accounts on adapters in memory."""

from dataclasses import dataclass, field

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.mailer.memory import MemoryMailer
from maas.adapters.password_hasher.memory import Sha256PasswordHasher
from maas.adapters.persistence.memory.unit_of_work import MemoryDatabase
from maas.adapters.rate_limiter.memory import MemoryRateLimiter
from maas.adapters.token_signer.jwt import JwtTokenSigner
from maas.application.actor import Actor
from maas.application.identity import Accounts, Authentication, PersonalApiKeys, SignedIn, SignIn
from maas.domain.identity import User

PASSWORD = "correct horse battery"
ADDRESS = "192.0.2.1"


@dataclass
class Desk:
    """Where people register and sign in."""

    registration_open: bool = True
    clock: ManualClock = field(default_factory=ManualClock)
    mailer: MemoryMailer = field(default_factory=MemoryMailer)

    def __post_init__(self) -> None:
        self.database = MemoryDatabase(self.clock)
        self.tokens = JwtTokenSigner(secret=b"a secret of thirty-two bytes, or more")
        self.limiter = MemoryRateLimiter(self.clock)
        passwords = Sha256PasswordHasher()
        self.authentication = self.another_process()
        self.sign_in = SignIn(
            unit_of_work=self.database,
            passwords=passwords,
            tokens=self.tokens,
            limiter=self.limiter,
            authentication=self.authentication,
            clock=self.clock,
        )
        self.accounts = Accounts(
            unit_of_work=self.database,
            passwords=passwords,
            mailer=self.mailer,
            limiter=self.limiter,
            sign_in=self.sign_in,
            clock=self.clock,
            registration_open=self.registration_open,
            public_url="https://maas.example/",
        )
        self.api_keys = PersonalApiKeys(unit_of_work=self.database, authentication=self.authentication, clock=self.clock)

    def another_process(self) -> Authentication:
        """Return what tells callers in a process of its own."""
        return Authentication(unit_of_work=self.database, tokens=self.tokens, clock=self.clock)

    def register(self, username: str = "alice") -> User:
        return self.accounts.register(username=username, email=f"{username}@example.com", password=PASSWORD).user

    def login(self, username: str = "alice", *, password: str = PASSWORD, address: str = ADDRESS) -> SignedIn:
        return self.sign_in.sign_in(email=f"{username}@example.com", password=password, address=address)

    def actor(self, username: str = "alice") -> Actor:
        """Register somebody and sign them in."""
        self.register(username)
        return self.authentication.authenticate(self.login(username).tokens.access_token)

    def mailed_token(self) -> str:
        """Return the token of the newest mail."""
        return self.mailer.sent[-1].text.split("\n")[2]


@pytest.fixture
def desk() -> Desk:
    return Desk()
