"""The history of threat feeds in the lake: what was listed from when to when.

Belongs here: keeping snapshots of feeds as `threat_entries`. How a feed is read and matched belongs
to `enrichment.threat_feeds`. This table cannot be rebuilt: a feed does not tell its past.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipeline.enrichment.feed_fetch import check_feed_names, feed_name
from flow_pipeline.enrichment.threat_feeds import (
    THREAT_SCHEMA,
    ThreatMatcher,
    merge_snapshot,
    read_feed,
)
from flow_pipeline.errors import LakeBusy, ReferenceDataError
from flow_pipeline.lake import (
    ATTEMPTS,
    FOOTER_KEY,
    CommitRefused,
    Lake,
    LakeFile,
    TableSpec,
    attempts,
    footer_bytes,
    staging,
)
from flow_pipeline.partitions import UNPARTITIONED

THREAT_ENTRIES = TableSpec("threat_entries", THREAT_SCHEMA, ())


@dataclass(frozen=True)
class FeedState:
    """A feed after it was asked. `failure` says why the last good state stands, if it does."""

    feed: str
    entries: int
    ignored: int
    changed: bool
    failure: str | None


@dataclass(frozen=True)
class ThreatHistory:
    """What the configured feeds have said so far, and when each changed."""

    feeds: tuple[str, ...]
    entries: pa.Table
    _changes: tuple[tuple[str, tuple[tuple[datetime, str], ...]], ...]

    @cached_property
    def matcher(self) -> ThreatMatcher:
        """Judges addresses; made when the first one is asked for."""
        return ThreatMatcher(self.entries, self.feeds)

    @property
    def unread(self) -> tuple[str, ...]:
        """Feeds that were never read yet: what they list is not known."""
        known = {feed for feed, _ in self._changes}
        return tuple(feed for feed in self.feeds if feed not in known)

    def version_at(self, time: datetime | None) -> str:
        """An id of everything that a flow at `time` or before is judged by.

        A feed's first snapshot counts as listed since always; a later one only touches flows from
        its own time on. So yesterday's id does not move when a feed changes today.
        """
        applied = [
            [
                feed,
                [
                    digest
                    for no, (at, digest) in enumerate(changes)
                    if no == 0 or (time is not None and at <= time)
                ],
            ]
            for feed, changes in self._changes
        ]
        return hashlib.sha256(footer_bytes({"applied": applied})).hexdigest()[:16]


def refresh_feeds(lake: Lake, locations: Sequence[str]) -> list[FeedState]:
    """Ask every feed and record what changed since it was asked last.

    A feed that cannot be read keeps its last good state, and the state says so. Raises
    ReferenceDataError if it was never read at all, SettingError if two feeds have one name.
    """
    check_feed_names(locations)
    return [_refresh(lake, location) for location in locations]


def read_history(lake: Lake, locations: Sequence[str]) -> ThreatHistory:
    """The history of the feeds that are configured now, in their order."""
    feeds = tuple(feed_name(location) for location in locations)
    snapshot = lake.snapshot(THREAT_ENTRIES.name)
    files = {} if snapshot is None else _files_by_feed(snapshot.files)
    tables = [pq.read_table(files[feed][0].path) for feed in feeds if feed in files]
    history = pa.concat_tables([THREAT_SCHEMA.empty_table(), *tables])
    changes = tuple(
        (
            feed,
            tuple(
                (datetime.fromisoformat(at), digest) for at, digest in files[feed][1]["snapshots"]
            ),
        )
        for feed in feeds
        if feed in files
    )
    return ThreatHistory(feeds, history, changes)


def _refresh(lake: Lake, location: str) -> FeedState:
    feed = feed_name(location)
    for _ in attempts():
        snapshot = lake.existing(THREAT_ENTRIES)
        known = _files_by_feed(snapshot.files).get(feed)
        try:
            found = read_feed(location)
        except ReferenceDataError as error:
            if known is None:
                raise
            return FeedState(feed, known[1]["entries"], known[1]["ignored"], False, str(error))
        recorded: list[list[str]] = known[1]["snapshots"] if known else []
        if recorded and recorded[-1][1] == found.content_digest:
            return FeedState(feed, len(found.entries), found.ignored, False, None)
        before = pq.read_table(known[0].path) if known else THREAT_SCHEMA.empty_table()
        after = merge_snapshot(before, found)
        footer = {
            "feed": feed,
            "entries": len(found.entries),
            "ignored": found.ignored,
            "snapshots": [*recorded, [found.fetched_at.isoformat(), found.content_digest]],
        }
        path = snapshot.stage(UNPARTITIONED)
        with (
            staging(path),
            pq.ParquetWriter(path, THREAT_SCHEMA, compression="zstd") as writer,
        ):
            writer.write_table(after)
            writer.add_key_value_metadata({FOOTER_KEY: footer_bytes(footer)})
        try:
            snapshot.commit(UNPARTITIONED, [path], [known[0]] if known else [])
        except CommitRefused:
            continue
        return FeedState(feed, len(found.entries), found.ignored, True, None)
    raise LakeBusy(
        f"The history of the threat feed {feed} was changed by other runs {ATTEMPTS} times",
        "One run at a time, or a few",
        "Run again when the others have ended",
    )


def _files_by_feed(files: Sequence[LakeFile]) -> dict[str, tuple[LakeFile, dict[str, Any]]]:
    footers = [(file, file.footer()) for file in files]
    return {footer["feed"]: (file, footer) for file, footer in footers}
