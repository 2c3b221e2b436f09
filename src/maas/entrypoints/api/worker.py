"""Gunicorn's threaded worker, hardened: no client that is slow, silent or gone holds up the others."""

import errno
import socket
import ssl
import struct
import sys
import types
from typing import Any

from gunicorn import glogging
from gunicorn.workers import gthread

from maas.entrypoints.api.reaper import ConnectionReaper
from maas.entrypoints.http.event_stream import STREAMING
from maas.entrypoints.lifeline import die_with_parent

IO_SECONDS = 20
HEAD_SECONDS = 20.0
LINGER_SECONDS = 2.0
# What the kernel may hold for a client that does not read.
UNSENT_BYTES = 256 * 1024
_TIMEVAL = struct.pack("ll", IO_SECONDS, 0)
_PASSING = (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK)

# A connection that is silent at first waits with the poller, not on a thread.
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.02


class Connection(gthread.TConn):  # type: ignore[misc] # gunicorn is untyped
    """A connection that says goodbye on another thread than the one that accepts."""

    reaper: ConnectionReaper

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        if graceful:
            self.reaper.linger(self.sock)
        else:
            super().close()


class HardenedWorker(gthread.ThreadWorker):  # type: ignore[misc] # gunicorn is untyped
    """The worker of the API."""

    def init_process(self) -> None:
        die_with_parent()
        self.reaper = ConnectionReaper(head_seconds=HEAD_SECONDS, linger_seconds=LINGER_SECONDS)
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Accept a connection, and bound how long it may keep a thread waiting."""
        try:
            connected, address = listener.accept()
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        except OSError as error:
            if error.errno not in _PASSING:
                raise
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, connected, address, listener.getsockname())
        connection.reaper = self.reaper
        self.enqueue_req(connection)

    def handle(self, conn: Connection) -> Any:
        self.reaper.expect_head(conn)
        try:
            return super().handle(conn)
        finally:
            self.reaper.head_read(conn)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        self.reaper.head_read(conn)
        return super().handle_request(req, conn)

    def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
        """Begin to drain: gunicorn alone would cut streams off without running their `finally`."""
        streaming = getattr(self.wsgi, "extensions", {}).get(STREAMING)
        if streaming is not None:
            streaming.draining.begin()
        super().handle_exit(sig, frame)


class ServerLog(glogging.Logger):  # type: ignore[misc] # gunicorn is untyped
    """Gunicorn's log as lines of ours; its access log is not used, the application writes one."""

    def setup(self, cfg: Any) -> None:
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(self.LOG_LEVELS.get(cfg.loglevel, self.loglevel))

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Tell of slow clients without a traceback: they are no fault of ours."""
        if isinstance(sys.exc_info()[1], (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)):
            self.error_log.info("a client was too slow")
        else:
            super().exception(msg, *args, **kwargs)
