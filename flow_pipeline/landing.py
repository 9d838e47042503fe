"""Landing: a written hour of blobs becomes one file per source, with its manifest in the footer.

Belongs here: which blobs are read, which rows are carried over, and the bookkeeping that proves it.
Tuples read, decoded or rejected, and the manifest are one file, so they cannot disagree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from flow_pipeline.errors import BlobChanged, BlobGone, LakeBusy, SourceError
from flow_pipeline.flowlog.blob_source import BlobSource, ListedBlob
from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace
from flow_pipeline.lake import (
    ATTEMPTS,
    CommitRefused,
    Lake,
    Snapshot,
    attempts,
    footer_bytes,
)
from flow_pipeline.landed_file import (
    LANDED_TUPLES,
    BlobManifest,
    Landing,
    Manifest,
    Problem,
    RowWriter,
    read_landing,
)
from flow_pipeline.partitions import settled_at, utc_now, written_partition

_T = TypeVar("_T")
_R = TypeVar("_R")

# Part of every landing's id: raise it when the same blob would be decoded into other rows.
LANDING_VERSION = 1


@dataclass(frozen=True)
class LandedHour:
    """What landing a written hour came to. `changed`: rows differ from what the lake held."""

    hour: datetime
    manifests: tuple[Manifest, ...]
    changed: bool
    blobs_read: int
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

    A blob whose ETag is known is not read again; one that is listed no more keeps its rows. Doing
    it again changes nothing. Raises SourceError if a source or a blob cannot be read, LakeBusy if
    other writers won every time.
    """
    changed_under_us: BlobChanged | BlobGone | None = None
    for _ in attempts():
        # Taken before the listing: an older listing can then never replace a newer one.
        snapshot = lake.existing(LANDED_TUPLES)
        try:
            return _land(snapshot, sources, hour, now)
        except CommitRefused:
            changed_under_us = None
        except (BlobChanged, BlobGone) as error:
            changed_under_us = error
    if changed_under_us is not None:
        raise changed_under_us
    raise LakeBusy(
        f"The written hour {hour:%Y-%m-%dT%H} was changed by other runs {ATTEMPTS} times",
        "One run at a time for the same hour, or a few",
        "Run again when the others have ended",
    )


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
    for blobs in found:
        for blob in blobs:
            owner.setdefault(blob.blob, blob.source)
    listings = [
        _Listing(
            source.name,
            names,
            listed_at,
            [blob for blob in blobs if owner[blob.blob] == source.name],
            source.read,
        )
        for source, blobs in zip(sources, found, strict=True)
    ]
    # A source that is configured no more keeps its rows, but for blobs that another one has now.
    listings += [
        _Listing(name, old.manifest.sources, old.manifest.listed_at, [], None)
        for name, old in before.items()
        if name not in names and len(_kept(old, owner)) < len(old.manifest.blobs)
    ]

    def stage(listing: _Listing) -> _Staged | None:
        old = before.get(listing.source)
        kept = _kept(old, owner)
        if old is not None and _is_current(old.manifest, listing, kept, hour):
            return None
        staged = _stage(snapshot, hour, listing, old, kept)
        finished.append(staged.path)
        return staged

    finished: list[Path] = []
    try:
        new = [file for file in _side_by_side(stage, listings) if file is not None]
    except SourceError:
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
        bytes_read=sum(file.bytes_read for file in new),
        size=sum(landing.file.size for landing in untouched)
        + sum(file.path.stat().st_size for file in new),
    )


def _side_by_side(work: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) == 1:
        return [work(items[0])]
    with ThreadPoolExecutor(max_workers=max(1, len(items))) as pool:
        return list(pool.map(work, items))


@dataclass(frozen=True)
class _Listing:
    """What one source has of a written hour. `read` is None if it is configured no more."""

    source: str
    sources: tuple[str, ...]
    listed_at: datetime
    blobs: Sequence[ListedBlob]
    read: Callable[[ListedBlob], Iterator[bytes]] | None


def _kept(old: Landing | None, owner: Mapping[str, str]) -> list[BlobManifest]:
    """The blobs of a landed file that nobody lists any more, or that still belong to its source."""
    if old is None:
        return []
    source = old.manifest.source
    return [blob for blob in old.manifest.blobs if owner.get(blob.blob, source) == source]


def _is_current(
    manifest: Manifest, listing: _Listing, kept: Sequence[BlobManifest], hour: datetime
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


@dataclass(frozen=True)
class _Staged:
    path: Path
    manifest: Manifest
    blobs_read: int
    bytes_read: int


def _stage(
    snapshot: Snapshot,
    hour: datetime,
    listing: _Listing,
    old: Landing | None,
    kept: Sequence[BlobManifest],
) -> _Staged:
    """Write what an hour of one source holds now, rows that are known carried over."""
    known = {blob.blob: blob for blob in kept}
    current = {blob.blob: blob for blob in listing.blobs}
    is_readable_as_before = old is not None and old.manifest.version == LANDING_VERSION
    manifests: list[BlobManifest] = []
    blobs_read = bytes_read = 0
    path = snapshot.stage(written_partition(hour))
    with RowWriter(path) as rows:
        for name in sorted(known.keys() | current.keys()):
            blob, found = known.get(name), current.get(name)
            first_row = rows.count
            if blob is not None and (
                found is None or (blob.etag == found.etag and is_readable_as_before)
            ):
                assert old is not None, "a known blob comes from the old file"
                rows.carry_over(old.file.path, blob.first_row, blob.tuples)
                # Of a source that is not configured any more (no `read`) nothing new is known.
                newly_gone = listing.listed_at if listing.read else None
                gone_at = None if found else blob.gone_at or newly_gone
                manifests.append(
                    blob.model_copy(update={"first_row": first_row, "gone_at": gone_at})
                )
                continue
            assert found is not None, "an unknown blob was listed"
            assert listing.read is not None, "a blob is listed by a source that is open"
            decoder = BlobDecoder(BlobPlace(listing.source, name, hour))
            for chunk in listing.read(found):
                rows.extend(decoder.feed(chunk))
            rows.extend(decoder.finish())
            summary = decoder.summary
            blobs_read += 1
            bytes_read += summary.bytes_read
            manifests.append(
                BlobManifest(
                    blob=name,
                    etag=found.etag,
                    size=summary.bytes_read,
                    records=summary.records,
                    tuples=summary.tuples,
                    rejected=summary.rejected,
                    rejects={str(reason): count for reason, count in summary.rejects.items()},
                    problems=tuple(
                        Problem(code=str(p.code), detail=p.detail, record_no=p.record_no)
                        for p in summary.problems
                    ),
                    problem_count=summary.problem_count,
                    versions=summary.versions,
                    event_hours=summary.event_hours,
                    digest=summary.digest.hex(),
                    first_row=first_row,
                    landed_at=listing.listed_at,
                    gone_at=None,
                )
            )
        manifest = Manifest(
            version=LANDING_VERSION,
            source=listing.source,
            sources=listing.sources,
            written_hour=hour,
            listed_at=listing.listed_at,
            landing_id=_landing_id(listing.source, hour, manifests),
            blobs=tuple(manifests),
        )
        rows.close(manifest)
    return _Staged(path, manifest, blobs_read, bytes_read)


def _landing_id(source: str, hour: datetime, blobs: Sequence[BlobManifest]) -> str:
    """The same blobs with the same content give the same id, whenever they were listed."""
    content = [LANDING_VERSION, source, hour.isoformat()]
    content += [[blob.blob, blob.digest, blob.tuples, blob.rejected] for blob in blobs]
    return hashlib.sha256(footer_bytes({"content": content})).hexdigest()[:32]
