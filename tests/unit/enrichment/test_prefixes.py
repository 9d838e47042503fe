"""Prefixes: the longest one decides, and a list that a user wrote is told its faults by line."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.enrichment.networks import Network, NetworkKind, read_networks
from flow_pipeline.enrichment.prefixes import PrefixTable, canonical_prefix
from flow_pipeline.enrichment.scanners import read_scanners
from flow_pipeline.errors import ReferenceDataError

# Few bits, so that prefixes and addresses meet.
bytes4 = st.lists(st.sampled_from([0, 1, 127, 128, 255]), min_size=4, max_size=4).map(bytes)
bytes16 = st.lists(st.sampled_from([0, 1, 255]), min_size=16, max_size=16).map(bytes)
addresses = st.one_of(bytes4, bytes16).map(ip_address)
prefixes = st.one_of(
    st.tuples(bytes4, st.integers(0, 32)), st.tuples(bytes16, st.integers(0, 128))
).map(lambda given: ip_network(given, strict=False))


@given(st.lists(prefixes, unique=True, max_size=40), st.lists(addresses, min_size=1, max_size=20))
def test_the_prefixes_of_an_address_longest_first(networks: list[Any], asked: list[Any]) -> None:
    table = PrefixTable((str(network), str(network)) for network in networks)
    for address in asked:
        holding = [n for n in networks if n.version == address.version and address in n]
        expected = [str(n) for n in sorted(holding, key=lambda n: -n.prefixlen)]
        assert list(table.matches(str(address))) == expected
        assert table.longest(str(address)) == (expected[0] if expected else None)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.4", "10.0.0.4"),
        ("10.0.0.4/32", "10.0.0.4"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8:0::/32", "2001:db8::/32"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("FD00::1", "fd00::1"),
    ],
)
def test_prefixes_are_made_canonical(text: str, prefix: str) -> None:
    assert canonical_prefix(text) == (prefix, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "10.0.0.0/33", "10.0.0/8", "10.0.0.256", "10.0.0.5/16", "2001:db8::1/64",
        "fe80::1%eth0", "fe80::%1/64", "hub", "10.0.0.0/8/8", "10.0.0.0-10.0.0.9", "\x00", "1",
        "::/129", "/8",
    ],
)  # fmt: skip
def test_what_is_no_prefix_is_told(text: str) -> None:
    _, fault = canonical_prefix(text)
    assert fault is not None
    assert fault.isprintable()


@given(st.text(max_size=30))
def test_no_text_is_too_odd(text: str) -> None:
    prefix, fault = canonical_prefix(text)
    assert fault is not None or str(ip_network(prefix))


class TestLists:
    HEADER = "prefix,name,kind,region\n"

    def networks(self, tmp_path: Path, content: str | bytes, header: str = HEADER) -> Path:
        path = tmp_path / "networks.csv"
        if isinstance(content, str):
            content = (header + content).encode()
        path.write_bytes(content)
        return path

    def refusal(self, path: Path) -> str:
        with pytest.raises(ReferenceDataError) as caught:
            read_networks(path)
        assert str(caught.value).isprintable()
        return caught.value.culprit

    def test_the_longest_prefix_names_an_address_whatever_the_order(self, tmp_path: Path) -> None:
        lines = [
            "10.0.0.0/8, Head office, SITE,\n",
            "10.1.0.0/16,hub,vnet,WestEurope\n",
            "10.1.2.0/24,front,subnet,\n",
            "10.1.3.0/24,back,subnet,northeurope\n",
            "10.9.1.0/24,lost,subnet,\n",
            '203.0.113.7,"gateway, old",public,\n',
            "fd00:1::/32,hub,vnet,\n",
        ]
        expected = {
            "10.200.0.1": Network("Head office", NetworkKind.SITE, None, None),
            "10.1.0.4": Network("hub", NetworkKind.VNET, "westeurope", "hub"),
            "10.1.2.4": Network("front", NetworkKind.SUBNET, "westeurope", "hub"),
            "10.1.3.4": Network("back", NetworkKind.SUBNET, "northeurope", "hub"),
            # In no virtual network that is known; the site around it lends it nothing.
            "10.9.1.4": Network("lost", NetworkKind.SUBNET, None, None),
            "203.0.113.7": Network("gateway, old", NetworkKind.PUBLIC, None, None),
            "203.0.113.8": None,
            "fd00:1::4": Network("hub", NetworkKind.VNET, None, "hub"),
            "11.0.0.1": None,
        }
        for ordered in (lines, lines[::-1]):
            networks = read_networks(self.networks(tmp_path, "".join(ordered)))
            assert {ip: networks.network_of(ip) for ip in expected} == expected
            assert networks.count == 7

    def test_every_fault_is_told_by_its_line(self, tmp_path: Path) -> None:
        content = (
            "# ours\n"
            "\n"
            "10.1.0.0/16,hub,vnet,westeurope\n"
            "10.2.0.0/33,spoke,vnet,\n"
            "10.1.0.0/255.255.0.0,hub again,vnet,\n"
            "10.3.0.5/16,third,vnet,\n"
            "10.4.0.0/16,fourth,lan,\n"
            "10.5.0.0/16,,vnet,\n"
            "10.6.0.0/16,sixth,vnet\n"
            '10.7.0.0/16,"seventh,vnet,\n'
            "10.2.0.0/16,spoke,vnet,\n"
        )
        assert self.refusal(self.networks(tmp_path, content)) == (
            f"FLOW_NETWORKS: {tmp_path}/networks.csv: "
            "line 5: '10.2.0.0/33' is no prefix; "
            "line 6: 10.1.0.0/16 is on line 4 already; "
            "line 7: '10.3.0.5/16' has bits behind its length; 10.3.0.0/16 has none; "
            "line 8: the kind is 'lan', not one of vnet, subnet, site, p2s, public; "
            "line 9: the name is empty; "
            "line 10: 3 fields, not 4; "
            "line 11: not CSV"
        )

    def test_a_list_of_another_kind_is_told_in_few_lines(self, tmp_path: Path) -> None:
        told = self.refusal(self.networks(tmp_path, "a,b,c,d\n" * 30))
        assert told.count("line ") == 10
        assert told.endswith("; and 20 more")

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", "it has no line"),
            (b"\xff\xfe\x00", "it is not UTF-8"),
            (b"10.0.0.0/8,hub,vnet,\n", "line 1 is '10.0.0.0/8,hub,vnet,'"),
            (b"\x1b[2J\n", "line 1 is '\\x1b[2J'"),
            (b"prefix,name\n10.0.0.0/8,hub\n", "line 1 is 'prefix,name'"),
        ],
    )
    def test_what_is_no_such_list_is_told_as_a_whole(
        self, tmp_path: Path, content: bytes, found: str
    ) -> None:
        path = self.networks(tmp_path, content)
        assert self.refusal(path) == f"FLOW_NETWORKS: {path} is no such list: {found}"

    def test_a_byte_order_mark_and_other_line_ends_are_no_fault(self, tmp_path: Path) -> None:
        content = b"\xef\xbb\xbfPrefix, Name ,kind,region\r\n10.0.0.0/8,hub,vnet,\r\n"
        assert read_networks(self.networks(tmp_path, content)).count == 1

    def test_a_list_without_lines_is_empty(self, tmp_path: Path) -> None:
        networks = read_networks(self.networks(tmp_path, ""))
        assert (networks.count, networks.network_of("10.0.0.4")) == (0, None)

    def test_another_content_is_another_version(self, tmp_path: Path) -> None:
        versions = {
            read_networks(self.networks(tmp_path, f"10.{n}.0.0/16,hub,vnet,\n")).version
            for n in (1, 2, 1)
        }
        assert len(versions) == 2
        assert read_networks(None).version is None

    def test_scanners_have_names(self, tmp_path: Path) -> None:
        path = self.networks(
            tmp_path, "192.0.2.0/24,Censys\n192.0.2.9,Shodan\n", header="prefix,name\n"
        )
        scanners = read_scanners(path)
        asked = ("192.0.2.1", "192.0.2.9", "192.0.3.1", "2001:db8::1")
        found: Mapping[str, str | None] = {ip: scanners.scanner_of(ip) for ip in asked}
        assert list(found.values()) == ["Censys", "Shodan", None, None]
        path.write_text("prefix,name\n192.0.2.0/24,\n")
        with pytest.raises(ReferenceDataError, match=r"FLOW_SCANNERS: .*line 2: the name is empty"):
            read_scanners(path)
