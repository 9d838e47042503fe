"""The ledger: what the manifests say, held against the rows that were landed.

Belongs here: the proofs, read from the lake alone. What is read and carried over is decided by
`landing`; what a run finds wrong is shown by `defs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipeline.flowlog.schema import LANDED_SCHEMA
from flow_pipeline.lake import Lake
from flow_pipeline.landed_file import LANDED_TUPLES, BlobManifest, Manifest, read_landing
from flow_pipeline.partitions import HOUR, written_partition

_MS_PER_HOUR = 3_600_000
_EPOCH = datetime(1970, 1, 1)
_NULL = -1
# An hour may have any number of rows; these are in memory at a time.
_BATCH_ROWS = 65_536


@dataclass
class Verified:
    """What was held against each other, in sums, and what disagrees.

    `bytes_listed`, `bytes_read` and `tuples` are those of the manifests; `decoded` and `rejected`
    were counted in the rows. `discrepancies` are those of the ledger, `other_columns` the files
    whose columns are not those of the table. Both empty is how it should be.
    """

    files: int = 0
    blobs: int = 0
    bytes_listed: int = 0
    bytes_read: int = 0
    tuples: int = 0
    decoded: int = 0
    rejected: int = 0
    discrepancies: list[str] = field(default_factory=list[str])
    other_columns: list[str] = field(default_factory=list[str])

    @property
    def faults(self) -> list[str]:
        """All that disagrees."""
        return self.discrepancies + self.other_columns

    def add(self, manifest: Manifest, found: dict[str, _BlobRows]) -> None:
        """Hold the manifest of a file against the rows that name its blobs."""
        self.blobs += len(manifest.blobs)
        self.bytes_listed += sum(blob.size for blob in manifest.blobs)
        # A footer from before this was recorded does not say how many bytes were read.
        read = (blob.bytes_read for blob in manifest.blobs)
        self.bytes_read += sum(count for count in read if count is not None)
        self.tuples += manifest.tuples
        self.decoded += sum(rows.event_hours.total() for rows in found.values())
        self.rejected += sum(rows.rejects.total() for rows in found.values())
        self.discrepancies += _disagreements(manifest, found)


def verify_hours(lake: Lake, hours: Sequence[datetime]) -> Verified:
    """Hold what the manifests of some written hours say against the rows themselves.

    Of every blob: the bytes read are those that were listed; its rows are as many as it has tuples
    and stand together where the manifest says; as many are rejected for each reason, and decoded
    for each event hour.
    """
    snapshot = lake.existing(LANDED_TUPLES)
    verified = Verified()
    for hour in hours:
        for file in snapshot.files_of(written_partition(hour)):
            verified.files += 1
            schema = pq.read_schema(file.path)
            # Whether a column may have nulls is a file's own affair.
            if [(f.name, f.type) for f in schema] != [(f.name, f.type) for f in LANDED_SCHEMA]:
                verified.other_columns.append(f"{file.path.name}: {schema.names}")
                continue
            verified.add(read_landing(file).manifest, _rows_by_blob(file.path))
    return verified


@dataclass
class _BlobRows:
    """The rows that name one blob: where they stand, and what is in them."""

    runs: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    rejects: Counter[str] = field(default_factory=Counter[str])
    event_hours: Counter[datetime] = field(default_factory=Counter[datetime])

    def extend(self, first_row: int, rows: int) -> None:
        """Add a run of rows; one that goes on where the last one ended is the same run."""
        if self.runs and sum(self.runs[-1]) == first_row:
            first_row, before = self.runs.pop()
            rows += before
        self.runs.append((first_row, rows))


def _disagreements(manifest: Manifest, found: dict[str, _BlobRows]) -> Iterator[str]:
    for blob in manifest.blobs:
        yield from _disagreements_of(blob, found.pop(blob.blob, _BlobRows()))
    for name, rows in sorted(found.items()):
        yield f"{name}: {sum(n for _, n in rows.runs)} rows without a manifest entry"


def _disagreements_of(blob: BlobManifest, found: _BlobRows) -> Iterator[str]:
    # A footer from before this was recorded does not say how many bytes were read.
    if blob.bytes_read is not None and blob.bytes_read != blob.size:
        yield f"{blob.blob}: {blob.size} bytes listed, {blob.bytes_read} read"
    expected = [(blob.first_row, blob.tuples)] if blob.tuples else []
    if found.runs != expected:
        yield f"{blob.blob}: rows (first, count) {expected} expected, {found.runs} found"
    rejected = sum(found.rejects.values())
    if rejected != blob.rejected or found.rejects != blob.rejects:
        yield (
            f"{blob.blob}: {blob.rejected} rejected {dict(blob.rejects)} expected, "
            f"{rejected} {dict(found.rejects)} found"
        )
    if found.event_hours != blob.event_hours:
        yield (
            f"{blob.blob}: event hours {_by_hour(blob.event_hours)} expected, "
            f"{_by_hour(found.event_hours)} found"
        )


def _by_hour(counts: Mapping[datetime, int]) -> dict[str, int]:
    return {f"{hour:%Y-%m-%dT%H}": count for hour, count in sorted(counts.items())}


def _rows_by_blob(path: Path) -> dict[str, _BlobRows]:
    """What a landed file's rows say of each blob, a batch of them in memory at a time."""
    found: dict[str, _BlobRows] = {}
    position = 0
    with pq.ParquetFile(path, read_dictionary=["blob", "reject_reason"]) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["blob", "reject_reason", "flow_time"]):
            blobs, blob_names = _codes(batch["blob"])
            reasons, reason_names = _codes(batch["reject_reason"])
            hours = batch["flow_time"].cast(pa.int64()).fill_null(0).to_numpy() // _MS_PER_HOUR
            ends = [*(np.flatnonzero(np.diff(blobs)) + 1).tolist(), len(blobs)]
            for start, end in pairwise([0, *ends]):
                rows = found.setdefault(blob_names[blobs[start]], _BlobRows())
                rows.extend(position + start, end - start)
                is_decoded = reasons[start:end] == _NULL
                rows.rejects.update(
                    {
                        reason_names[reason]: count
                        for reason, count in _counts(reasons[start:end][~is_decoded])
                    }
                )
                rows.event_hours.update(
                    {
                        _EPOCH + hour * HOUR: count
                        for hour, count in _counts(hours[start:end][is_decoded])
                    }
                )
            position += batch.num_rows
    return found


def _codes(column: pa.Array) -> tuple[np.ndarray, list[str]]:
    """A text column as numbers, and the texts that they stand for; the last stands for null."""
    encoded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode()
    return encoded.indices.fill_null(_NULL).to_numpy(), [*encoded.dictionary.to_pylist(), "null"]


def _counts(values: np.ndarray) -> Iterator[tuple[int, int]]:
    distinct, counts = np.unique(values, return_counts=True)
    return zip(distinct.tolist(), counts.tolist(), strict=True)
