"""A child within walls reaches what it was given, and nothing else."""

import ctypes
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

VERSION = ctypes.CDLL(None, use_errno=True).syscall(444, None, ctypes.c_size_t(0), 1)
needs_walls = pytest.mark.skipif(VERSION < 3, reason="this kernel has no Landlock, or an early one")

PROGRAM = """
import sys
from pathlib import Path
from maas.programs.walls import confine

assert confine(readable=[Path(sys.argv[1])], writable=[Path(sys.argv[2])])
exec(sys.argv[3])
"""


def within_walls(folder: Path, code: str) -> str:
    """Return the name of the error that `code` raises within walls, or what it prints."""
    readable, writable = folder / "readable", folder / "writable"
    for given in (readable, writable, folder / "secret"):
        given.mkdir(exist_ok=True)
        (given / "file").write_text("content")
    attempt = f"""
try:
    {code}
except BaseException as error:
    print(type(error).__name__)
"""
    command = [sys.executable, "-c", PROGRAM, str(readable), str(writable), attempt]
    environment = {**os.environ, "TMPDIR": str(writable)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@needs_walls
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("print(open('readable/file').read())", "content"),
        ("open('readable/file', 'w')", "PermissionError"),
        ("open('writable/new', 'w').write('x'); print(open('writable/new').read())", "x"),
        ("import shutil; Path('writable/a').mkdir(); Path('writable/a').rename('writable/b'); print('moved')", "moved"),
        ("import tempfile; tempfile.TemporaryFile().write(b'x'); print('kept')", "kept"),
        ("open('secret/file')", "PermissionError"),
        ("open('secret/new', 'w')", "PermissionError"),
        ("import os; print(os.listdir('secret'))", "PermissionError"),
        ("import os; open(f'/proc/{os.getppid()}/environ').read()", "PermissionError"),
        ("import json, ssl, sqlite3, mimetypes; mimetypes.init(); print('imported')", "imported"),
    ],
)
def test_files_are_reached_as_they_were_given(code: str, outcome: str, tmp_path: Path) -> None:
    assert within_walls(tmp_path, code) == outcome


@pytest.mark.skipif(VERSION < 4, reason="this kernel's Landlock knows no sockets")
def test_no_connection_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        assert within_walls(tmp_path, f"import socket; socket.create_connection(('127.0.0.1', {port}), 5)") == "PermissionError"


@pytest.mark.skipif(VERSION < 6, reason="this kernel's Landlock knows no signals")
def test_no_process_outside_is_signalled(tmp_path: Path) -> None:
    assert within_walls(tmp_path, "import os; os.kill(os.getppid(), 0)") == "PermissionError"


def test_walls_that_the_system_does_not_know_are_told() -> None:
    program = "from maas.programs import walls; walls._CREATE_RULESET = 100_000; print(walls.confine(readable=[], writable=[]))"

    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert told.strip() == "False"
