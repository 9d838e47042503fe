"""Threat feeds: what a feed says, kept with its time, and addresses judged by it.

Belongs here: a feed's snapshot, the rows of its history, and the matching. How a feed is fetched
and read belongs to `feed_fetch` and `feed_formats`; where the history is stored, and when feeds are
asked, to the lake's side (`threat_history`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple

import pyarrow as pa

from flow_pipeline.enrichment.feed_fetch import (
    FeedLimits,
    FeedPlace,
    Validators,
    feed_place,
    fetch_feed,
)
from flow_pipeline.enrichment.feed_formats import REMEDY, FeedColumns, is_public, parse_content
from flow_pipeline.errors import ReferenceDataError

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
_BEGINNING_OF_TIME = datetime.fromisoformat("0001-01-01T00:00")
_END_OF_TIME = datetime.fromisoformat("9999-12-31T23:59")


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
    long as the entries do. `changes_at`: when the same content will say something else.
    """

    feed: str
    fetched_at: datetime
    entries: tuple[FeedEntry, ...]
    ignored: int
    content_digest: str
    changes_at: datetime | None = None


@dataclass(frozen=True)
class FeedAnswer:
    """What a feed answered; no snapshot where it is the one that `known` was told of."""

    snapshot: FeedSnapshot | None
    validators: Validators


class ThreatSpan(NamedTuple):
    """An address was listed in [listed_from, listed_to) by an entry of a feed; None is open."""

    listed_from: datetime | None
    listed_to: datetime | None
    feed: str
    entry: str
    threat_type: str | None


def ask_feed(
    place: FeedPlace,
    limits: FeedLimits | None = None,
    known: Validators | None = None,
    *,
    may_be_empty: bool = False,
) -> FeedAnswer:
    """Read a feed, or learn that its content is the one that `known` was told of.

    Raises ReferenceDataError, naming the feed and FLOW_THREAT_FEEDS, when it cannot be had whole,
    is in no known format, or holds no entry at all. `may_be_empty` takes a list without any line.
    """
    fetched = fetch_feed(place, limits, known)
    if fetched.content is None:
        return FeedAnswer(None, fetched.validators)
    now = datetime.now(UTC).replace(tzinfo=None)
    snapshot = parse_feed(
        place.name, fetched.content, now, place.columns, may_be_empty=may_be_empty
    )
    return FeedAnswer(snapshot, fetched.validators)


def read_feed(location: str, limits: FeedLimits | None = None) -> FeedSnapshot:
    """Read a feed from a file or an http(s) URL, as FLOW_THREAT_FEEDS names it; see `ask_feed`."""
    snapshot = ask_feed(feed_place(location), limits).snapshot
    assert snapshot is not None, "nothing was known that it could be"
    return snapshot


def parse_feed(
    feed: str,
    content: bytes,
    fetched_at: datetime,
    columns: FeedColumns | None = None,
    *,
    may_be_empty: bool = False,
) -> FeedSnapshot:
    """A feed's content as a snapshot; see `ask_feed` for what it raises."""
    found = parse_content(feed, content, fetched_at, columns)
    if not found.entries and not (may_be_empty and not found.ignored):
        raise ReferenceDataError(
            f"The threat feed {feed} holds no public address or CIDR ({found.ignored} lines "
            "ignored)",
            "Expected one address or CIDR a line, or another format that the documentation names",
            REMEDY,
        )
    ordered = tuple(FeedEntry(entry, kind) for entry, kind in sorted(found.entries.items()))
    digest = hashlib.sha256()
    for each in ordered:
        digest.update(f"{each.entry}\t{each.threat_type or ''}\n".encode())
    return FeedSnapshot(
        feed,
        fetched_at.replace(microsecond=fetched_at.microsecond // 1000 * 1000),
        ordered,
        found.ignored,
        digest.hexdigest(),
        found.changes_at,
    )


def merge_snapshot(
    history: pa.Table, snapshot: FeedSnapshot, *, is_first: bool | None = None
) -> pa.Table:
    """The history (THREAT_SCHEMA) with a newer snapshot of one of its feeds taken in.

    A feed's first snapshot counts as listed since always. Later, what is new is listed from
    `fetched_at` on, what is gone until then, and what returns gets a new row. Rows of other feeds
    stay; if nothing changed, the same table comes back. Should the clock have run backwards, the
    latest time in the feed's history stands for `fetched_at`. `is_first` has to be told of a feed
    that had no entry yet: its first snapshot may have been empty.
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
    is_first = not own if is_first is None else is_first
    listed_from = None if is_first else fetched_at
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
        if not found or not is_public(bits, number, number):
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
