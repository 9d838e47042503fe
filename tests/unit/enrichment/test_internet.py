"""What SQL calls the internet is what an address's class says, for every canonical address.

The macro is rendered by itself, as dbt renders it for DuckDB.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import duckdb
import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.enrichment.address_class import AddressClass, class_of

# Each prefix of the special-purpose registries, and of the parts of IPv6 that are handed out.
PREFIXES = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
    "169.254.0.0/16", "169.254.169.254/32", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "240.0.0.0/4", "::/128", "::1/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",
    "100::/64", "2000::/3", "2001::/23", "2001:db8::/32", "3fff::/20", "fc00::/7", "fe80::/10",
    "ff00::/8",
)  # fmt: skip
# Azure's public addresses are public to `class_of`; that they are Azure's is told by its ranges.
INTERNET = {AddressClass.PUBLIC, AddressClass.AZURE, AddressClass.DOCUMENTATION}


@pytest.fixture(scope="module")
def connection(project_dir: Path) -> duckdb.DuckDBPyConnection:
    source = (project_dir / "dbt_project/macros/internet.sql").read_text()
    # What is made is SQL, no HTML.
    environment = jinja2.Environment(autoescape=jinja2.select_autoescape(default_for_string=False))
    macros: dict[str, object] = {}

    class Adapter:
        """Finds DuckDB's form of a macro, as dbt's adapter does."""

        def dispatch(self, name: str, _package: str) -> object:
            return macros[f"duckdb__{name}"]

    template = environment.from_string(source)
    module = template.make_module({"adapter": Adapter(), "return": lambda value: value})
    macros["duckdb__matches"] = module.duckdb__matches  # pyright: ignore[reportAttributeAccessIssue]
    condition = str(module.is_internet("ip")).strip()  # pyright: ignore[reportAttributeAccessIssue]
    connection = duckdb.connect(":memory:")
    connection.execute(f"create macro is_internet(ip) as {condition}")
    return connection


def told(connection: duckdb.DuckDBPyConnection, addresses: list[str]) -> dict[str, bool]:
    query = "select ip, is_internet(ip) from (select unnest(?::varchar[]) as ip)"
    return dict(connection.execute(query, [addresses]).fetchall())


def by_class(addresses: list[str]) -> dict[str, bool]:
    return {address: class_of(address) in INTERNET for address in addresses}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_both_agree_at_the_edges_of_every_prefix(
    connection: duckdb.DuckDBPyConnection, prefix: str
) -> None:
    network = ip_network(prefix)
    first, last = int(network.network_address), int(network.broadcast_address)
    kind = IPv4Address if network.version == 4 else IPv6Address
    highest = (1 << network.max_prefixlen) - 1
    edges = {
        n for n in (first - 1, first, first + 1, last - 1, last, last + 1) if 0 <= n <= highest
    }
    addresses = [str(kind(number)) for number in sorted(edges)]
    assert told(connection, addresses) == by_class(addresses)


def test_each_kind_of_address_is_asked(connection: duckdb.DuckDBPyConnection) -> None:
    asked = told(connection, ["20.50.201.195", "192.0.2.95", "2001:db8::1", "::ffff:20.50.0.1"])
    assert list(asked.values()) == [True, True, True, False]
    asked = told(connection, ["168.63.129.16", "169.254.169.254", "100.64.0.9", "fd00::1", "::1"])
    assert set(asked.values()) == {False}


# Anywhere, and near the edges, where a regular expression goes wrong.
IPV4 = st.one_of(
    st.ip_addresses(v=4),
    st.builds(
        lambda prefix, bits: ip_network(prefix)[0] + bits,
        st.sampled_from([prefix for prefix in PREFIXES if ":" not in prefix]),
        st.integers(0, 1 << 17),
    ),
)
IPV6 = st.one_of(
    st.ip_addresses(v=6),
    st.builds(
        lambda groups: IPv6Address(":".join(f"{group:x}" for group in groups)),
        st.lists(
            st.sampled_from([0, 1, 0x64, 0x1FF, 0x200, 0xFF9B, 0x2001, 0xDB8, 0xFE80, 0x3FFF]),
            min_size=8,
            max_size=8,
        ),
    ),
)


@given(st.lists(st.one_of(IPV4, IPV6), min_size=1, max_size=50))
def test_both_agree_everywhere(
    connection: duckdb.DuckDBPyConnection, found: list[IPv4Address | IPv6Address]
) -> None:
    addresses = [str(address) for address in found]
    assert told(connection, addresses) == by_class(addresses)
