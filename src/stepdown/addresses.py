"""What an address leads to, as far as its text says: this machine, or what only machines ask. Pure: no name is looked up."""

import ipaddress
import socket
from typing import Final, TypeAlias

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA: Final = frozenset(
    {"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"}
)
"""Names of the services that hand a cloud's machine its own credentials."""

_METADATA_ADDRESSES: Final = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
"""Their addresses outside of the link-local ones: Amazon's, Alibaba's, Oracle's."""


def is_loopback(host: str) -> bool:
    """Whether this machine alone can be meant. A name is taken for what it says: only ``localhost`` is."""
    found = _read(host)
    return found.is_loopback if found is not None else host.lower().rstrip(".") == "localhost"


def is_off_limits(host: str) -> bool:
    """Whether no provider of models can be there: link-local addresses, and the metadata services of clouds.

    Requests that carry a credential, and answers that are passed on, have no business with those. An address counts however it
    is written: ``169.254.169.254`` is also ``2852039166``, ``0xa9fea9fe`` and ``[::ffff:169.254.169.254]``.
    """
    found = _read(host)
    if found is None:
        return host.lower().rstrip(".") in _METADATA
    return found.is_link_local or found in _METADATA_ADDRESSES


def _read(host: str) -> _Address | None:
    """The address that a host is written as; None for a name."""
    bare = host.strip("[]").partition("%")[0]
    try:
        found: _Address = ipaddress.ip_address(bare)
    except ValueError:
        try:
            # Shortened, octal, hexadecimal, in one number: what the system's own reading takes is where it would connect to.
            found = ipaddress.IPv4Address(socket.inet_aton(bare)) if bare[:1].isdigit() else None  # type: ignore[assignment]
        except (OSError, ValueError):
            return None
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found
