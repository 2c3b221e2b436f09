"""A mailer that keeps what it was handed."""

from maas.application.ports.mailer import Mail, Mailer


class MemoryMailer(Mailer):
    """Keeps mails in `sent`; with `works` False none goes out."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.works = True

    def send(self, mail: Mail) -> bool:
        if self.works:
            self.sent.append(mail)
        return self.works
