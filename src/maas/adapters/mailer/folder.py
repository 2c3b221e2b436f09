"""Mails as files, where no mail server is configured."""

import logging
import os
from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import format_datetime
from pathlib import Path

from maas.application.ports.clock import Clock
from maas.application.ports.mailer import Mail, Mailer
from maas.domain.identifiers import new_id

log = logging.getLogger(__name__)

# Whoever opens the file finds every header on one line, and the text as it was written.
_POLICY = SMTPUTF8.clone(max_line_length=None, linesep="\n")


class FolderMailer(Mailer):
    """Writes each mail into a folder as one `.eml` file that its owner alone may read; the names sort by time."""

    def __init__(self, folder: Path, *, sender: str, clock: Clock) -> None:
        self._folder = folder
        self._sender = sender
        self._clock = clock

    def send(self, mail: Mail) -> bool:
        message = EmailMessage(policy=_POLICY)
        message["From"] = self._sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock.now())
        message.set_content(mail.text, cte="8bit")
        try:
            self._write(bytes(message))
        except OSError:
            log.exception("a mail could not be written")
            return False
        return True

    def _write(self, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{new_id()}.eml"
        draft = path.with_suffix(".draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        draft.rename(path)
