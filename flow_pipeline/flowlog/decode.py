"""Bytes of a blob in, record batches of landed tuples out, and an account of what was met.

Belongs here: how rows and envelopes come together in batches, and the account. How records are cut
from bytes is `records`, how their tuples become numbers `scan`, what an envelope says `envelope`,
and what a tuple's fields mean `tuples`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flow_pipeline.flowlog import scan
from flow_pipeline.flowlog.envelope import NAME_COLUMNS, Envelopes
from flow_pipeline.flowlog.problems import BlobProblem, ProblemCode, ProblemLog
from flow_pipeline.flowlog.records import RecordReader
from flow_pipeline.flowlog.schema import ENCODED_SCHEMA, RejectReason
from flow_pipeline.flowlog.tuple_table import BATCH_TUPLES, TupleTable, nullable
from flow_pipeline.flowlog.tuples import EARLIEST_MS, latest_ms

__all__ = ["BlobDecoder", "BlobPlace", "BlobProblem", "BlobSummary", "ProblemCode"]

# The rows of a record that has not ended wait for its names: in memory up to this many.
_WAITING_ROWS = 2 * BATCH_TUPLES
_EPOCH = datetime(1970, 1, 1)
_VERSIONS = 5


@dataclass(frozen=True)
class BlobPlace:
    """Where a blob lies: source and path without secrets, and its written hour in naive UTC."""

    source: str
    blob: str
    written_hour: datetime


@dataclass(frozen=True)
class BlobSummary:
    """What was met in a blob. Times are naive UTC; `tuples` = decoded + `rejected`, always.

    `records` counts the elements of `records` that were read to their end, flow log or not, and
    `event_hours` the decoded rows of each hour. `problems` are the first of `problem_count`.
    `digest` chains the records' bytes, so that reading on from where one left off ends in the same
    digest as reading from the start. `records_end` is the byte, of those that were fed, that closes
    the array of records; None if none did.
    """

    bytes_read: int
    records_end: int | None
    records: int
    tuples: int
    rejected: int
    rejects: dict[RejectReason, int]
    event_hours: dict[datetime, int]
    min_flow_time: datetime | None
    max_flow_time: datetime | None
    versions: dict[int, int]
    problems: list[BlobProblem]
    problem_count: int
    digest: bytes


class BlobDecoder:
    """Decodes one blob, chunk by chunk, in memory bounded by a window and a batch.

    Batches have ENCODED_SCHEMA, rows in the order of their position, decoded and rejected mixed.
    Nothing that stands in a blob raises: what cannot be read is a rejected row or a problem.

    To read on where an earlier decoder stopped, hand over its `records` and `digest`; with
    `first_record_no` > 0 the bytes begin behind that many records, at the comma before the next
    one or at the end of the array.
    """

    def __init__(self, place: BlobPlace, *, first_record_no: int = 0, digest: bytes = b"") -> None:
        self._first_record_no = first_record_no
        self._problems = ProblemLog()
        is_resumed = first_record_no > 0
        self._table = TupleTable(
            EARLIEST_MS,
            latest_ms(place.written_hour),
            record_no=first_record_no,
            is_resumed=is_resumed,
        )
        self._envelopes = Envelopes(self._table.nonce, self._table.skeleton, self._problems)
        self._reader = RecordReader(
            self._table, self._envelopes, self._problems, is_resumed=is_resumed, digest=digest
        )
        self._waiting = _WaitingRows()
        self._source = pa.array([place.source], pa.string())
        self._blob = pa.array([place.blob], pa.string())
        self._tuples = 0
        self._rejects: Counter[RejectReason] = Counter()
        self._hours: Counter[int] = Counter()
        self._versions = np.zeros(_VERSIONS, np.int64)
        self._min_ms: int | None = None
        self._max_ms: int | None = None

    def feed(self, chunk: bytes) -> Iterator[pa.RecordBatch]:
        """The batches that are full with this chunk. To be exhausted before the next call."""
        for _ in self._reader.feed(chunk):
            yield from self._take()

    def finish(self) -> Iterator[pa.RecordBatch]:
        """The last batches, if there are any; reports a blob that ended too early."""
        self._reader.finish()
        yield from self._take()
        self._waiting.clear()

    @property
    def summary(self) -> BlobSummary:
        """The account of the blob; whole once `finish` is exhausted."""
        return BlobSummary(
            bytes_read=self._reader.bytes_read,
            records_end=self._reader.records_end,
            records=int(self._table.state[scan.RECORD_NO]) - self._first_record_no,
            tuples=self._tuples,
            rejected=self._rejects.total(),
            rejects=dict(self._rejects),
            event_hours={
                _EPOCH + timedelta(hours=hour): count for hour, count in sorted(self._hours.items())
            },
            min_flow_time=_time_of(self._min_ms),
            max_flow_time=_time_of(self._max_ms),
            versions={version: int(count) for version, count in enumerate(self._versions) if count},
            problems=list(self._problems.kept),
            problem_count=self._problems.count,
            digest=self._reader.digest,
        )

    def _take(self) -> Iterator[pa.RecordBatch]:
        """Everything that belongs to records that have ended; then there is room again."""
        table = self._table
        whole, rows = table.whole_rows, table.rows
        groups = table.groups[:, : table.state[scan.GROUPS]]
        records = table.records[:, : table.state[scan.RECORDS]]
        if records.shape[1]:
            # The record that they were waiting for is the first one that ended.
            for arrays, fields in self._waiting.take():
                yield from self._complete(records, np.zeros_like(arrays), arrays, None, fields)
        if whole:
            lengths = np.diff(groups[scan.GROUP_ROW], append=rows)
            ended = groups[scan.GROUP_ROW] < whole
            yield from self._complete(
                records,
                groups[scan.GROUP_RECORD][ended],
                groups[scan.GROUP_ARRAY][ended],
                np.minimum(lengths, whole - groups[scan.GROUP_ROW])[ended],
                table.fields(0, whole),
            )
        if rows > whole and not table.keeps_begun:
            begun = groups[:, groups[scan.GROUP_ROW] >= whole]
            lengths = np.diff(begun[scan.GROUP_ROW], append=rows)
            self._waiting.add(
                np.repeat(begun[scan.GROUP_ARRAY], lengths), table.fields(whole, rows)
            )
        table.reset()
        if table.forget_skeletons_if_many():
            self._envelopes.forget()

    def _complete(
        self,
        records: np.ndarray,
        record: np.ndarray,
        array: np.ndarray,
        lengths: np.ndarray | None,
        fields: dict[str, Any],
    ) -> Iterator[pa.RecordBatch]:
        """Rows with what their envelopes say; those that belong to none fall away.

        `record` and `array` are of each group of `lengths` rows, or of each row.
        """
        keys = self._envelopes.keys(records, record, array)
        if keys.min() < 0:
            row_keys = keys if lengths is None else np.repeat(keys, lengths)
            is_known = row_keys >= 0
            if not is_known.any():
                return
            mask = pa.array(is_known)
            fields = {name: column.filter(mask) for name, column in fields.items()}
            if lengths is not None:
                record, lengths = record[keys >= 0], lengths[keys >= 0]
            else:
                record = record[is_known]
            keys = keys[keys >= 0]
        count = len(fields["flow_time"])

        def of_rows(values: np.ndarray) -> np.ndarray:
            return values if lengths is None else np.repeat(values, lengths)

        columns = dict(fields)
        for name in NAME_COLUMNS:
            places, words = self._envelopes.names(name, keys)
            columns[name] = _named(places, words, count, of_rows)
        columns["source"] = _one(self._source, count)
        columns["blob"] = _one(self._blob, count)
        flow_no, group_no = self._envelopes.places(keys)
        columns["flow_no"] = pa.array(of_rows(flow_no))
        columns["group_no"] = pa.array(of_rows(group_no))
        record_no = records[scan.RECORD_NUMBER][record].astype(np.int32)
        columns["record_no"] = pa.array(of_rows(record_no))
        times = of_rows(self._envelopes.times(records)[record])
        missing = times == scan.NO_TIME
        columns["record_time"] = pa.array(times, mask=missing if missing.any() else None).view(
            pa.timestamp("us")
        )
        self._account(columns, count)
        yield pa.RecordBatch.from_arrays(
            [columns[name] for name in ENCODED_SCHEMA.names], schema=ENCODED_SCHEMA
        )

    def _account(self, columns: dict[str, Any], count: int) -> None:
        self._tuples += count
        times, days, hours, versions = (
            columns[name] for name in ("flow_time", "date", "hour", "log_version")
        )
        if times.null_count:
            for found in pc.value_counts(columns["reject_reason"].drop_null()).to_pylist():
                self._rejects[RejectReason(found["values"])] += found["counts"]
            times, days, hours, versions = (
                column.drop_null() for column in (times, days, hours, versions)
            )
        if not len(times):
            return
        ms = times.view(pa.int64()).to_numpy()
        first, last = int(ms.min()), int(ms.max())
        self._min_ms = first if self._min_ms is None else min(self._min_ms, first)
        self._max_ms = last if self._max_ms is None else max(self._max_ms, last)
        # The times are plausible: this counts some 150,000 hours at the very most.
        hour_of = days.view(pa.int32()).to_numpy() * np.int32(24) + hours.to_numpy()
        first_hour = int(hour_of.min())
        counts = np.bincount(hour_of - first_hour)
        for offset in np.flatnonzero(counts):
            self._hours[first_hour + int(offset)] += int(counts[offset])
        self._versions += np.bincount(versions.to_numpy(), minlength=_VERSIONS)


class _WaitingRows:
    """Rows of a record that has not ended: in memory, and from some number on in a file.

    Azure's records end long before that; a document that somebody put together may not.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[np.ndarray, dict[str, Any]]] = []
        self._rows = 0
        self._file: Any = None

    def add(self, arrays: np.ndarray, fields: dict[str, Any]) -> None:
        """Rows, and of each the number of its array of tuples."""
        self._parts.append((arrays, fields))
        self._rows += len(arrays)
        if self._rows > _WAITING_ROWS:
            self._write()

    def take(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        """All of them, in order; then none are left."""
        if self._file is not None:
            self._file.flush()
            self._file.seek(0)
            yield from self._read()
        yield from self._parts
        self.clear()

    def clear(self) -> None:
        """Their record never ended, or they were taken."""
        self._parts, self._rows = [], 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - outlives this call; closed by `clear`
        for arrays, fields in self._parts:
            batch = pa.RecordBatch.from_pydict({"array_no": pa.array(arrays), **fields})
            # A stream of its own for each: their dictionaries differ.
            with pa.ipc.new_stream(self._file, batch.schema) as stream:
                stream.write_batch(batch)
        self._parts, self._rows = [], 0

    def _read(self) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
        size = self._file.seek(0, 2)
        self._file.seek(0)
        while self._file.tell() < size:
            with pa.ipc.open_stream(self._file) as stream:
                batch = stream.read_next_batch()
                # The reader has to meet the end of its stream before the next one begins.
                for _ in stream:
                    pass
            names = batch.schema.names
            fields = dict(zip(names, batch.columns, strict=True))
            yield fields.pop("array_no").to_numpy(), fields


def _named(places: np.ndarray, words: pa.Array, count: int, of_rows: Any) -> pa.Array:
    if len(words) == 1 and not places.any():
        return _one(words, count)
    return pa.DictionaryArray.from_arrays(nullable(of_rows(places)), words)


def _one(words: pa.Array, count: int) -> pa.Array:
    """The same text on every row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), words)


def _time_of(ms: int | None) -> datetime | None:
    return None if ms is None else _EPOCH + timedelta(milliseconds=ms)
