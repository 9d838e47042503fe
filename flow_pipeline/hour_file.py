"""One source's written hour becomes a staged file: blobs read whole, read on, or carried over.

Belongs here: what is done with each blob of a listing, the rows and the manifest that come of it.
Which blobs are a source's, and the commit, are the business of `landing`.

A blob that changes while it is read is looked at again and started over, it alone; one that
vanishes counts as not listed. So what is written is always what some listing could have shown.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TypeVar

from flow_pipeline.errors import BlobChanged, BlobGone, BlobUnreadable, SourceError
from flow_pipeline.flowlog.blob_source import BlobSource, ListedBlob
from flow_pipeline.flowlog.block_list import (
    END,
    Block,
    BlockCursor,
    cursor_behind,
    data_blocks,
    is_at_its_place,
)
from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace
from flow_pipeline.flowlog.problems import KEPT_PROBLEMS, ProblemCode
from flow_pipeline.lake import Snapshot, attempts, footer_bytes
from flow_pipeline.landed_file import BlobManifest, Landing, Manifest, Problem, RowWriter
from flow_pipeline.partitions import settled_at, written_partition

_Key = TypeVar("_Key")

# Part of every landing's id: raise it when the same blob would be decoded into other rows.
LANDING_VERSION = 2

# With one of these it is not certain that the document ended where its last block begins; and what
# they tell counts bytes from where reading began.
_OF_THE_DOCUMENT = {
    ProblemCode.NOT_A_FLOW_LOG,
    ProblemCode.CUT_OFF,
    ProblemCode.UNREADABLE_JSON,
    ProblemCode.TRAILING_DATA,
}


class ListedElsewhere(Exception):
    """A blob that is gone from its source was listed by another one too: list the hour anew.

    No failure that a user sees, but for `failure`, when it happens again and again.
    """

    def __init__(self, failure: SourceError) -> None:
        self.failure = failure
        super().__init__(str(failure))


@dataclass(frozen=True)
class Listing:
    """What one source has of a written hour. `source` is None if it is configured no more.

    `elsewhere` are those of the blobs that another source listed, too.
    """

    name: str
    source: BlobSource | None
    sources: tuple[str, ...]
    listed_at: datetime
    blobs: Sequence[ListedBlob]
    elsewhere: frozenset[str]


@dataclass(frozen=True)
class StagedHour:
    """A file that is ready to be committed. `bytes_read` were fetched for it."""

    path: Path
    manifest: Manifest
    blobs_read: int
    blobs_read_on: int
    bytes_read: int


def stage_hour(
    snapshot: Snapshot,
    hour: datetime,
    listing: Listing,
    old: Landing | None,
    kept: Sequence[BlobManifest],
) -> StagedHour:
    """Write what an hour of one source holds now. `kept` are the blobs of `old` that are still its.

    Raises SourceError, ListedElsewhere or LakeError, and leaves no file then.
    """
    known = {blob.blob: blob for blob in kept}
    current = {blob.blob: blob for blob in listing.blobs}
    file = _HourFile(snapshot, hour, listing, old)
    with file.open:
        for name in sorted(known.keys() | current.keys()):
            file.add(known.get(name), current.get(name))
        return file.close()


class _HourFile:
    """The file while it is written, blob by blob in the order of their names."""

    def __init__(
        self, snapshot: Snapshot, hour: datetime, listing: Listing, old: Landing | None
    ) -> None:
        self._snapshot = snapshot
        self._hour = hour
        self._listing = listing
        self._old = old
        self._manifests: list[BlobManifest] = []
        self._blobs_read = self._blobs_read_on = self._bytes_read = 0
        self.open = ExitStack()
        self._path, self._rows = self._new_file()

    def add(self, known: BlobManifest | None, found: ListedBlob | None) -> None:
        """The next blob, as the old file has it and as it was listed."""
        if found is not None:
            manifest = self._landed(known, found)
            if manifest is not None:
                self._manifests.append(manifest)
                return
        if known is not None:
            # Of a source that is not configured any more nothing new is known.
            newly_gone = self._listing.listed_at if self._listing.source else None
            gone_at = known.gone_at or newly_gone
            self._manifests.append(self._carried_over(known, gone_at))

    def close(self) -> StagedHour:
        """Write the footer."""
        manifest = self._manifest()
        self._rows.close(manifest)
        return StagedHour(
            self._path, manifest, self._blobs_read, self._blobs_read_on, self._bytes_read
        )

    def _landed(self, known: BlobManifest | None, found: ListedBlob) -> BlobManifest | None:
        """A blob that was listed, started over as often as it changes; None if it is gone."""
        source = self._listing.source
        assert source is not None, "a blob is listed by a source that is open"
        if self._old is not None and self._old.manifest.version != LANDING_VERSION:
            known = None
        failure: BlobChanged | BlobGone | None = None
        for _ in attempts():
            if known is not None and known.etag == found.etag:
                return self._carried_over(known, gone_at=None)
            first_row = self._rows.count
            try:
                return self._read(source, known, found)
            except (BlobChanged, BlobGone) as error:
                failure = error
            self._take_back(first_row)
            again = source.relist(found)
            if again is None:
                if found.blob in self._listing.elsewhere:
                    raise ListedElsewhere(failure)
                return None
            found = again
        assert failure is not None, "there is at least one attempt"
        raise failure

    def _read(
        self, source: BlobSource, known: BlobManifest | None, found: ListedBlob
    ) -> BlobManifest:
        """Read on from where the blob was left, or whole where that is not safe."""
        # A request more, so that what may grow can be read on; a backfill is spared it.
        may_grow = known is not None or self._listing.listed_at < settled_at(self._hour)
        blocks = source.blocks(found) if may_grow else None
        if blocks is not None and not _is_laid_out_by_azure(blocks, found.size):
            blocks = None
        cursor = known.cursor if known is not None else None
        if cursor is not None and blocks is not None and is_at_its_place(cursor, blocks):
            first_row = self._rows.count
            manifest = self._decoded(source, found, blocks, known)
            if _is_sound(manifest):
                self._blobs_read += 1
                self._blobs_read_on += 1
                return manifest
            self._take_back(first_row)
        manifest = self._decoded(source, found, blocks, None)
        self._blobs_read += 1
        return manifest

    def _decoded(
        self,
        source: BlobSource,
        found: ListedBlob,
        blocks: Sequence[Block] | None,
        before: BlobManifest | None,
    ) -> BlobManifest:
        """Decode a blob whole, or behind the cursor of what was read of it `before`."""
        place = BlobPlace(self._listing.name, found.blob, self._hour)
        cursor = before.cursor if before is not None else None
        start = cursor.offset if cursor is not None else 0
        chunks = source.read(found, start)
        # Most changes show in the first request: before rows are carried over for nothing.
        first_chunk = next(chunks, b"")
        first_row = self._rows.count
        if before is None:
            decoder = BlobDecoder(place)
        else:
            self._copy_rows(before)
            digest = bytes.fromhex(before.digest)
            decoder = BlobDecoder(place, first_record_no=before.records, digest=digest)
        last_bytes = b""
        for chunk in chain([first_chunk], chunks):
            self._bytes_read += len(chunk)
            self._rows.extend(decoder.feed(chunk))
            last_bytes = (last_bytes + chunk[-len(END) :])[-len(END) :]
        self._rows.extend(decoder.finish())
        summary = decoder.summary
        bytes_read = start + summary.bytes_read
        if bytes_read != found.size:
            raise BlobUnreadable(
                f"{found.blob} of {self._listing.name} came as {bytes_read} bytes",
                f"Expected the {found.size} bytes that were listed",
                "Run again; if it stays so, look at what stands between here and the source",
            )
        manifest = BlobManifest(
            blob=found.blob,
            etag=found.etag,
            size=found.size,
            bytes_read=bytes_read,
            blocks=None if blocks is None else len(data_blocks(blocks) or ()),
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
            landed_at=self._listing.listed_at,
            gone_at=None,
        )
        if before is not None:
            manifest = _together(before, manifest)
        # Another array may stand behind that of the records: what it grows by is no record.
        ends_with_records = summary.records_end == summary.bytes_read - len(END)
        if blocks is not None and last_bytes == END and ends_with_records and _is_sound(manifest):
            manifest = _with_cursor(manifest, cursor_behind(blocks))
        return manifest

    def _carried_over(self, known: BlobManifest, gone_at: datetime | None) -> BlobManifest:
        first_row = self._rows.count
        self._copy_rows(known)
        return known.model_copy(update={"first_row": first_row, "gone_at": gone_at})

    def _copy_rows(self, known: BlobManifest) -> None:
        assert self._old is not None, "a known blob comes from the old file"
        self._rows.carry_over(self._old.file.path, known.first_row, known.tuples)

    def _take_back(self, count: int) -> None:
        """Leave out all rows but the first `count`: the others are a part of a blob.

        What is written to a Parquet file stays in it, so those before go to a new one.
        """
        if self._rows.count == count:
            return
        rows, path = self._rows, self._path
        rows.close(self._manifest())
        self._path, self._rows = self._new_file()
        self._rows.carry_over(path, 0, count)
        path.unlink()

    def _new_file(self) -> tuple[Path, RowWriter]:
        path = self._snapshot.stage(written_partition(self._hour))
        return path, self.open.enter_context(RowWriter(path))

    def _manifest(self) -> Manifest:
        before = self._old.manifest.touched_hours if self._old is not None else set[datetime]()
        now = {hour for blob in self._manifests for hour in blob.event_hours}
        return Manifest(
            version=LANDING_VERSION,
            source=self._listing.name,
            sources=self._listing.sources,
            written_hour=self._hour,
            listed_at=self._listing.listed_at,
            landing_id=_landing_id(self._listing.name, self._hour, self._manifests),
            blobs=tuple(self._manifests),
            emptied_hours=tuple(sorted(before - now)),
        )


def _is_laid_out_by_azure(blocks: Sequence[Block], size: int) -> bool:
    return data_blocks(blocks) is not None and sum(block.size for block in blocks) == size


def _is_sound(manifest: BlobManifest) -> bool:
    """Whether it is certain that the records end where the blob's last block begins."""
    return (
        manifest.records > 0
        and manifest.problem_count == len(manifest.problems)
        and not any(problem.code in _OF_THE_DOCUMENT for problem in manifest.problems)
    )


def _with_cursor(manifest: BlobManifest, cursor: BlockCursor | None) -> BlobManifest:
    if cursor is None:
        return manifest
    update = {"last_block_id": cursor.last_block_id, "last_block_end": cursor.offset}
    return manifest.model_copy(update=update)


def _together(before: BlobManifest, added: BlobManifest) -> BlobManifest:
    """A blob that was read in two parts, as if it had been read at once."""
    return added.model_copy(
        update={
            "records": before.records + added.records,
            "tuples": before.tuples + added.tuples,
            "rejected": before.rejected + added.rejected,
            "rejects": _sum(before.rejects, added.rejects),
            "problems": (*before.problems, *added.problems)[:KEPT_PROBLEMS],
            "problem_count": before.problem_count + added.problem_count,
            "versions": _sum(before.versions, added.versions),
            "event_hours": _sum(before.event_hours, added.event_hours),
        }
    )


def _sum(before: Mapping[_Key, int], added: Mapping[_Key, int]) -> dict[_Key, int]:
    return dict(Counter(before) + Counter(added))


def _landing_id(source: str, hour: datetime, blobs: Sequence[BlobManifest]) -> str:
    """The same blobs with the same content give the same id, whenever they were listed."""
    content = [LANDING_VERSION, source, hour.isoformat()]
    content += [[blob.blob, blob.digest, blob.tuples, blob.rejected] for blob in blobs]
    return hashlib.sha256(footer_bytes({"content": content})).hexdigest()[:32]
