"""What every mailer does."""

import email
import socketserver
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email import policy
from pathlib import Path

import pytest

from maas.adapters.clock.memory import ManualClock
from maas.adapters.mailer.folder import FolderMailer
from maas.adapters.mailer.memory import MemoryMailer
from maas.adapters.mailer.smtp import SmtpMailer
from maas.application.ports.mailer import Mail, Mailer

TOKEN = "q8Z_" * 10 + "x-Y"
MAIL = Mail(to="alice@example.com", subject="Confirm / 验证邮箱", text=f"Your token / 您的令牌:\n\n{TOKEN}\n\nPOST http://here\n")


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mails by SMTP, without encryption; `refuses` makes it say no to every recipient."""

    daemon_threads = True
    refuses = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailConversation)
        self.mails: list[bytes] = []
        self.commands: list[str] = []


class MailConversation(socketserver.StreamRequestHandler):
    """One client of the mail server."""

    server: MailServer

    def handle(self) -> None:
        self.say("220 tests")
        while line := self.rfile.readline():
            command = line.decode().strip()
            self.server.commands.append(command)
            if command.upper() == "DATA":
                self.take_mail()
            else:
                self.say(self.answer(command))
            if command.upper() == "QUIT":
                return

    def answer(self, command: str) -> str:
        verb = command[:4].upper()
        if verb == "EHLO":
            return "250-tests\r\n250-AUTH PLAIN\r\n250-SMTPUTF8\r\n250 8BITMIME"
        if verb == "AUTH":
            return "235 welcome"
        if verb == "RCPT" and self.server.refuses:
            return "550 nobody of that name"
        return "250 fine"

    def take_mail(self) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        self.server.mails.append(b"".join(lines))
        self.say("250 taken")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass
class Post:
    """A mailer, and what arrived of what it sent."""

    mailer: Mailer
    arrived: Callable[[], Sequence[Mail]]
    break_down: Callable[[], object]


@pytest.fixture(params=["memory", "folder", "smtp"])
def post(request: pytest.FixtureRequest, tmp_path: Path) -> Post:
    if request.param == "memory":
        memory = MemoryMailer()
        return Post(memory, lambda: memory.sent, lambda: setattr(memory, "works", False))
    if request.param == "folder":
        folder = tmp_path / "mails"
        mailer = FolderMailer(folder, sender="maas@localhost", clock=ManualClock())
        arrived = lambda: [read(path.read_bytes()) for path in sorted(folder.iterdir())]  # noqa: E731
        return Post(mailer, arrived, lambda: folder.write_text("in the way"))
    server: MailServer = request.getfixturevalue("mail_server")
    smtp = smtp_mailer(server)
    return Post(smtp, lambda: [read(mail) for mail in server.mails], lambda: setattr(server, "refuses", True))


def smtp_mailer(server: MailServer, *, credentials: str = "") -> SmtpMailer:
    url = f"smtp://{credentials}127.0.0.1:{server.server_address[1]}"
    return SmtpMailer(url=url, sender="maas@example.com", clock=ManualClock())


def read(raw: bytes) -> Mail:
    message = email.message_from_bytes(raw, policy=policy.default)
    return Mail(to=str(message["To"]), subject=str(message["Subject"]), text=message.get_content().replace("\r\n", "\n"))


def test_a_mail_arrives_as_it_was_written(post: Post) -> None:
    assert post.mailer.send(MAIL)
    assert post.arrived() == [MAIL]


def test_mails_arrive_in_order(post: Post) -> None:
    mails = [Mail(to=f"p{number}@example.com", subject="s", text="t\n") for number in range(3)]
    for mail in mails:
        post.mailer.send(mail)

    assert post.arrived() == mails


def test_an_address_may_have_letters_of_any_script(post: Post) -> None:
    mail = Mail(to="用户@example.com", subject="s", text="t\n")
    post.mailer.send(mail)

    assert post.arrived() == [mail]


def test_a_mail_that_does_not_go_out_is_told(post: Post) -> None:
    post.break_down()

    assert post.mailer.send(MAIL) is False


def test_files_of_mails_are_for_their_owner_and_can_be_read_as_they_are(tmp_path: Path) -> None:
    FolderMailer(tmp_path / "mails", sender="maas@localhost", clock=ManualClock()).send(MAIL)

    (path,) = (tmp_path / "mails").iterdir()
    lines = path.read_text().splitlines()
    assert path.suffix == ".eml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "To: alice@example.com" in lines
    assert TOKEN in lines


def test_a_token_is_not_cut_by_the_encoding(mail_server: MailServer) -> None:
    smtp_mailer(mail_server).send(MAIL)

    assert TOKEN.encode() in mail_server.mails[0].splitlines()


def test_signs_in_with_the_credentials_of_the_address(mail_server: MailServer) -> None:
    assert smtp_mailer(mail_server, credentials="me:p%40ss@").send(MAIL)
    assert any(command.startswith("AUTH PLAIN") for command in mail_server.commands)


def test_a_server_that_is_away_is_told() -> None:
    assert SmtpMailer(url="smtp://127.0.0.1:1", sender="maas@example.com", clock=ManualClock()).send(MAIL) is False


@pytest.mark.parametrize("url", ["http://host", "smtp://", "host:25"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="smtp://"):
        SmtpMailer(url=url, sender="maas@example.com", clock=ManualClock())
