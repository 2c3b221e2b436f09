"""The network address of a caller: the peer's own, or what a trusted proxy says of it."""

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_HEADER = 2000


class TrustedProxies:
    """Those whose `X-Forwarded-For` counts, by address or network; nobody's else does."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Raise ValueError for what is neither an address nor a network."""
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(network, strict=False) for network in networks)

    def client_of(self, peer: str, forwarded_for: str | None) -> str:
        """Return who called: the last address of the header that no trusted proxy has, if the peer is one."""
        if not self._networks or forwarded_for is None or not self._trusts(_parsed(peer)):
            return peer
        client = peer
        for entry in reversed(forwarded_for[-_LONGEST_HEADER:].split(",")):
            address = _parsed(entry.strip())
            if address is None:
                break
            client = str(address)
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
