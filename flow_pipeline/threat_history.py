"""The history of threat feeds in the lake: what was listed from when to when.

Belongs here: keeping snapshots of feeds as `threat_entries`, when a feed is asked, and which answer
is taken. How a feed is read and matched belongs to `enrichment.threat_feeds`. This table cannot be
rebuilt: a feed does not tell its past.

A feed has a file with its entries, and beside it, where there is anything to remember, one without
rows, whose footer says what came of asking it last. What was learned together is committed
together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipeline.enrichment.feed_fetch import (
    FeedPlace,
    Validators,
    check_feed_names,
    feed_name,
    feed_place,
)
from flow_pipeline.enrichment.threat_feeds import (
    THREAT_SCHEMA,
    FeedAnswer,
    FeedSnapshot,
    ThreatMatcher,
    ask_feed,
    merge_snapshot,
)
from flow_pipeline.errors import LakeBusy, ReferenceDataError
from flow_pipeline.lake import (
    ATTEMPTS,
    FOOTER_KEY,
    CommitRefused,
    Lake,
    LakeFile,
    Snapshot,
    TableSpec,
    attempts,
    footer_bytes,
    staging,
)
from flow_pipeline.partitions import UNPARTITIONED, utc_now

THREAT_ENTRIES = TableSpec("threat_entries", THREAT_SCHEMA, ())


# A feed on the web that answered is left alone for so long, however often runs are: the hourly ones
# ask each hour. One that failed is asked again sooner, but not by every run of a busy minute.
ASKED_AGAIN_AFTER = timedelta(minutes=50)
ASKED_AGAIN_AFTER_FAILURE = timedelta(minutes=5)
# A list that is suddenly so many times smaller is taken for a broken one.
SHRUNK_TIMES = 10


@dataclass(frozen=True)
class FeedState:
    """A feed as of when it was asked last.

    `entries` and `ignored` are those of its last good state, which was taken at `changed_at` (None:
    it was never read). `failure` says why that stands, if the feed's last answer was no good.
    `asked_at` is known of feeds on the web (`is_url`), and of files whose last answer was no good:
    files are read by each run. `changed`: the last refresh took a new state.
    """

    feed: str
    entries: int
    ignored: int
    changed: bool
    failure: str | None
    is_url: bool
    asked_at: datetime | None = None
    changed_at: datetime | None = None


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


def refresh_feeds(
    lake: Lake,
    locations: Sequence[str],
    accepted: Collection[str] = (),
    now: Callable[[], datetime] = utc_now,
) -> list[FeedState]:
    """Ask every feed and record what changed since it was asked last.

    A feed that cannot be read, is empty, or is suddenly ten times smaller keeps its last good
    state, and its state says so; of the feeds that `accepted` names, whatever they list is taken. A
    feed on the web that was asked a short while ago is not asked again. Raises ReferenceDataError
    for a feed that was never read at all, SettingError if two feeds have one name.
    """
    check_feed_names(locations)
    lake.ensure_table(THREAT_ENTRIES)
    places = [feed_place(location) for location in locations]
    return [_refresh(lake, place, place.name in accepted, now) for place in places]


def feed_states(lake: Lake, locations: Sequence[str]) -> list[FeedState]:
    """The configured feeds as they were when they were asked last. Asks none, writes nothing."""
    snapshot = lake.snapshot(THREAT_ENTRIES.name)
    places = [feed_place(location) for location in locations]
    return [_Recorded.of(snapshot, place.name).state(place) for place in places]


def read_history(lake: Lake, locations: Sequence[str]) -> ThreatHistory:
    """The history of the feeds that are configured now, in their order."""
    feeds = tuple(feed_name(location) for location in locations)
    snapshot = lake.snapshot(THREAT_ENTRIES.name)
    files = {} if snapshot is None else _entries_by_feed(snapshot.files)
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


@dataclass(frozen=True)
class _Asked:
    """What came of asking a feed last, as the footer of a file without rows keeps it.

    The validators are those of the content whose digest is `content`: of any other they tell
    nothing.
    `request` stands for what was asked: another query or column may have another answer.
    """

    at: datetime
    request: str
    failure: str | None
    content: str | None
    validators: Validators
    changes_at: datetime | None

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> _Asked:
        changes_at = recorded["changes_at"]
        return cls(
            datetime.fromisoformat(recorded["at"]),
            recorded["request"],
            recorded["failure"],
            recorded["content"],
            Validators(recorded["etag"], recorded["last_modified"]),
            datetime.fromisoformat(changes_at) if changes_at else None,
        )

    def recorded(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(),
            "request": self.request,
            "failure": self.failure,
            "content": self.content,
            "etag": self.validators.etag,
            "last_modified": self.validators.last_modified,
            "changes_at": self.changes_at.isoformat() if self.changes_at else None,
        }

    def is_due(self, request: str, now: datetime) -> bool:
        """Whether the feed is to be asked again."""
        patience = ASKED_AGAIN_AFTER_FAILURE if self.failure else ASKED_AGAIN_AFTER
        # A clock that was set back must not silence a feed.
        is_recent = self.at <= now < self.at + patience
        return not is_recent or self.request != request or self._has_changed(now)

    def validators_for(self, request: str, content: str | None, now: datetime) -> Validators | None:
        """By what to ask whether a content still stands, if that is known."""
        is_known = self.request == request and self.content == content is not None
        return self.validators if is_known and not self._has_changed(now) else None

    def _has_changed(self, now: datetime) -> bool:
        return self.changes_at is not None and self.changes_at <= now


@dataclass(frozen=True)
class _Recorded:
    """The files of one feed: its entries, and what came of asking it last; each may be missing."""

    feed: str
    entries: LakeFile | None
    footer: Mapping[str, Any]
    asked_file: LakeFile | None
    asked: _Asked | None

    @classmethod
    def of(cls, snapshot: Snapshot | None, feed: str) -> _Recorded:
        files = snapshot.files if snapshot else ()
        entries, footer = _entries_by_feed(files).get(feed, (None, {}))
        for file in files:
            found = file.footer()
            if found["feed"] == feed and "asked" in found:
                return cls(feed, entries, footer, file, _Asked.read(found["asked"]))
        return cls(feed, entries, footer, None, None)

    @property
    def snapshots(self) -> list[list[str]]:
        """When the feed changed, and the digests of what it said then."""
        return self.footer.get("snapshots", [])

    @property
    def content(self) -> str | None:
        """The digest of the last good state."""
        return self.snapshots[-1][1] if self.snapshots else None

    @property
    def files(self) -> list[LakeFile]:
        return [file for file in (self.entries, self.asked_file) if file is not None]

    def state(self, place: FeedPlace) -> FeedState:
        return FeedState(
            self.feed,
            self.footer.get("entries", 0),
            self.footer.get("ignored", 0),
            False,
            self.asked.failure if self.asked else None,
            place.is_url,
            self.asked.at if self.asked else None,
            datetime.fromisoformat(self.snapshots[-1][0]) if self.snapshots else None,
        )


def _refresh(
    lake: Lake, place: FeedPlace, is_accepted: bool, now: Callable[[], datetime]
) -> FeedState:
    request = hashlib.sha256(f"{place.address} {place.columns}".encode()).hexdigest()[:16]
    known: _Recorded | None = None
    answer: FeedAnswer | ReferenceDataError | None = None
    asked_at = now()
    for _ in attempts():
        snapshot = lake.existing(THREAT_ENTRIES)
        before, known = known, _Recorded.of(snapshot, place.name)
        # The table has the files of all feeds: what others wrote there is no reason to ask again.
        if answer is None or before is None or before.files != known.files:
            asked = known.asked
            asked_at = now()
            if not is_accepted and place.is_url and asked and not asked.is_due(request, asked_at):
                return known.state(place)
            answer = _ask(place, known, request, is_accepted, asked_at)
        if isinstance(answer, ReferenceDataError) and not known.snapshots:
            raise answer
        written = _outcome(place, known, request, answer, asked_at)
        if written is not None:
            try:
                _write(snapshot, known, *written)
            except CommitRefused:
                continue
        state = _Recorded.of(lake.snapshot(THREAT_ENTRIES.name), place.name).state(place)
        changed = written is not None and written[0] is not None
        found = answer.snapshot if isinstance(answer, FeedAnswer) else None
        ignored = state.ignored if found is None else found.ignored
        return replace(state, changed=changed, ignored=ignored)
    raise LakeBusy(
        f"The history of the threat feed {place.name} was changed by other runs {ATTEMPTS} times",
        "One run at a time, or a few",
        "Run again when the others have ended",
    )


def _ask(
    place: FeedPlace, known: _Recorded, request: str, is_accepted: bool, now: datetime
) -> FeedAnswer | ReferenceDataError:
    """The feed's answer, or why it is no good."""
    conditions = None
    if known.asked and not is_accepted:
        conditions = known.asked.validators_for(request, known.content, now)
    try:
        answer = ask_feed(
            place,
            known=conditions,
            # One that was accepted without entries is no worse for being so still.
            may_be_empty=is_accepted or (bool(known.snapshots) and not known.footer["entries"]),
        )
    except ReferenceDataError as error:
        return error
    listed, found = known.footer.get("entries", 0), answer.snapshot
    if found is None or is_accepted or not listed or len(found.entries) * SHRUNK_TIMES > listed:
        return answer
    return ReferenceDataError(
        f"The threat feed {place.name} lists {len(found.entries):,} entries, where it listed "
        f"{listed:,} before",
        f"Expected no list that is suddenly {SHRUNK_TIMES} times smaller; the last good one stands",
        f"If it is meant to be so small, run `flow-pipeline feeds --accept {place.name}`",
    )


def _outcome(
    place: FeedPlace,
    known: _Recorded,
    request: str,
    answer: FeedAnswer | ReferenceDataError,
    at: datetime,
) -> tuple[FeedSnapshot | None, _Asked | None] | None:
    """What is to be written of an answer: a new state, and what came of asking; None: nothing."""
    asked = known.asked
    if isinstance(answer, ReferenceDataError):
        # What the good state was told by stays: so the next answer is held against that again.
        kept = asked.validators_for(request, known.content, at) if asked else None
        changes_at = asked.changes_at if asked and kept else None
        failed = _Asked(at, request, str(answer), known.content, kept or Validators(), changes_at)
        if not place.is_url and asked is not None and asked.failure == failed.failure:
            return None
        return None, failed
    found = answer.snapshot
    if found is None:
        changes_at = asked.changes_at if asked else None
        return None, _Asked(at, request, None, known.content, answer.validators, changes_at)
    is_new = not known.snapshots or found.content_digest != known.content
    if not place.is_url:
        # A file is read each time: nothing has to be known of that, unless it was worse before.
        return (found if is_new else None, None) if is_new or asked else None
    now_asked = _Asked(at, request, None, found.content_digest, answer.validators, found.changes_at)
    return found if is_new else None, now_asked


def _write(
    snapshot: Snapshot, known: _Recorded, found: FeedSnapshot | None, asked: _Asked | None
) -> None:
    """Put the feed's new state, and what came of asking, in the place of the old, in one commit."""
    staged: list[Path] = []
    replaced = [known.asked_file] if known.asked_file else []
    if found is not None:
        before = pq.read_table(known.entries.path) if known.entries else THREAT_SCHEMA.empty_table()
        footer = {
            "entries": len(found.entries),
            "ignored": found.ignored,
            "snapshots": [*known.snapshots, [found.fetched_at.isoformat(), found.content_digest]],
        }
        rows = merge_snapshot(before, found, is_first=not known.snapshots)
        staged.append(_stage(snapshot, rows, {"feed": known.feed, **footer}))
        replaced += [known.entries] if known.entries else []
    if asked is not None:
        footer = {"feed": known.feed, "asked": asked.recorded()}
        staged.append(_stage(snapshot, THREAT_SCHEMA.empty_table(), footer))
    snapshot.commit(UNPARTITIONED, staged, replaced)


def _stage(snapshot: Snapshot, rows: pa.Table, footer: Mapping[str, Any]) -> Path:
    path = snapshot.stage(UNPARTITIONED)
    with (
        staging(path),
        pq.ParquetWriter(path, THREAT_SCHEMA, compression="zstd") as writer,
    ):
        writer.write_table(rows)
        writer.add_key_value_metadata({FOOTER_KEY: footer_bytes(footer)})
    return path


def _entries_by_feed(files: Sequence[LakeFile]) -> dict[str, tuple[LakeFile, dict[str, Any]]]:
    footers = [(file, file.footer()) for file in files]
    return {footer["feed"]: (file, footer) for file, footer in footers if "snapshots" in footer}
