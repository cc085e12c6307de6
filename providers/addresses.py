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
