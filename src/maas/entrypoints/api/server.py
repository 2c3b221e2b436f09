"""Running the API under gunicorn."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from maas.entrypoints.http.measures import MULTIPROCESS_FOLDER

THREADS = 640
GRACEFUL_SECONDS = 28
KEEPALIVE_SECONDS = 30
_MEMORY = "/dev/shm"  # noqa: S108 - where gunicorn advises to keep its heartbeats


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where and how to serve. `listen_fd`, an inherited listening socket, goes before host and port."""

    host: str = "127.0.0.1"
    port: int = 8000
    listen_fd: int | None = None
    workers: int = 1
    threads: int = THREADS
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    log_level: str = "info"

    @property
    def bind(self) -> str:
        if self.listen_fd is not None:
            return f"fd://{self.listen_fd}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def run_api(make_app: Callable[[], Flask], options: ServerOptions) -> None:
    """Serve until SIGTERM, then drain and exit with status 0.

    `make_app` is called once in each worker, after the fork: connections and threads do not live through one.
    """
    if options.workers > 1 and MULTIPROCESS_FOLDER not in os.environ:
        os.environ[MULTIPROCESS_FOLDER] = tempfile.mkdtemp(prefix="maas-measures-")
    _Server(make_app, options).run()


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn is untyped
    def __init__(self, make_app: Callable[[], Flask], options: ServerOptions) -> None:
        self._make_app = make_app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in _configuration(self._options).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()


def _configuration(options: ServerOptions) -> dict[str, Any]:
    return {
        "bind": [options.bind],
        "workers": options.workers,
        "threads": options.threads,
        # One connection may wait for its turn beside each that is served.
        "worker_connections": options.threads * 4,
        "worker_class": "maas.entrypoints.api.worker.HardenedWorker",
        "logger_class": "maas.entrypoints.api.worker.ServerLog",
        "loglevel": options.log_level,
        "certfile": str(options.tls_certificate) if options.tls_certificate else None,
        "keyfile": str(options.tls_key) if options.tls_key else None,
        "keepalive": KEEPALIVE_SECONDS,
        "timeout": 60,
        "graceful_timeout": GRACEFUL_SECONDS,
        "limit_request_line": 8190,
        # The peer's own address and scheme count; the application knows which proxies to trust.
        "forwarded_allow_ips": "",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "control_socket_disable": True,
        "worker_tmp_dir": _MEMORY if Path(_MEMORY).is_dir() else None,
        "proc_name": "maas api",
    }
