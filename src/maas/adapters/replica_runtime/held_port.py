"""A port of this machine that belongs to one engine, and to nobody after it for a while."""

import socket

_BACKLOG = 512


class HeldPort:
    """Keeps a port of 127.0.0.1 from everybody else.

    A bound socket that does not listen holds the port beside the one that does: when the engine has ended, a client that still
    knows the address is refused, where it would otherwise meet whoever got the port next.
    """

    def __init__(self) -> None:
        self._holder = _socket()
        self._holder.bind(("127.0.0.1", 0))
        self.number: int = self._holder.getsockname()[1]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.number}"

    def listen(self) -> socket.socket:
        """Return a socket that listens on the port, for a child to inherit."""
        listener = _socket()
        try:
            listener.bind(("127.0.0.1", self.number))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener

    def release(self) -> None:
        self._holder.close()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Two sockets may share a port where both say so and at most one of them listens.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made
