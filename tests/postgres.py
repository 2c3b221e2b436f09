"""A Postgres of the tests' own, from the distribution's package, or the one that MAAS_TEST_POSTGRES_URL names."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """Return the folder of the newest installed server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


def is_available() -> bool:
    return "MAAS_TEST_POSTGRES_URL" in os.environ or binaries() is not None


@contextmanager
def running_postgres() -> Iterator[str]:
    """Yield the URL of an empty database."""
    given = os.environ.get("MAAS_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    folder = binaries()
    assert folder is not None
    # The server refuses to run as root, and its sockets' paths must be short.
    user = "postgres" if os.geteuid() == 0 else None
    home = Path(tempfile.mkdtemp(prefix="maas-pg-"))
    try:
        if user:
            shutil.chown(home, user)
        yield from _serve(folder, home, user)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _serve(folder: Path, home: Path, user: str | None) -> Iterator[str]:
    data = home / "data"
    initdb = [
        str(folder / "initdb"),
        "-D",
        str(data),
        "-U",
        "maas",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-sync",
        "--locale=C.UTF-8",
    ]
    subprocess.run(initdb, check=True, user=user, cwd=home, capture_output=True, env={"PATH": os.environ["PATH"]})
    port = _free_port()
    options = [
        "-p",
        str(port),
        "-k",
        str(home),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        "-c",
        "max_connections=60",
    ]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([folder / "postgres", "-D", data, *options], user=user, cwd=home, stdout=log, stderr=log)
        try:
            _wait_until_ready(folder, home, port, server)
            yield f"postgresql://maas@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(timeout=20)


def _wait_until_ready(folder: Path, home: Path, port: int, server: "subprocess.Popen[bytes]") -> None:
    command = [str(folder / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError((home / "log").read_text())
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
        # pg_isready answers at once where nobody listens yet.
        try:
            server.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError("Postgres did not start within half a minute")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
