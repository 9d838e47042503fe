"""Make the bundled country database from the two text files of Debian's package tor-geoipdb.

Run by hand when a newer package is out; the outcome is committed. The same input gives the same
file, byte for byte. Belongs here: the conversion. How the file is read is enrichment/country.py.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from importlib import resources
from ipaddress import ip_address, ip_network
from itertools import takewhile
from pathlib import Path

from mmdb_writer import SearchTreeLeaf, SearchTreeNode, TreeWriter

from flow_pipeline.enrichment.country import BUNDLED_COUNTRY_DB

DATABASE_TYPE = "IPFire-Location-Country"
# The reserved code that registries use for the United Kingdom beside the assigned one.
ALIASES = {"UK": "GB"}
# Special purposes (benchmarks, ORCHID), no hosts; the source gives some of them a country.
IETF_ASSIGNMENTS = ip_network("2001::/23")
BITS = 128

Tree = SearchTreeNode | SearchTreeLeaf | None


@dataclass(frozen=True)
class CountryRange:
    """Addresses first..last, both included, as 128-bit numbers (IPv4 is ::/96)."""

    first: int
    last: int
    country: str


class UnreadableInput(Exception):
    """An input file is not what tor-geoipdb holds."""


def main(arguments: list[str] | None = None) -> int:
    """Read, convert, write, and say what came out. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=(
            "Make the bundled country database from the files of Debian's package tor-geoipdb. "
            "On Debian, `apt-get install tor-geoipdb` puts them into /usr/share/tor; elsewhere "
            "unpack the package with `dpkg-deb -x` or `ar` and `tar`. After a new version, bring "
            "the date in ATTRIBUTION.md beside the database up to date."
        )
    )
    parser.add_argument("geoip", type=Path, help="the file geoip (IPv4) of tor-geoipdb")
    parser.add_argument("geoip6", type=Path, help="the file geoip6 (IPv6) of tor-geoipdb")
    parser.add_argument(
        "--out", type=Path, default=BUNDLED_COUNTRY_DB, help="the database (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        generated = read_generated(options.geoip, options.geoip6)
        left_out: dict[str, int] = {}
        ranges = merged(
            country_range
            for path in (options.geoip, options.geoip6)
            for country_range in read_ranges(path, left_out)
        )
        write_database(ranges, generated, options.out)
    except (UnreadableInput, OSError) as error:
        sys.stderr.write(f"build_country_db: {error}\n")
        return 1
    content = options.out.read_bytes()
    sys.stdout.write(
        f"{options.out}: {len(content):,} bytes, {len(ranges):,} ranges, "
        f"{len({country_range.country for country_range in ranges})} countries, data of "
        f"{generated:%Y-%m-%d}, sha256 {hashlib.sha256(content).hexdigest()}\n"
    )
    for code, count in sorted(left_out.items()):
        sys.stdout.write(f"left out, as no country or no place: {count:,} ranges of {code}\n")
    return 0


def read_generated(*paths: Path) -> datetime:
    """When the source made its data: the `Generated:` line, the same in each file's header."""
    found: set[datetime] = set()
    for path in paths:
        with path.open(encoding="ascii") as lines:
            header = list(takewhile(lambda line: line.startswith("#"), lines))
        dates = [match[1] for line in header if (match := re.match(r"# Generated: (.+)", line))]
        if not dates:
            raise UnreadableInput(f"{path} has no line '# Generated: …' in its header")
        found.add(parsedate_to_datetime(dates[0].strip()))
    if len(found) > 1:
        raise UnreadableInput("the files are not of the same date")
    return found.pop()


def read_ranges(path: Path, left_out: dict[str, int]) -> Iterator[CountryRange]:
    """The file's ranges with a country; counts the others in `left_out`, by code.

    A line is `first,last,code`, the addresses as whole numbers (geoip) or as text (geoip6).
    """
    known = iso_countries()
    special_first = int(IETF_ASSIGNMENTS.network_address)
    special_last = int(IETF_ASSIGNMENTS.broadcast_address)
    with path.open(encoding="ascii") as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith("#"):
                continue
            try:
                first, last, code = line.strip().split(",")
                country_range = CountryRange(
                    _as_number(first), _as_number(last), ALIASES.get(code, code)
                )
            except ValueError as error:
                raise UnreadableInput(f"{path}, line {number}: {error}") from None
            is_special = special_first <= country_range.first <= special_last
            if country_range.country in known and not is_special:
                yield country_range
            else:
                reason = str(IETF_ASSIGNMENTS) if is_special else code
                left_out[reason] = left_out.get(reason, 0) + 1


def iso_countries() -> frozenset[str]:
    """The alpha-2 codes of ISO 3166-1, as the time zone database lists them."""
    table = (resources.files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and not line.startswith("#"))


def merged(ranges: Iterator[CountryRange]) -> list[CountryRange]:
    """Sorted, neighbours of one country joined. Raises UnreadableInput when two overlap."""
    result: list[CountryRange] = []
    for country_range in sorted(ranges, key=lambda each: each.first):
        before = result[-1] if result else None
        if before is None:
            result.append(country_range)
        elif country_range.first <= before.last:
            raise UnreadableInput(f"{before} and {country_range} overlap")
        elif country_range.first == before.last + 1 and country_range.country == before.country:
            result[-1] = CountryRange(before.first, country_range.last, before.country)
        else:
            result.append(country_range)
    return result


def write_database(ranges: list[CountryRange], generated: datetime, out: Path) -> None:
    """Write the ranges as one search tree, dated as the source is, and not as today."""
    description = (
        f"IPFire Location database of {generated:%Y-%m-%d} (https://location.ipfire.org/), by way "
        "of Debian's tor-geoipdb, converted; CC BY-SA 4.0 "
        "(https://creativecommons.org/licenses/by-sa/4.0/)"
    )
    metadata = {
        "ip_version": 6,
        "database_type": DATABASE_TYPE,
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "description": {"en": description},
        "build_epoch": int(generated.timestamp()),
    }
    root = SearchTree(ranges).root()
    if not isinstance(root, SearchTreeNode):
        raise UnreadableInput("the files hold no range of a country")
    out.parent.mkdir(parents=True, exist_ok=True)
    TreeWriter(root, metadata).write(str(out))


class SearchTree:
    """The binary tree over the bits of an address. Equal subtrees are one: 2.9 MB instead of 7.7.

    Readers follow the bits from the root and do not mind where two paths meet again.
    """

    def __init__(self, ranges: list[CountryRange]) -> None:
        self._ranges = ranges
        self._leaves: dict[str, SearchTreeLeaf] = {}
        self._nodes: dict[tuple[int, int], SearchTreeNode] = {}

    def root(self) -> Tree:
        """The whole tree."""
        return self._subtree(0, BITS, 0, len(self._ranges))

    def _subtree(self, first: int, bits: int, low: int, high: int) -> Tree:
        """The tree of the 2**bits addresses from `first` on, which ranges low..high-1 touch."""
        if low == high:
            return None
        last = first + (1 << bits) - 1
        only = self._ranges[low]
        if high - low == 1 and only.first <= first and last <= only.last:
            return self._leaf(only.country)
        middle = first + (1 << (bits - 1))
        split = bisect_left(self._ranges, middle, low, high, key=_last)
        starts_left = split < high and self._ranges[split].first < middle
        left = self._subtree(first, bits - 1, low, split + starts_left)
        right = self._subtree(middle, bits - 1, split, high)
        return self._nodes.setdefault((id(left), id(right)), SearchTreeNode(left, right))

    def _leaf(self, country: str) -> SearchTreeLeaf:
        record = {"country": {"iso_code": country}}
        return self._leaves.setdefault(country, SearchTreeLeaf(record))


def _last(country_range: CountryRange) -> int:
    return country_range.last


def _as_number(text: str) -> int:
    return int(text) if text.isdigit() else int(ip_address(text))


if __name__ == "__main__":
    sys.exit(main())
