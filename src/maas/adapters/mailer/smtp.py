"""Mails handed over to an SMTP server."""

import ipaddress
import logging
import smtplib
import ssl
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from urllib.parse import unquote, urlsplit

from maas.application.ports.clock import Clock
from maas.application.ports.mailer import Mail, Mailer

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_SUBMISSION_PORT, _SUBMISSIONS_PORT = 587, 465


class SmtpMailer(Mailer):
    """Hands mails to the server at `url`: `smtp://[user:password@]host[:587]`, or `smtps://…[:465]` for TLS from the start.

    With `smtp` TLS is begun where the server offers it; a password is never sent without it, but to this machine itself.
    """

    def __init__(self, *, url: str, sender: str, clock: Clock, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("the mail server is written as smtp://[user:password@]host[:port] or smtps://…")
        self._is_tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (_SUBMISSIONS_PORT if self._is_tls else _SUBMISSION_PORT)
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password or "")
        self._sender = sender
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def send(self, mail: Mail) -> bool:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2] or None)
        # Short lines of ASCII stay as they are in it, so that a token can be copied from whatever shows the mail.
        message.set_content(mail.text, cte="quoted-printable")
        try:
            with closing(self._connected()) as server:
                server.send_message(message)
                # The mail is taken: how the server says goodbye no longer matters.
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()
        except (OSError, smtplib.SMTPException, ValueError):
            log.exception("the mail server took no mail")
            return False
        return True

    def _connected(self) -> smtplib.SMTP:
        """Return a connection that is encrypted and signed in, as far as the server allows."""
        context = ssl.create_default_context()
        if self._is_tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_seconds, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout_seconds)
        try:
            self._sign_in(server, context)
        except BaseException:
            server.close()
            raise
        return server

    def _sign_in(self, server: smtplib.SMTP, context: ssl.SSLContext) -> None:
        server.ehlo()
        is_encrypted = self._is_tls
        if not is_encrypted and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
            is_encrypted = True
        if self._user is None:
            return
        if not is_encrypted and not _is_this_machine(self._host):
            raise smtplib.SMTPException("the server offers no encryption, and a password goes over none")
        server.login(self._user, self._password)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
