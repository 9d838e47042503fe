from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter, TreeWriter
from netaddr import IPSet

from flow_pipeline.enrichment.country import BUNDLED_COUNTRY_DB, open_country_database
from flow_pipeline.errors import ReferenceDataError

WriteDatabase = Callable[..., Path]

BUILT_AT = datetime.fromisoformat("2026-03-01T12:00:00")


@pytest.fixture
def write_database(tmp_path: Path) -> WriteDatabase:
    """An .mmdb of the type and records asked for, built at BUILT_AT."""

    def write(database_type: str, records: dict[str, dict[str, Any]], ip_version: int = 6) -> Path:
        path = tmp_path / "own.mmdb"
        writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6)
        for network, record in records.items():
            writer.insert_network(IPSet([network]), record)
        metadata = {
            "ip_version": ip_version,
            "database_type": database_type,
            "languages": ["en"],
            "binary_format_major_version": 2,
            "binary_format_minor_version": 0,
            "description": {"en": "made for a test"},
            "build_epoch": int(BUILT_AT.replace(tzinfo=UTC).timestamp()),
        }
        TreeWriter(writer.tree, metadata).write(str(path))
        return path

    return write


# What whois says of these, and has said for many years.
@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("8.8.8.8", "US"),
        ("193.0.6.139", "NL"),  # RIPE NCC
        ("202.12.29.175", "AU"),  # APNIC
        ("200.160.2.3", "BR"),  # NIC.br
        ("2001:67c:2e8:22::c100:68b", "NL"),  # RIPE NCC
        ("2001:4860:4860::8888", "US"),
    ],
)
def test_bundled_database_knows_registries_own_hosts(address: str, country: str) -> None:
    with open_country_database(None) as database:
        assert database.country_of(address) == country


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.4",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.2.1",
        "192.168.255.255",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "2001:2::1",
        "2001:db8::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ],
)
def test_bundled_database_knows_no_private_or_reserved_address(address: str) -> None:
    with open_country_database(None) as database:
        assert database.country_of(address) is None


def test_bundled_database_says_what_it_is() -> None:
    with open_country_database(None) as database:
        assert database.path == BUNDLED_COUNTRY_DB
        assert database.built_at == datetime.fromisoformat("2026-06-25T04:33:59")
        assert database.version.startswith("IPFire-Location-Country 2026-06-25 ")
        assert "\n" not in database.attribution
        assert "IPFire Location database of 2026-06-25" in database.attribution
        assert "https://creativecommons.org/licenses/by-sa/4.0/" in database.attribution


def test_attribution_beside_the_bundled_file_is_that_of_the_file() -> None:
    beside = (BUNDLED_COUNTRY_DB.parent / "ATTRIBUTION.md").read_text(encoding="utf-8")
    quoted = " ".join(line[2:] for line in beside.splitlines() if line.startswith("> "))
    with open_country_database(None) as database:
        assert quoted == database.attribution


@pytest.mark.parametrize(
    "database_type",
    ["GeoLite2-Country", "GeoLite2-City", "GeoIP2-Enterprise", "DBIP-Country-Lite", "DBIP-City"],
)
def test_takes_every_type_that_tells_a_country(
    write_database: WriteDatabase, database_type: str
) -> None:
    path = write_database(database_type, {"8.8.8.0/24": {"country": {"iso_code": "SE"}}})
    with open_country_database(path) as database:
        assert database.country_of("8.8.8.8") == "SE"
        assert database.country_of("8.8.9.8") is None
        assert database.attribution == "made for a test"
        assert database.built_at == BUILT_AT


def test_record_without_country_is_unknown(write_database: WriteDatabase) -> None:
    records = {
        "8.8.8.0/24": {"registered_country": {"iso_code": "US"}},
        "8.8.9.0/24": {"country": {"iso_code": "ZZ"}},
    }
    with open_country_database(write_database("DBIP-Country-Lite", records)) as database:
        assert database.country_of("8.8.8.8") is None
        assert database.country_of("8.8.9.8") is None


def test_ipv6_address_is_unknown_to_a_database_of_ipv4(write_database: WriteDatabase) -> None:
    path = write_database("X-Country", {"8.8.8.0/24": {"country": {"iso_code": "SE"}}}, 4)
    with open_country_database(path) as database:
        assert database.country_of("2001:4860:4860::8888") is None
        assert database.country_of("8.8.8.8") == "SE"


def test_version_changes_with_the_data_even_on_the_same_date(
    write_database: WriteDatabase,
) -> None:
    versions: set[str] = set()
    for country in ("SE", "NO", "SE"):
        path = write_database("X-Country", {"8.8.8.0/24": {"country": {"iso_code": country}}})
        with open_country_database(path) as database:
            versions.add(database.version)
    assert len(versions) == 2


def test_database_of_another_type_is_refused(write_database: WriteDatabase) -> None:
    path = write_database("GeoLite2-ASN", {"8.8.8.0/24": {"autonomous_system_number": 15169}})
    with pytest.raises(ReferenceDataError, match="type GeoLite2-ASN") as caught:
        open_country_database(path)
    assert "FLOW_COUNTRY_DB" in caught.value.remedy
    assert str(path) in caught.value.culprit


@pytest.mark.parametrize("content", [b"", b"no database", b"\xab\xcd\xefMaxMind.com", b"PK" * 5000])
def test_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mmdb"
    path.write_bytes(content)
    with pytest.raises(ReferenceDataError, match=r"broken\.mmdb") as caught:
        open_country_database(path)
    assert "FLOW_COUNTRY_DB" in caught.value.remedy


def test_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.mmdb"
    path.write_bytes(BUNDLED_COUNTRY_DB.read_bytes()[:1_000_000])
    with pytest.raises(ReferenceDataError, match=r"cut\.mmdb"):
        open_country_database(path)


def test_file_damaged_inside_is_reported_when_an_address_meets_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mmdb"
    content = bytearray(BUNDLED_COUNTRY_DB.read_bytes())
    # A search tree whose first node points far beyond the data section.
    content[:6] = b"\xff" * 6
    path.write_bytes(content)
    with (
        open_country_database(path) as database,
        pytest.raises(ReferenceDataError, match=r"damaged\.mmdb"),
    ):
        database.country_of("2001:4860:4860::8888")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReferenceDataError, match="No such file"):
        open_country_database(tmp_path / "nowhere.mmdb")
    with pytest.raises(ReferenceDataError, match="Is a directory"):
        open_country_database(tmp_path)


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    # A link to itself is refused to everybody, root included, to whom permissions mean nothing.
    path = tmp_path / "loop.mmdb"
    path.symlink_to(path)
    with pytest.raises(ReferenceDataError, match="Too many levels of symbolic links"):
        open_country_database(path)
