"""Threat feeds: read a list, keep what it said when, and judge an address by it.

Belongs here: the formats of feeds, the rows of their history, and the matching. Where the history
is stored, and when feeds are asked, belongs to the lake's side (`threat_history`).
"""

from __future__ import annotations

import hashlib
import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, ip_network
from itertools import pairwise
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import pyarrow as pa
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Retry

from flow_pipeline.errors import ReferenceDataError, SettingError

THREAT_SCHEMA: pa.Schema = pa.schema(
    [
        ("feed", pa.string()),
        ("entry", pa.string()),
        ("listed_from", pa.timestamp("ms")),
        ("listed_to", pa.timestamp("ms")),
        ("threat_type", pa.string()),
    ]
)
"""`threat_entries`: an entry of a feed was listed in [listed_from, listed_to).

A null listed_from means since always, a null listed_to until now.
"""

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

_BEGINNING_OF_TIME = datetime.fromisoformat("0001-01-01T00:00")
_END_OF_TIME = datetime.fromisoformat("9999-12-31T23:59")

_COMMENT = re.compile(r"[#;]")
_REMEDY = "Correct FLOW_THREAT_FEEDS, or take this feed out of it"
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An address or CIDR in canonical text, and its kind of threat where the feed tells it."""

    entry: str
    threat_type: str | None


@dataclass(frozen=True)
class FeedSnapshot:
    """What a feed said at `fetched_at` (naive UTC, milliseconds).

    `entries` are sorted and unique. `ignored` counts lines that are neither an entry nor a comment,
    entries that are too wide, and entries that are not public. `content_digest` stays the same as
    long as the entries do.
    """

    feed: str
    fetched_at: datetime
    entries: tuple[FeedEntry, ...]
    ignored: int
    content_digest: str


@dataclass(frozen=True)
class FeedLimits:
    """How large a feed may be and how long it may take, in bytes and seconds."""

    max_bytes: int = 64 * 1024 * 1024
    connect_seconds: float = 10
    read_seconds: float = 30
    total_seconds: float = 300
    retries: int = 3


class ThreatSpan(NamedTuple):
    """An address was listed in [listed_from, listed_to) by an entry of a feed; None is open."""

    listed_from: datetime | None
    listed_to: datetime | None
    feed: str
    entry: str
    threat_type: str | None


def feed_name(location: str) -> str:
    """The name that a feed has in tables and messages, free of secrets.

    For a file its file name, for a URL its host and path. Raises ReferenceDataError for a URL that
    cannot be taken apart.
    """
    if "://" not in location:
        return Path(location).name
    parts = _split_url(location)
    host = parts.hostname or ""
    return (f"{host}:{parts.port}" if parts.port else host) + parts.path


def check_feed_names(locations: Sequence[str]) -> None:
    """Refuse two feeds with one name: each would overwrite the other's history.

    Raises SettingError.
    """
    names = [feed_name(location) for location in locations]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise SettingError(
            "FLOW_THREAT_FEEDS",
            f"two feeds are called {twice[0]}",
            "feeds that differ in the file's name, or in the URL's host and path",
            "Name each feed once, or rename a file",
        )


def read_feed(location: str, limits: FeedLimits | None = None) -> FeedSnapshot:
    """Read a feed from a file or an http(s) URL.

    A line holds an address or a CIDR, with a count behind it (IPsum) or not; what follows `#` or
    `;` is comment. Raises ReferenceDataError, naming the feed and FLOW_THREAT_FEEDS, when it cannot
    be had whole, is a web page, or holds no entry at all.
    """
    limits = limits or FeedLimits()
    feed = feed_name(location)
    if "://" in location:
        content = _download(location, feed, limits)
    else:
        content = _read_file(Path(location).expanduser(), feed, limits)
    fetched_at = datetime.now(UTC).replace(tzinfo=None)
    return parse_feed(feed, content, fetched_at)


def parse_feed(feed: str, content: bytes, fetched_at: datetime) -> FeedSnapshot:
    """A feed's content as a snapshot; see read_feed for the format and what it raises."""
    text = content.decode("utf-8-sig", errors="replace")
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        raise ReferenceDataError(
            f"The threat feed {feed} is a web page, not a list",
            "Expected one address or CIDR a line",
            f"Find the address of the plain list behind that page. {_REMEDY}",
        )
    entries: set[str] = set()
    ignored = 0
    for line in text.splitlines():
        words = _COMMENT.split(line, maxsplit=1)[0].split()
        if not words:
            continue
        entry = _canonical_entry(words)
        if entry is None:
            ignored += 1
        else:
            entries.add(entry)
    if not entries:
        raise ReferenceDataError(
            f"The threat feed {feed} holds no public address or CIDR ({ignored} lines ignored)",
            "Expected one address or CIDR a line",
            _REMEDY,
        )
    ordered = tuple(FeedEntry(entry, None) for entry in sorted(entries))
    digest = hashlib.sha256()
    for each in ordered:
        digest.update(f"{each.entry}\t{each.threat_type or ''}\n".encode())
    return FeedSnapshot(
        feed,
        fetched_at.replace(microsecond=fetched_at.microsecond // 1000 * 1000),
        ordered,
        ignored,
        digest.hexdigest(),
    )


def merge_snapshot(history: pa.Table, snapshot: FeedSnapshot) -> pa.Table:
    """The history (THREAT_SCHEMA) with a newer snapshot of one of its feeds taken in.

    A feed's first snapshot counts as listed since always. Later, what is new is listed from
    `fetched_at` on, what is gone until then, and what returns gets a new row. Rows of other feeds
    stay; if nothing changed, the same table comes back. Should the clock have run backwards, the
    latest time in the feed's history stands for `fetched_at`.
    """
    rows = list(_rows(history))
    own = [row for row in rows if row.feed == snapshot.feed]
    times = [moment for row in own for moment in (row.listed_from, row.listed_to) if moment]
    fetched_at = max([snapshot.fetched_at, *times])
    still_listed = {(each.entry, each.threat_type) for each in snapshot.entries}
    was_listed = {(row.entry, row.threat_type) for row in own if row.listed_to is None}
    if own and still_listed == was_listed:
        return history
    merged = [
        row._replace(listed_to=fetched_at)
        if row.feed == snapshot.feed
        and row.listed_to is None
        and (row.entry, row.threat_type) not in still_listed
        else row
        for row in rows
    ]
    listed_from = fetched_at if own else None
    merged += [
        _HistoryRow(snapshot.feed, each.entry, listed_from, None, each.threat_type)
        for each in snapshot.entries
        if (each.entry, each.threat_type) not in was_listed
    ]
    columns = [[row[no] for row in merged] for no in range(len(THREAT_SCHEMA))]
    return pa.table(columns, schema=THREAT_SCHEMA)


class ThreatMatcher:
    """Judges addresses by a history of feeds.

    Of feeds that list an address at the same moment the one named first decides, in a feed the most
    specific entry. Feeds that are not named do not count.
    """

    def __init__(self, history: pa.Table, feeds_in_order: Sequence[str]) -> None:
        ranks = {feed: rank for rank, feed in reversed(list(enumerate(feeds_in_order)))}
        # Bits of an address -> bits that an entry leaves open -> the bits that it fixes -> what was
        # listed of it. An address costs one look into a dict for each prefix length that occurs.
        self._listed: dict[int, dict[int, dict[int, list[_Listing]]]] = {
            _IPV4_BITS: {},
            _IPV6_BITS: {},
        }
        for row in _rows(history):
            if row.feed not in ranks:
                continue
            bits, prefix, shift = _prefix_bits(row.entry)
            by_prefix = self._listed[bits].setdefault(shift, {})
            by_prefix.setdefault(prefix, []).append(_Listing((ranks[row.feed], shift), row))

    def spans_of(self, address: str) -> list[ThreatSpan]:
        """When a canonical IPv4 or IPv6 address was listed: disjoint spans in order of time.

        Empty for an address that is not public, whatever the feeds say.
        """
        bits, number = _number(address)
        found: list[_Listing] = []
        for shift, by_prefix in self._listed[bits].items():
            found += by_prefix.get(number >> shift, ())
        if not found or not _is_public(bits, number, number):
            return []
        if len(found) > 1:
            found.sort(key=lambda listing: (listing.precedence, listing.row.entry))
        return _spans(found)


class _HistoryRow(NamedTuple):
    """A row of THREAT_SCHEMA."""

    feed: str
    entry: str
    listed_from: datetime | None
    listed_to: datetime | None
    threat_type: str | None


class _Listing(NamedTuple):
    """A row, and (rank of its feed, bits that its entry leaves open): the lower one decides."""

    precedence: tuple[int, int]
    row: _HistoryRow


def _rows(history: pa.Table) -> Iterable[_HistoryRow]:
    columns = history.select(THREAT_SCHEMA.names).to_pydict()
    return map(_HistoryRow._make, zip(*columns.values(), strict=True))


def _spans(listings: Sequence[_Listing]) -> list[ThreatSpan]:
    """Cut time where a listing begins or ends, and let the first that holds decide each piece."""
    bounds = {
        moment
        for listing in listings
        for moment in (
            listing.row.listed_from or _BEGINNING_OF_TIME,
            listing.row.listed_to or _END_OF_TIME,
        )
    }
    cuts = sorted(bounds)
    spans: list[ThreatSpan] = []
    for start, end in pairwise(cuts):
        row = next((each.row for each in listings if _holds(each.row, start)), None)
        if row is None:
            continue
        listed_from = None if start == _BEGINNING_OF_TIME else start
        listed_to = None if end == _END_OF_TIME else end
        verdict = (row.feed, row.entry, row.threat_type)
        if spans and spans[-1].listed_to == listed_from and spans[-1][2:] == verdict:
            listed_from = spans.pop().listed_from
        spans.append(ThreatSpan(listed_from, listed_to, *verdict))
    return spans


def _holds(row: _HistoryRow, moment: datetime) -> bool:
    return (row.listed_from is None or row.listed_from <= moment) and (
        row.listed_to is None or moment < row.listed_to
    )


def _canonical_entry(words: Sequence[str]) -> str | None:
    """`ADDRESS[/LENGTH] [COUNT]` as canonical text; None if it is something else or not fit."""
    match words:
        case [entry]:
            pass
        case [entry, count] if count.isdecimal():
            pass
        case _:
            return None
    try:
        packed = inet_pton(AF_INET, entry)
    except (OSError, ValueError):
        packed = b""
    # Nearly every line of nearly every list is an IPv4 address, and `ip_network` is slow.
    if packed and inet_ntop(AF_INET, packed) == entry:
        number = int.from_bytes(packed)
        return entry if _is_public(_IPV4_BITS, number, number) else None
    try:
        network = ip_network(entry, strict=False)
    except ValueError:
        return None
    if network.prefixlen < _SHORTEST_PREFIX[network.max_prefixlen] or not _is_public(
        network.max_prefixlen, int(network.network_address), int(network.broadcast_address)
    ):
        return None
    is_address = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if is_address else str(network)


def _is_public(bits: int, first: int, last: int) -> bool:
    """Some of the addresses first..last are public."""
    if bits == _IPV6_BITS:
        return first >> (_IPV6_BITS - 3) == _PUBLIC_IPV6
    return last > _OWN_IPV4_LAST[bisect_right(_OWN_IPV4_FIRST, first) - 1]


def _number(address: str) -> tuple[int, int]:
    """How many bits the address has, and the address as a number."""
    if ":" in address:
        return _IPV6_BITS, int.from_bytes(inet_pton(AF_INET6, address))
    return _IPV4_BITS, int.from_bytes(inet_pton(AF_INET, address))


def _prefix_bits(entry: str) -> tuple[int, int, int]:
    """Bits of the address, the bits that a canonical entry fixes, and how many it leaves open."""
    address, _, length = entry.partition("/")
    bits, number = _number(address)
    shift = bits - int(length) if length else 0
    return bits, number >> shift, shift


def _split_url(location: str) -> SplitResult:
    try:
        parts = urlsplit(location)
        # Asked for here, because it is checked only when asked for.
        _ = parts.port
    except ValueError:
        raise ReferenceDataError(
            "A threat feed's URL cannot be understood",
            "Expected https://HOST/PATH",
            _REMEDY,
        ) from None
    return parts


def _read_file(path: Path, feed: str, limits: FeedLimits) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_bytes + 1)
    except OSError as error:
        raise ReferenceDataError(
            f"The threat feed {path} cannot be read: {error.strerror}",
            "Expected a readable file",
            _REMEDY,
        ) from None
    if len(content) > limits.max_bytes:
        raise _too_large(feed, limits)
    return content


def _download(url: str, feed: str, limits: FeedLimits) -> bytes:
    """The body behind a URL. Messages never quote the transport's, which hold the whole URL."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ReferenceDataError(
            f"The threat feed {feed} is neither a file nor a web address",
            "Expected a path, or a URL that begins with https:// or http://",
            _REMEDY,
        )
    adapter = HTTPAdapter(
        max_retries=Retry(
            total=limits.retries,
            backoff_factor=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
            # A server may ask to be left alone for hours; the next run asks again.
            respect_retry_after_header=False,
        )
    )
    with requests.Session() as session:
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            with session.get(
                url, stream=True, timeout=(limits.connect_seconds, limits.read_seconds)
            ) as response:
                if response.status_code != requests.codes.ok:
                    raise _refused(feed, response.status_code)
                return _body(response, feed, limits)
        except (requests.exceptions.RequestException, HTTPError) as error:
            failure = _failure(error, limits)
    raise ReferenceDataError(
        f"The threat feed {feed} {failure}",
        "Expected a plain list behind that address",
        f"Check the network and the address. {_REMEDY}",
    )


def _body(response: requests.Response, feed: str, limits: FeedLimits) -> bytes:
    deadline = time.monotonic() + limits.total_seconds
    content = bytearray()
    # Takes what has arrived; `iter_content` would wait for a whole chunk of a feed that trickles.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > limits.max_bytes:
            raise _too_large(feed, limits)
        if time.monotonic() > deadline:
            raise ReferenceDataError(
                f"The threat feed {feed} was not through after {limits.total_seconds:g} s",
                "Expected the whole list in that time",
                f"Try again later. {_REMEDY}",
            )
    return bytes(content)


def _failure(error: Exception, limits: FeedLimits) -> str:
    """What happened, in words. After retries requests wraps the reason into its ConnectionError."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    if isinstance(error, requests.exceptions.SSLError):
        return "has no certificate that this machine trusts"
    if isinstance(error, requests.exceptions.InvalidURL):
        return "has a URL that cannot be understood"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"could not be connected to within {limits.connect_seconds:g} s"
    if isinstance(reason, (requests.exceptions.ReadTimeout, ReadTimeoutError)):
        return f"did not answer within {limits.read_seconds:g} s"
    return "cannot be reached, or broke off"


def _refused(feed: str, status: int) -> ReferenceDataError:
    reasons = {
        401: "asks for a credential",
        403: "denies access",
        404: "does not exist",
        410: "does not exist any more",
    }
    return ReferenceDataError(
        f"The threat feed {feed} {reasons.get(status, 'did not answer with a list')}"
        f" (HTTP {status})",
        "Expected a plain list behind that address",
        _REMEDY,
    )


def _too_large(feed: str, limits: FeedLimits) -> ReferenceDataError:
    return ReferenceDataError(
        f"The threat feed {feed} is larger than {limits.max_bytes:,} bytes",
        "Expected a list of addresses and CIDRs",
        _REMEDY,
    )
