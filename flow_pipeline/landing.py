"""Landing: a written hour of blobs becomes one file per source, with its manifest in the footer.

Belongs here: which blobs are whose, whether there is anything to write, and the commit. How a file
comes to hold the rows of a source's blobs is told in `hour_file`. Tuples read, decoded or rejected,
and the manifest are one file, so they cannot disagree.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from flow_pipeline.errors import LakeBusy, SourceError
from flow_pipeline.flowlog.blob_source import BlobSource
from flow_pipeline.hour_file import (
    LANDING_VERSION,
    ListedElsewhere,
    Listing,
    StagedHour,
    stage_hour,
)
from flow_pipeline.lake import ATTEMPTS, CommitRefused, Lake, Snapshot, attempts
from flow_pipeline.landed_file import (
    LANDED_TUPLES,
    BlobManifest,
    Landing,
    Manifest,
    Problem,
    read_landing,
)
from flow_pipeline.partitions import settled_at, utc_now, written_partition

# Each takes some 100 MB.
_MOST_WORKERS = 4

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class LandedHour:
    """What landing a written hour came to. `changed`: rows differ from what the lake held.

    Of `blobs_read` so many were read on from where they had been left, the others whole.
    `bytes_read` were fetched of them now; `size` is that of the files.
    """

    hour: datetime
    manifests: tuple[Manifest, ...]
    changed: bool
    blobs_read: int
    blobs_read_on: int
    bytes_read: int
    size: int

    @property
    def blobs(self) -> int:
        """Blobs whose rows the lake holds for this hour."""
        return sum(len(manifest.blobs) for manifest in self.manifests)

    @property
    def tuples(self) -> int:
        """Tuples of this hour, rejected ones included."""
        return sum(manifest.tuples for manifest in self.manifests)

    @property
    def rejected(self) -> int:
        """Tuples of this hour that could not be decoded."""
        return sum(manifest.rejected for manifest in self.manifests)

    @property
    def event_hours(self) -> set[datetime]:
        """The hours in which this hour's flows happened."""
        return {hour for manifest in self.manifests for hour in manifest.event_hours}

    @property
    def problems(self) -> list[tuple[str, Problem]]:
        """Blob and problem, for what concerns whole blobs or records."""
        return [
            (blob.blob, problem)
            for manifest in self.manifests
            for blob in manifest.blobs
            for problem in blob.problems
        ]


def land_hour(
    lake: Lake,
    sources: Sequence[BlobSource],
    hour: datetime,
    now: Callable[[], datetime] = utc_now,
) -> LandedHour:
    """Bring one written hour of all sources up to date, in one commit.

    A blob whose ETag is known is not read again, one that has grown is read on from where it was
    left, one that is listed no more keeps its rows. Doing it again changes nothing. Raises
    SourceError if a source or a blob cannot be read, LakeBusy if other writers won every time.
    """
    failure: SourceError | None = None
    for _ in attempts():
        # Taken before the listing: an older listing can then never replace a newer one.
        snapshot = lake.existing(LANDED_TUPLES)
        try:
            return _land(snapshot, sources, hour, now)
        except CommitRefused:
            failure = None
        except ListedElsewhere as moved:
            failure = moved.failure
    if failure is not None:
        raise failure
    raise LakeBusy(
        f"The written hour {hour:%Y-%m-%dT%H} was changed by other runs {ATTEMPTS} times",
        "One run at a time for the same hour, or a few",
        "Run again when the others have ended",
    )


def land_hours(
    lake: Lake,
    sources: Sequence[BlobSource],
    hours: Sequence[datetime],
    workers: int | None = None,
) -> Iterator[LandedHour]:
    """Land written hours side by side; gives each, in their order, when it has landed.

    The scanner and the Parquet writer leave other threads to Python, so that is what they are run
    in. Where one hour fails those that were begun are ended, and no other is. Raises as land_hour.
    """
    if workers is None:
        workers = min(_MOST_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(max_workers=max(1, min(workers, len(hours)))) as pool:
        begun = [pool.submit(land_hour, lake, sources, hour) for hour in hours]
        try:
            for each in begun:
                yield each.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _land(
    snapshot: Snapshot,
    sources: Sequence[BlobSource],
    hour: datetime,
    now: Callable[[], datetime],
) -> LandedHour:
    partition = written_partition(hour)
    before = {
        landing.manifest.source: landing
        for landing in map(read_landing, snapshot.files_of(partition))
    }
    names = tuple(source.name for source in sources)
    listed_at = now()
    found = _side_by_side(lambda source: list(source.list_hour(hour)), sources)
    owner: dict[str, str] = {}
    elsewhere: set[str] = set()
    for blobs in found:
        for blob in blobs:
            if owner.setdefault(blob.blob, blob.source) != blob.source:
                elsewhere.add(blob.blob)
    listings = [
        Listing(
            source.name,
            source,
            names,
            listed_at,
            [blob for blob in blobs if owner[blob.blob] == source.name],
            frozenset(elsewhere),
        )
        for source, blobs in zip(sources, found, strict=True)
    ]
    # A source that is configured no more keeps its rows, but for blobs that another one has now.
    listings += [
        Listing(name, None, old.manifest.sources, old.manifest.listed_at, [], frozenset())
        for name, old in before.items()
        if name not in names and len(_kept(old, owner)) < len(old.manifest.blobs)
    ]

    def stage(listing: Listing) -> StagedHour | None:
        old = before.get(listing.name)
        kept = _kept(old, owner)
        if old is not None and _is_current(old.manifest, listing, kept, hour):
            return None
        staged = stage_hour(snapshot, hour, listing, old, kept)
        finished.append(staged.path)
        return staged

    finished: list[Path] = []
    try:
        new = [file for file in _side_by_side(stage, listings) if file is not None]
    except BaseException:
        # One source failed: what the others staged is not going to be committed.
        for path in finished:
            path.unlink(missing_ok=True)
        raise
    replaced = [before[file.manifest.source] for file in new if file.manifest.source in before]
    if new:
        snapshot.commit(partition, [file.path for file in new], [old.file for old in replaced])
    untouched = [
        landing
        for name, landing in before.items()
        if name not in {file.manifest.source for file in new}
    ]
    return LandedHour(
        hour=hour,
        manifests=tuple(landing.manifest for landing in untouched)
        + tuple(file.manifest for file in new),
        changed={file.manifest.landing_id for file in new}
        != {landing.manifest.landing_id for landing in replaced},
        blobs_read=sum(file.blobs_read for file in new),
        blobs_read_on=sum(file.blobs_read_on for file in new),
        bytes_read=sum(file.bytes_read for file in new),
        size=sum(landing.file.size for landing in untouched)
        + sum(file.path.stat().st_size for file in new),
    )


def _side_by_side(work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) == 1:
        return [work(items[0])]
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        return list(pool.map(work, items))


def _kept(old: Landing | None, owner: Mapping[str, str]) -> list[BlobManifest]:
    """The blobs of a landed file that nobody lists any more, or that still belong to its source."""
    if old is None:
        return []
    source = old.manifest.source
    return [blob for blob in old.manifest.blobs if owner.get(blob.blob, source) == source]


def _is_current(
    manifest: Manifest, listing: Listing, kept: Sequence[BlobManifest], hour: datetime
) -> bool:
    """Whether a new file would say nothing that the old one does not."""
    known = {blob.blob: blob.etag for blob in kept if blob.gone_at is None}
    return (
        manifest.version == LANDING_VERSION
        and manifest.sources == listing.sources
        and manifest.listed_at >= settled_at(hour)
        and len(kept) == len(manifest.blobs)
        and known == {blob.blob: blob.etag for blob in listing.blobs}
    )
