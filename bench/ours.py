"""What is measured of our own: decoding, a landed file, a landed hour, hours side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from bench.documents import Blob, Documents
from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace
from flow_pipeline.flowlog.envelope import Envelopes
from flow_pipeline.flowlog.folder_source import CHUNK_BYTES, FolderSource
from flow_pipeline.flowlog.problems import ProblemLog
from flow_pipeline.flowlog.records import RecordReader
from flow_pipeline.flowlog.tuple_table import TupleTable
from flow_pipeline.flowlog.tuples import EARLIEST_MS, latest_ms
from flow_pipeline.lake import Lake
from flow_pipeline.landed_file import Manifest, RowWriter
from flow_pipeline.landing import land_hours
from flow_pipeline.partitions import utc_now


def scan(documents: Documents, _out: Path) -> Callable[[], int]:
    """What the floor does, done as it has to be: columns of numbers, every row with its place.

    Envelopes are read, every byte goes into the digest, and whatever is not as it should be would
    be read exactly. What is left to `decode` is to make Arrow's batches of it.
    """
    blobs = _in_memory(documents)

    def work() -> int:
        tuples = 0
        for place, chunks in blobs:
            problems = ProblemLog()
            table = TupleTable(
                EARLIEST_MS, latest_ms(place.written_hour), record_no=0, is_resumed=False
            )
            envelopes = Envelopes(table.nonce, table.skeleton, problems)
            reader = RecordReader(table, envelopes, problems, is_resumed=False, digest=b"")
            for chunk in chunks:
                for _ in reader.feed(chunk):
                    tuples += table.rows
                    table.reset()
                    tuples -= table.rows
                    if table.forget_skeletons_if_many():
                        envelopes.forget()
            reader.finish()
            tuples += table.rows
        return tuples

    return work


def decode(documents: Documents, _out: Path) -> Callable[[], int]:
    """Batches made and dropped; the blobs are in memory before, in the chunks of a source."""
    blobs = _in_memory(documents)

    def work() -> int:
        tuples = 0
        for place, chunks in blobs:
            decoder = BlobDecoder(place)
            for chunk in chunks:
                for batch in decoder.feed(chunk):
                    tuples += batch.num_rows
            for batch in decoder.finish():
                tuples += batch.num_rows
        return tuples

    return work


def write_parquet(documents: Documents, out: Path) -> Callable[[], int]:
    """A landed file for each hour, without listing, manifest and commit."""

    def work() -> int:
        tuples = 0
        for hour, blobs in documents.hours.items():
            with RowWriter(out / f"{hour:%Y%m%dT%H}.parquet") as rows:
                for blob in blobs:
                    decoder = BlobDecoder(BlobPlace(documents.source, blob.name, hour))
                    for chunk in _chunks(blob):
                        rows.extend(decoder.feed(chunk))
                    rows.extend(decoder.finish())
                    tuples += decoder.summary.tuples
                rows.close(_empty_manifest(documents, hour))
        return tuples

    return work


def land(documents: Documents, out: Path) -> Callable[[], int]:
    """Everything that landing does: list, decode, write, manifest, commit; hour by hour."""
    return _land(documents, out, workers=1)


def land_on_two(documents: Documents, out: Path) -> Callable[[], int]:
    """The same with two workers."""
    return _land(documents, out, workers=2)


def _land(documents: Documents, out: Path, workers: int) -> Callable[[], int]:
    def work() -> int:
        lake = Lake.open(out)
        source = FolderSource(documents.folder)
        landed = land_hours(lake, [source], list(documents.hours), workers)
        return sum(hour.tuples for hour in landed)

    return work


def _in_memory(documents: Documents) -> list[tuple[BlobPlace, list[bytes]]]:
    return [
        (BlobPlace(documents.source, blob.name, hour), list(_chunks(blob)))
        for hour, blobs in documents.hours.items()
        for blob in blobs
    ]


def _chunks(blob: Blob) -> Iterator[bytes]:
    with blob.path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _empty_manifest(documents: Documents, hour: datetime) -> Manifest:
    return Manifest(
        version=1,
        source=documents.source,
        sources=(documents.source,),
        written_hour=hour,
        listed_at=utc_now(),
        landing_id="0" * 32,
        blobs=(),
    )
