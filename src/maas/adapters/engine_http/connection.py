"""A kept connection to an engine, on which silence can be waited out second by second."""

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

TICK_SECONDS = 1.0
_CONNECT_SECONDS = 3.0
_SEND_SECONDS = 20.0
_READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Endpoint:
    """Where an engine listens."""

    host: str
    port: int
    path: str
    is_tls: bool
    authority: str

    def call(self, path: str, content: bytes, *, authorization: str | None = None) -> bytes:
        """Return a POST of JSON, as it is sent."""
        head = [
            f"POST {self.path}{path} HTTP/1.1",
            f"Host: {self.authority}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            "Accept-Encoding: identity",
        ]
        if authorization is not None:
            head.append(f"Authorization: {authorization}")
        return "\r\n".join([*head, "", ""]).encode("latin-1") + content


@lru_cache(maxsize=4096)
def endpoint_of(address: str) -> Endpoint:
    """Read an address such as `http://127.0.0.1:8080` or `https://tgi.example/path`."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{address!r} is no address of an engine")
    is_tls = parts.scheme == "https"
    return Endpoint(
        host=parts.hostname,
        port=parts.port or (443 if is_tls else 80),
        path=parts.path.rstrip("/"),
        is_tls=is_tls,
        authority=parts.netloc.rpartition("@")[2],
    )


class EngineConnection:
    """One connection, used by one call at a time.

    Not http.client's: that reads through a buffered file which is dead for good after its first timeout, so that a stream
    could not send heartbeats while its engine is silent.
    """

    def __init__(self, endpoint: Endpoint, tls: ssl.SSLContext | None) -> None:
        """Connect, or raise OSError."""
        connected = socket.create_connection((endpoint.host, endpoint.port), timeout=_CONNECT_SECONDS)
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = tls.wrap_socket(connected, server_hostname=endpoint.host) if tls else connected
        except BaseException:
            connected.close()
            raise

    def send(self, call: bytes) -> None:
        self._socket.settimeout(_SEND_SECONDS)
        self._socket.sendall(call)
        self._socket.settimeout(TICK_SECONDS)

    def receive(self) -> bytes | None:
        """Return what comes next, b"" at the end, and None after a second of silence."""
        try:
            return self._socket.recv(_READ_BYTES)
        except TimeoutError:
            return None

    def has_ended(self) -> bool:
        """Tell whether an idle connection was closed by the engine, or holds what nobody asked for."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    def shut(self) -> None:
        """End the connection under a thread that waits for it; the thread finds its end."""
        # The plain socket's own: TLS's would take the state away from under the thread that reads.
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
