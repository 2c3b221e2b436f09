"""The network address of a caller."""

import pytest

from maas.entrypoints.http.client_address import TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.1", None, "203.0.113.1"),
        ("203.0.113.1", "198.51.100.1", "203.0.113.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1,10.9.9.9 , 192.0.2.7", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.2.3.4, nonsense", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "10.0.0.1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("", "198.51.100.1", ""),
        ("10.0.0.1", "198.51.100.1, " + "10.0.0.2, " * 10_000 + "10.0.0.3", "10.0.0.2"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded_for: str | None, client: str) -> None:
    assert PROXIES.client_of(peer, forwarded_for) == client


def test_by_default_nobody_is_trusted() -> None:
    assert TrustedProxies().client_of("127.0.0.1", "198.51.100.1") == "127.0.0.1"


@pytest.mark.parametrize("network", ["nonsense", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        TrustedProxies([network])
