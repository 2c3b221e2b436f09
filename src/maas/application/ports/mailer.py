"""The port for sending mail."""

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Mail:
    """A plain text mail to one address."""

    to: str
    subject: str
    text: str


class Mailer(ABC):
    """Hands mail over to be delivered."""

    @abstractmethod
    def send(self, mail: Mail) -> bool:
        """Hand the mail over; False where no mail goes out, with the cause in the log."""
