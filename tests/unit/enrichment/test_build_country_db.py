"""The script that makes the bundled country database, run on small inputs of the same shape."""

import runpy
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise
from pathlib import Path
from typing import Any

import maxminddb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipeline.enrichment.country import open_country_database

PROJECT_DIR = Path(__file__).resolve().parents[3]
HEADER = """# This file has been converted from the IPFire Location database
#
# Generated: Thu, 25 Jun 2026 04:33:59 GMT
# License:   CC BY-SA 4.0
#
"""


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT_DIR / "scripts" / "build_country_db.py"))


def build(
    script: dict[str, Any], folder: Path, ipv4: str, ipv6: str, header6: str = HEADER
) -> tuple[int, Path]:
    """Exit status and outcome of the script on two files with these lines."""
    (folder / "geoip").write_text(HEADER + ipv4, encoding="ascii")
    (folder / "geoip6").write_text(header6 + ipv6, encoding="ascii")
    out = folder / "out.mmdb"
    out.unlink(missing_ok=True)
    status: int = script["main"]([str(folder / "geoip"), str(folder / "geoip6"), "--out", str(out)])
    return status, out


def line(first: str, last: str, code: str) -> str:
    return f"{int(IPv4Address(first))},{int(IPv4Address(last))},{code}\n"


def test_converts_both_files(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out = build(
        script,
        tmp_path,
        line("1.0.0.0", "1.0.0.255", "AU")
        + line("1.0.1.0", "1.0.1.9", "CN")
        + line("1.0.1.10", "1.0.1.20", "CN")
        + line("2.0.0.0", "2.0.0.255", "UK")
        + line("3.0.0.0", "3.0.0.255", "EU")
        + line("4.0.0.0", "4.0.0.255", "??"),
        "2001:2::,2001:2:0:ffff:ffff:ffff:ffff:ffff,JP\n2a00::,2a00::ff,DE\n",
    )
    assert status == 0
    # AU, CN (two neighbours joined), GB, DE.
    printed = capsys.readouterr().out
    assert "4 ranges, 4 countries, data of 2026-06-25" in printed
    assert "1 ranges of EU" in printed
    assert "1 ranges of ??" in printed
    assert "1 ranges of 2001::/23" in printed
    with open_country_database(out) as database:
        found = {
            address: database.country_of(address)
            for address in (
                "0.255.255.255",
                "1.0.0.0",
                "1.0.0.255",
                "1.0.1.0",
                "1.0.1.20",
                "1.0.1.21",
                "2.0.0.7",
                "3.0.0.7",
                "4.0.0.7",
                "2001:2::1",
                "2a00::ff",
                "2a00::100",
            )
        }
    assert found == {
        "0.255.255.255": None,
        "1.0.0.0": "AU",
        "1.0.0.255": "AU",
        "1.0.1.0": "CN",
        "1.0.1.20": "CN",
        "1.0.1.21": None,
        "2.0.0.7": "GB",
        "3.0.0.7": None,
        "4.0.0.7": None,
        "2001:2::1": None,
        "2a00::ff": "DE",
        "2a00::100": None,
    }


def test_same_input_gives_the_same_file(script: dict[str, Any], tmp_path: Path) -> None:
    contents = {
        build(script, tmp_path, line("1.0.0.0", "1.0.0.255", "AU"), "2a00::,2a00::ff,DE\n")[
            1
        ].read_bytes()
        for _ in range(2)
    }
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("ipv4", "header6", "message"),
    [
        ("nonsense\n", HEADER, "geoip, line 6"),
        ("1,2\n", HEADER, "geoip, line 6"),
        ("1,x,AU\n", HEADER, "geoip, line 6"),
        ("1,9,AU\n5,12,CN\n", HEADER, "overlap"),
        ("", HEADER, "no range of a country"),
        ("1,9,AU\n", "", "Generated"),
        ("1,9,AU\n", HEADER.replace("25 Jun", "26 Jun"), "not of the same date"),
    ],
)
def test_says_what_is_wrong_with_an_input(
    script: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ipv4: str,
    header6: str,
    message: str,
) -> None:
    status, out = build(script, tmp_path, ipv4, "", header6)
    assert status == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranges")


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(
        st.one_of(st.integers(0, 2**32 - 1), st.integers(2**24, 2**24 + 64)),
        min_size=2,
        max_size=12,
        unique=True,
    ).map(sorted),
    codes=st.lists(st.sampled_from(["DE", "FR", "??"]), min_size=11, max_size=11),
)
def test_every_address_has_the_country_of_its_range(
    script: dict[str, Any], folder: Path, cuts: list[int], codes: list[str]
) -> None:
    ranges = [
        (first, last - 1, code) for (first, last), code in zip(pairwise(cuts), codes, strict=False)
    ]
    ipv4 = "".join(f"{first},{last},{code}\n" for first, last, code in ranges)
    status, out = build(script, folder, ipv4, "2a00::,2a00::ff,SE\n")
    assert status == 0
    with maxminddb.open_database(out) as database:
        assert database.get(IPv6Address("2a00::1")) == {"country": {"iso_code": "SE"}}
        for first, last, code in ranges:
            expected = None if code == "??" else {"country": {"iso_code": code}}
            for number in {first, (first + last) // 2, last}:
                assert database.get(IPv4Address(number)) == expected
        for outside in (cuts[0] - 1, cuts[-1]):
            if outside >= 0:
                assert database.get(IPv4Address(outside)) is None
