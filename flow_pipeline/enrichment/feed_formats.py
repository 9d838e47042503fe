"""The formats of threat feeds: a feed's content in, its entries out.

Belongs here: recognising a format by its content, and one parser for each. STIX and MISP, which
need libraries of their own, are in `feed_indicators`; how content is fetched is in `feed_fetch`,
what becomes of entries in `threat_feeds`.

The formats, as their publishers write them:

    lines           an address or CIDR a line, with a count behind it (IPsum) or not, and comments
    Spamhaus DROP   NDJSON, `{"cidr": …}` a line, and a last one of type `metadata`
    DShield         start, end and prefix length, separated by tabs
    Feodo Tracker   JSON (`ip_address`) or CSV (`dst_ip`)
    CSV             where the setting names the column
    STIX 2.1        bundles and TAXII envelopes
    MISP            events, and what a search for events or attributes answers
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network, summarize_address_range
from itertools import islice
from socket import AF_INET, inet_ntop, inet_pton
from typing import Any, cast

import orjson

from flow_pipeline.enrichment.feed_indicators import misp_addresses, stix_addresses
from flow_pipeline.enrichment.threat_types import threat_type_of
from flow_pipeline.errors import ReferenceDataError

REMEDY = "Correct FLOW_THREAT_FEEDS, or take this feed out of it"

_IPV4_BITS = 32
_IPV6_BITS = 128
# Wider entries are typing errors (0.0.0.0/0): nobody lists more than an address registry hands out.
_SHORTEST_PREFIX = {_IPV4_BITS: 8, _IPV6_BITS: 19}

# Addresses that a user's own network may carry, or that no host has (IANA's special-purpose
# registry). Lists of bogons hold them, and would turn each of the user's machines into a threat.
# Documentation prefixes are not among them: no machine has one, and examples need some.
_OWN_IPV4 = tuple(
    IPv4Network(prefix)
    for prefix in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
)
_OWN_IPV4_FIRST = [int(network.network_address) for network in _OWN_IPV4]
_OWN_IPV4_LAST = [int(network.broadcast_address) for network in _OWN_IPV4]
# All public IPv6 addresses are in 2000::/3.
_PUBLIC_IPV6 = 0b001

_COMMENT = re.compile(r"[#;]")
# A first row that names columns: words between commas, quoted or not.
_HEAD_OF_CSV = re.compile(r'\s*#?\s*"?[A-Za-z][\w .-]*"?\s*,\s*"?[A-Za-z]')
_BEGINNING_LINES = 200
_FIELDS_SHOWN = 12
_HEAD_SHOWN = 200

Found = Iterator[tuple[str, str | None]]
"""What a parser finds: what stands where an address should, and its kind of threat."""


@dataclass(frozen=True)
class FeedColumns:
    """The columns of a CSV that the setting names: of the address, and of the kind of threat."""

    address: str
    threat_type: str | None = None


@dataclass
class FeedContent:
    """What a feed's content says: entry -> kind of threat, and what could not be used.

    `changes_at` is when it will say something else by itself, because an entry is listed only until
    then; naive UTC, None if it never will.
    """

    entries: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    ignored: int = 0
    changes_at: datetime | None = None

    def add(self, found: Iterable[tuple[str, str | None]]) -> FeedContent:
        """Take in what a parser finds. Of several kinds the first by name is an entry's."""
        for text, threat_type in found:
            entry = canonical_entry(text)
            if entry is None:
                self.ignored += 1
                continue
            known = self.entries.get(entry)
            kinds = [kind for kind in (known, threat_type) if kind is not None]
            self.entries[entry] = min(kinds, default=None)
        return self


def parse_content(
    feed: str, content: bytes, now: datetime, columns: FeedColumns | None = None
) -> FeedContent:
    """A feed's content, in whatever format it is; entries may be none.

    Raises ReferenceDataError, naming the feed and FLOW_THREAT_FEEDS, for a web page, for what is in
    no known format, and for what breaks off.
    """
    text = content.decode("utf-8-sig", errors="replace")
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        raise ReferenceDataError(
            f"The threat feed {feed} is a web page, not a list",
            "Expected one address or CIDR a line, or another format that the documentation names",
            f"Find the address of the plain list behind that page. {REMEDY}",
        )
    if columns is not None:
        return FeedContent().add(_csv(feed, text, columns))
    if re.match(r"\s*[\[{]", text):
        return _json(feed, text, now)
    lines = text.splitlines()
    beginning = list(islice((line for line in lines if _data(line)), 2))
    if any(_is_range(line) for line in beginning):
        return FeedContent().add(_dshield(lines))
    shown = (line[:_HEAD_SHOWN] for line in islice(lines, _BEGINNING_LINES))
    head = next((line for line in shown if _HEAD_OF_CSV.match(line)), "")
    if "dst_ip" in head and "first_seen_utc" in head:
        return FeedContent().add(_csv(feed, text, FeedColumns("dst_ip"), "C2"))
    if head and beginning and "," in beginning[-1]:
        raise _csv_without_column(feed, head)
    return FeedContent().add(_lines(lines))


def canonical_entry(text: str) -> str | None:
    """`ADDRESS[/LENGTH]` as canonical text; None if it is something else or not fit."""
    try:
        packed = inet_pton(AF_INET, text)
    except (OSError, ValueError):
        packed = b""
    # Nearly every line of nearly every list is an IPv4 address, and `ip_network` is slow.
    if packed and inet_ntop(AF_INET, packed) == text:
        number = int.from_bytes(packed)
        return text if is_public(_IPV4_BITS, number, number) else None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if network.prefixlen < _SHORTEST_PREFIX[network.max_prefixlen] or not is_public(
        network.max_prefixlen, int(network.network_address), int(network.broadcast_address)
    ):
        return None
    is_address = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if is_address else str(network)


def is_public(bits: int, first: int, last: int) -> bool:
    """Some of the addresses first..last are public."""
    if bits == _IPV6_BITS:
        return first >> (_IPV6_BITS - 3) == _PUBLIC_IPV6
    return last > _OWN_IPV4_LAST[bisect_right(_OWN_IPV4_FIRST, first) - 1]


def _data(line: str) -> str:
    """A line without its comment."""
    return _COMMENT.split(line, maxsplit=1)[0].strip()


def _lines(lines: Iterable[str]) -> Found:
    """`ADDRESS[/LENGTH] [COUNT]` a line."""
    for line in lines:
        words = _COMMENT.split(line, maxsplit=1)[0].split()
        match words:
            case []:
                pass
            case [entry]:
                yield entry, None
            case [entry, count] if count.isdecimal():
                yield entry, None
            case _:
                yield line, None


def _is_range(line: str) -> bool:
    fields = [each.strip() for each in line.split("\t")]
    return len(fields) > 2 and (
        fields[:2] == ["Start", "End"] or (_address(fields[0]) and _address(fields[1])) is not None
    )


def _address(text: str) -> IPv4Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else None


def _dshield(lines: Iterable[str]) -> Found:
    """`START<TAB>END<TAB>LENGTH…` a line; as many CIDRs as the range takes."""
    for line in lines:
        # What follows the numbers is a name, and may hold what begins a comment elsewhere.
        if not line.strip() or line.startswith(("#", "Start\t")):
            continue
        fields = [each.strip() for each in line.split("\t")]
        first, last = _address(fields[0]), _address(fields[1]) if len(fields) > 1 else None
        if first is None or last is None or last < first:
            yield line, None
            continue
        for network in summarize_address_range(first, last):
            yield str(network), None


def _csv(feed: str, text: str, columns: FeedColumns, threat_type: str | None = None) -> Found:
    """The rows below the first that names the columns; that row may be a comment."""
    heads: list[str] | None = None
    place, kind = 0, None
    reader = csv.reader(text.splitlines(), skipinitialspace=True)
    first: list[str] = []
    try:
        for row in reader:
            if heads is None:
                names = [name.strip().lstrip("#").strip().strip('"') for name in row]
                if columns.address in names:
                    heads = names
                    place = names.index(columns.address)
                    kind = _column(feed, names, columns.threat_type)
                elif row and not (first and row[0].startswith("#")):
                    first = first or (row if not row[0].startswith("#") else [])
                continue
            if not row or row[0].lstrip().startswith("#"):
                continue
            told = row[kind] if kind is not None and kind < len(row) else None
            found = row[place].strip() if place < len(row) else ""
            yield found, threat_type or (threat_type_of([told]) if told else None)
    except csv.Error as error:
        raise ReferenceDataError(
            f"The threat feed {feed} is no CSV: line {reader.line_num}: {error}",
            "Expected values between commas",
            REMEDY,
        ) from None
    if heads is None:
        raise _no_column(feed, columns.address, first)


def _column(feed: str, names: list[str], name: str | None) -> int | None:
    if name is None:
        return None
    if name not in names:
        raise _no_column(feed, name, names)
    return names.index(name)


def _no_column(feed: str, name: str, names: Sequence[str]) -> ReferenceDataError:
    shown = ", ".join(each[:40] for each in names[:_FIELDS_SHOWN])
    return ReferenceDataError(
        f"The threat feed {feed} has no column {name}",
        f"Expected it in the row that names the columns; the first row has: {shown or 'nothing'}",
        REMEDY,
    )


def _csv_without_column(feed: str, head: str) -> ReferenceDataError:
    return ReferenceDataError(
        f"The threat feed {feed} is a CSV, and nothing says which column has the addresses",
        f"Expected #column=NAME behind its place; its columns are: {head.strip()}",
        REMEDY,
    )


def _json(feed: str, text: str, now: datetime) -> FeedContent:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _drop(feed, text.splitlines())
    match document:
        case {"cidr": _} | {"type": "metadata"}:
            return _drop(feed, text.splitlines())
        case {"objects": list() as objects}:
            listed = stix_addresses(feed, cast(list[Any], objects), now)
        case {"Event": _} | {"response": _} | {"Attribute": _}:
            listed = misp_addresses(feed, cast(dict[str, Any], document))
        case [{"Event": _}, *_]:
            listed = misp_addresses(feed, {"response": document})
        case [] | [{"ip_address": _}, *_]:
            return FeedContent().add(_feodo(cast(list[Any], document)))
        case dict() if any(_is_misp_summary(each) for each in islice(document.values(), 1)):
            raise ReferenceDataError(
                f"The threat feed {feed} is the table of contents of a MISP feed",
                "Expected one event, or what a search for events or attributes answers",
                f"Name the events that it lists, each by its own address. {REMEDY}",
            )
        case _:
            raise _unknown_json(feed)
    return FeedContent(ignored=listed.ignored, changes_at=listed.changes_at).add(listed.found)


def _is_misp_summary(document: object) -> bool:
    return isinstance(document, dict) and {"info", "Orgc"} <= document.keys()


def _feodo(rows: list[Any]) -> Found:
    """Feodo Tracker lists servers that command botnets, and nothing else."""
    for row in rows:
        match row:
            case {"ip_address": str() as address}:
                yield address, "C2"
            case _:
                yield "", None


def _drop(feed: str, lines: list[str]) -> FeedContent:
    """Spamhaus DROP. Its last line says how many entries it has."""
    found = FeedContent()
    told: int | None = None
    entries = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise _unknown_json(feed) from None
        match row:
            case {"cidr": str() as cidr}:
                entries += 1
                found.add([(cidr, None)])
            case {"type": "metadata"}:
                records = cast(Mapping[str, object], row).get("records")
                told = records if isinstance(records, int) else None
            case _:
                raise _unknown_json(feed)
    if told is not None and told != entries:
        raise ReferenceDataError(
            f"The threat feed {feed} is not whole: {entries:,} of {told:,} entries",
            "Expected as many entries as its last line says",
            f"Try again later. {REMEDY}",
        )
    return found


def _unknown_json(feed: str) -> ReferenceDataError:
    return ReferenceDataError(
        f"The threat feed {feed} is JSON that breaks off, or of an unknown kind",
        "Expected Spamhaus DROP, Feodo Tracker, STIX 2.1 or MISP",
        REMEDY,
    )
