"""What kind of address one is, by where it stands in the address space.

Belongs here: the closed list of classes, and the prefixes of IANA's special-purpose registries and
of the Azure platform that decide it. Azure's public ranges belong to `azure_ranges`.
"""

from __future__ import annotations

from enum import StrEnum

from flow_pipeline.enrichment.prefixes import PrefixTable


class AddressClass(StrEnum):
    """Every address has exactly one."""

    AZURE_PLATFORM = "azure_platform"
    PRIVATE = "private"
    SHARED = "shared"
    LINK_LOCAL = "link_local"
    LOOPBACK = "loopback"
    MULTICAST = "multicast"
    DOCUMENTATION = "documentation"
    UNIQUE_LOCAL = "unique_local"
    UNSPECIFIED = "unspecified"
    RESERVED = "reserved"
    AZURE = "azure"
    PUBLIC = "public"


_PREFIXES: tuple[tuple[AddressClass, tuple[str, ...]], ...] = (
    # Health probes, DNS and DHCP; the metadata service. The same in every region and cloud.
    (AddressClass.AZURE_PLATFORM, ("168.63.129.16", "169.254.169.254")),
    (AddressClass.PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    # Carrier-grade NAT (RFC 6598); virtual networks may use it, too.
    (AddressClass.SHARED, ("100.64.0.0/10",)),
    (AddressClass.LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (AddressClass.LOOPBACK, ("127.0.0.0/8", "::1")),
    (AddressClass.MULTICAST, ("224.0.0.0/4", "ff00::/8")),
    (
        AddressClass.DOCUMENTATION,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    ),
    (AddressClass.UNIQUE_LOCAL, ("fc00::/7",)),
    (AddressClass.UNSPECIFIED, ("0.0.0.0/32", "::")),
    (
        AddressClass.RESERVED,
        # "This network", protocol assignments, benchmarks, and what was kept for later. Of IPv6
        # whatever is not handed out.
        ("0.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "::/0", "2001::/23"),
    ),
    # The public part of IPv6, and the one prefix outside it that leads to public IPv4 (NAT64).
    (AddressClass.PUBLIC, ("0.0.0.0/0", "2000::/3", "64:ff9b::/96")),
)
_CLASSES = PrefixTable(
    (prefix, address_class) for address_class, prefixes in _PREFIXES for prefix in prefixes
)


def class_of(address: str) -> AddressClass:
    """The class of a canonical address; `public` for all of Azure's own but the platform's."""
    found = _CLASSES.longest(address)
    assert found is not None, "the prefixes cover both address spaces"
    return found
