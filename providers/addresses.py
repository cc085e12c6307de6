"""Which network addresses are never called: link-local and cloud metadata, however they are spelled.

Private and loopback addresses are fine for a provider (Ollama, vLLM): operators choose those. The metadata services
hand out the machine's own credentials, and nobody runs a model there.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
REFUSED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata service of most clouds
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS over IPv6
        "100.100.100.200/32",  # Alibaba Cloud
        "168.63.129.16/32",  # Azure's wire server
        "192.0.0.192/32",  # Oracle Cloud
        "0.0.0.0/32",
        "::/128",
    )
)
NAT64 = ip_network("64:ff9b::/96")


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one carries (mapped, 6to4, NAT64), else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def refused(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether the address ``text`` must not be called. Raises ValueError if it is no address."""
    address = _plain(ip_address(text.split("%", 1)[0]))
    if any(address in network for network in allowed):
        return False
    return any(address in network for network in REFUSED)


#: What is not on the public internet (IANA's special-purpose registries), and tunnels whose other end nobody knows.
NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        # All of IPv6 but 2000::/3: loopback, unique local, link-local, site-local, multicast, unassigned.
        "::/3",
        "4000::/2",
        "8000::/1",
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "3ffe::/16",  # given back
        "3fff::/20",  # documentation
        "2002::/16",  # 6to4
    )
)
SIX_TO_FOUR = ip_network("2002::/16")


def public(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether a client's URL may lead to the address ``text``. Raises ValueError if it is no address.

    ``allowed`` lets others through. One of ``REFUSED`` it lets through only by a network within the refused one: who
    allows 100.64.0.0/10 has not asked for the metadata service in it.
    """
    address = ip_address(text.split("%", 1)[0])
    if address not in SIX_TO_FOUR:
        address = _plain(address)
    never = [network for network in REFUSED if address in network]
    for network in allowed:
        if address in network and (not never or any(_within(network, wider) for wider in never)):
            return True
    return not never and not any(address in network for network in NOT_PUBLIC)


def _within(network: Network, wider: Network) -> bool:
    return network.network_address in wider and network.prefixlen >= wider.prefixlen
