"""Bytes of a blob in, record batches of landed tuples out, and an account of what was met.

Belongs here: the envelopes of the two products, where a tuple stands in them, and the batches. How
records are cut from bytes is `records`, what a tuple's fields mean is `tuples`; a faster inside
replaces those two and leaves `BlobDecoder` as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flow_pipeline.flowlog.problems import BlobProblem, ProblemCode, ProblemLog, shown
from flow_pipeline.flowlog.records import RawRecord, RecordCutter
from flow_pipeline.flowlog.schema import (
    LANDED_SCHEMA,
    NSG_CATEGORY,
    VNET_CATEGORY,
    RejectReason,
)
from flow_pipeline.flowlog.tuples import latest_ms, read_tuples

__all__ = ["BlobDecoder", "BlobPlace", "BlobProblem", "BlobSummary", "ProblemCode"]

BATCH_TUPLES = 65_536
# A batch repeats the names of its groups on every row: Azure's longest are some 400 characters,
# and a hostile one must not fill the memory.
_LONGEST_NAME = 1_024
_NSG_VERSIONS = (1, 2)
_VNET_VERSIONS = (4,)
_RECORD_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z"
)
_EPOCH = datetime(1970, 1, 1)
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True)
class BlobPlace:
    """Where a blob lies: source and path without secrets, and its written hour in naive UTC."""

    source: str
    blob: str
    written_hour: datetime


@dataclass(frozen=True)
class BlobSummary:
    """What was met in a blob. Times are naive UTC; `tuples` = decoded + `rejected`, always.

    `records` counts the elements of `records` that were read whole, flow log or not, and
    `event_hours` the decoded rows of each hour. `problems` are the first of `problem_count`.
    `digest` chains the records' bytes: sha256(digest before + sha256(record)), so that reading on
    from where one left off ends in the same digest as reading from the start.
    """

    bytes_read: int
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
    """Decodes one blob, chunk by chunk, in memory bounded by a chunk, a record and a batch.

    Batches have LANDED_SCHEMA, rows in the order of their position, decoded and rejected mixed.
    Nothing that stands in a blob raises: what cannot be read is a rejected row or a problem.

    To read on where an earlier decoder stopped, hand over its `records` and `digest`; with
    `first_record_no` > 0 the bytes begin behind that many records, at the comma before the next
    one or at the end of the array.
    """

    def __init__(self, place: BlobPlace, *, first_record_no: int = 0, digest: bytes = b"") -> None:
        self._place = place
        self._latest = latest_ms(place.written_hour)
        self._problems = ProblemLog()
        self._cutter = RecordCutter(self._problems, is_resumed=first_record_no > 0)
        self._first_record_no = first_record_no
        self._record_no = first_record_no
        self._digest = digest
        self._pending = _Pending()
        self._repeated: dict[str, tuple[object, pa.Array]] = {}
        self._tuples = 0
        self._rejects: Counter[RejectReason] = Counter()
        self._hours: Counter[int] = Counter()
        self._versions: Counter[int] = Counter()
        self._min_ms: int | None = None
        self._max_ms: int | None = None

    def feed(self, chunk: bytes) -> Iterator[pa.RecordBatch]:
        """The batches that are full with this chunk. To be exhausted before the next call."""
        for record in self._cutter.feed(chunk):
            for group, texts in self._read_record(record):
                for tuple_no in range(0, len(texts), BATCH_TUPLES):
                    self._pending.add(group, tuple_no, texts[tuple_no : tuple_no + BATCH_TUPLES])
                    if len(self._pending.texts) >= BATCH_TUPLES:
                        yield self._batch()

    def finish(self) -> Iterator[pa.RecordBatch]:
        """The last batch, if there is one; reports a blob that ended too early."""
        self._cutter.finish()
        if self._pending.texts:
            yield self._batch()

    @property
    def summary(self) -> BlobSummary:
        """The account of the blob; whole once `finish` is exhausted."""
        return BlobSummary(
            bytes_read=self._cutter.bytes_read,
            records=self._record_no - self._first_record_no,
            tuples=self._tuples,
            rejected=self._rejects.total(),
            rejects=dict(self._rejects),
            event_hours={
                _EPOCH + timedelta(hours=hour): count for hour, count in sorted(self._hours.items())
            },
            min_flow_time=_time_of(self._min_ms),
            max_flow_time=_time_of(self._max_ms),
            versions=dict(sorted(self._versions.items())),
            problems=list(self._problems.kept),
            problem_count=self._problems.count,
            digest=self._digest,
        )

    def _read_record(self, raw: RawRecord) -> Iterator[tuple[_Group, list[object]]]:
        record_no = self._record_no
        self._record_no += 1
        self._digest = hashlib.sha256(self._digest + hashlib.sha256(raw.data).digest()).digest()
        record = _object(raw.value)
        if record is None:
            detail = raw.error or f"{shown(raw.value)} where a record should stand"
            self._problems.add(ProblemCode.RECORD_MALFORMED, detail, record_no)
            return
        yield from _Envelope(record, record_no, self._problems).groups()

    def _batch(self) -> pa.RecordBatch:
        pending, self._pending = self._pending, _Pending()
        count = len(pending.texts)
        fields = read_tuples(pending.texts, self._latest)
        lengths = np.array(pending.lengths)
        group_of = np.repeat(np.arange(len(lengths)), lengths)
        starts = np.cumsum(lengths) - lengths
        tuple_no = np.arange(count) + (np.array(pending.first_tuple_nos) - starts)[group_of]
        flow_ms = fields.column("flow_ms")
        is_rejected = flow_ms.is_null().to_numpy(zero_copy_only=False)
        ms = pc.fill_null(flow_ms, 0).to_numpy()
        self._account(fields, ms[~is_rejected])

        columns: dict[str, pa.Array] = {
            name: fields.column(name) for name in fields.schema.names if name != "flow_ms"
        }
        columns["flow_time"] = flow_ms.cast(pa.timestamp("ms"))
        days = pa.array((ms // _DAY_MS).astype(np.int32), mask=is_rejected)
        columns["date"] = days.cast(pa.date32())
        hours = ms % _DAY_MS // _HOUR_MS
        columns["hour"] = pa.array(hours.astype(np.int32), mask=is_rejected)
        columns["source"] = self._repeat("source", self._place.source, count)
        columns["blob"] = self._repeat("blob", self._place.blob, count)
        for name, values in zip(_Group._fields, zip(*pending.groups, strict=True), strict=True):
            if values.count(values[0]) == len(values):
                columns[name] = self._repeat(name, values[0], count)
            else:
                distinct = pa.array(values, LANDED_SCHEMA.field(name).type)
                columns[name] = distinct.take(pa.array(group_of))
        columns["tuple_no"] = pa.array(tuple_no.astype(np.int32))
        return pa.RecordBatch.from_arrays(
            [columns[name] for name in LANDED_SCHEMA.names], schema=LANDED_SCHEMA
        )

    def _account(self, fields: pa.RecordBatch, decoded_ms: np.ndarray) -> None:
        self._tuples += fields.num_rows
        if len(decoded_ms) < fields.num_rows:
            for found in pc.value_counts(fields.column("reject_reason").drop_null()).to_pylist():
                self._rejects[RejectReason(found["values"])] += found["counts"]
        if not len(decoded_ms):
            return
        first, last = int(decoded_ms.min()), int(decoded_ms.max())
        self._min_ms = first if self._min_ms is None else min(self._min_ms, first)
        self._max_ms = last if self._max_ms is None else max(self._max_ms, last)
        # The times are plausible: this counts some 150,000 hours at the very most.
        first_hour = first // _HOUR_MS
        counts = np.bincount(decoded_ms // _HOUR_MS - first_hour)
        for offset in np.flatnonzero(counts):
            self._hours[first_hour + int(offset)] += int(counts[offset])
        versions = np.bincount(pc.fill_null(fields.column("log_version"), 0).to_numpy())
        for version in np.flatnonzero(versions[1:]) + 1:
            self._versions[int(version)] += int(versions[version])

    def _repeat(self, name: str, value: object, count: int) -> pa.Array:
        """A column of one value; what most batches of a blob have in common is made once."""
        known = self._repeated.get(name)
        if known is None or known[0] != value or len(known[1]) < count:
            column = pa.repeat(pa.scalar(value, LANDED_SCHEMA.field(name).type), count)
            self._repeated[name] = known = (value, column)
        return known[1].slice(0, count)


class _Group(NamedTuple):
    """What the tuples of one group have in common, named as the columns."""

    rule: str | None
    acl_id: str | None
    flow_log_id: str | None
    target_resource_id: str | None
    mac: str | None
    record_time: datetime | None
    record_no: int
    flow_no: int
    group_no: int


class _Pending:
    """The tuples of the next batch, and the runs of them that belong to one group."""

    def __init__(self) -> None:
        self.texts: list[object] = []
        self.groups: list[_Group] = []
        self.lengths: list[int] = []
        self.first_tuple_nos: list[int] = []

    def add(self, group: _Group, first_tuple_no: int, texts: list[object]) -> None:
        self.texts += texts
        self.groups.append(group)
        self.lengths.append(len(texts))
        self.first_tuple_nos.append(first_tuple_no)


class _Envelope:
    """One record, with or without flows in it; faults are reported by place."""

    def __init__(self, record: dict[str, object], record_no: int, problems: ProblemLog) -> None:
        self._record = record
        self._record_no = record_no
        self._problems = problems

    def groups(self) -> Iterator[tuple[_Group, list[object]]]:
        """Each group that holds tuples, with them."""
        record = self._record
        category = record.get("category")
        properties = _object(record.get("properties"))
        if category is None:
            # Where it is missing the shape decides: Azure's metrics, for one, never have it.
            if "flowRecords" in record:
                category = VNET_CATEGORY
            elif properties is not None and "flows" in properties:
                category = NSG_CATEGORY
        if category == VNET_CATEGORY:
            yield from self._vnet_groups(_object(record.get("flowRecords")))
        elif category == NSG_CATEGORY:
            yield from self._nsg_groups(properties)
        else:
            self._report(ProblemCode.FOREIGN_CATEGORY, f"category {shown(category)}")

    def _nsg_groups(
        self, properties: dict[str, object] | None
    ) -> Iterator[tuple[_Group, list[object]]]:
        if properties is None:
            self._report(ProblemCode.RECORD_MALFORMED, "properties is not an object")
            return
        self._check_version("Version", properties.get("Version"), _NSG_VERSIONS)
        acl_id = self._name(self._record, "resourceId", "")
        record_mac, record_time = self._name(self._record, "macAddress", ""), self._time()
        for flow_no, flow, place in self._objects(properties, "flows", "properties"):
            rule = self._rule(flow, place)
            for group_no, group, inner in self._objects(flow, "flows", place):
                texts = self._tuples(group, inner)
                mac = self._name(group, "mac", inner) or record_mac
                if texts:
                    yield (
                        _Group(
                            rule=rule,
                            acl_id=acl_id,
                            flow_log_id=None,
                            target_resource_id=None,
                            mac=mac,
                            record_time=record_time,
                            record_no=self._record_no,
                            flow_no=flow_no,
                            group_no=group_no,
                        ),
                        texts,
                    )

    def _vnet_groups(
        self, flow_records: dict[str, object] | None
    ) -> Iterator[tuple[_Group, list[object]]]:
        if flow_records is None:
            self._report(ProblemCode.RECORD_MALFORMED, "flowRecords is not an object")
            return
        record = self._record
        self._check_version("flowLogVersion", record.get("flowLogVersion"), _VNET_VERSIONS)
        flow_log_id = self._name(record, "flowLogResourceID", "")
        flow_log_id = flow_log_id or self._name(record, "flowLogGUID", "")
        target_resource_id = self._name(record, "targetResourceID", "")
        mac, record_time = self._name(record, "macAddress", ""), self._time()
        for flow_no, flow, place in self._objects(flow_records, "flows", "flowRecords"):
            acl_id = self._name(flow, "aclID", place)
            for group_no, group, inner in self._objects(flow, "flowGroups", place):
                rule = self._rule(group, inner)
                texts = self._tuples(group, inner)
                if texts:
                    yield (
                        _Group(
                            rule=rule,
                            acl_id=acl_id,
                            flow_log_id=flow_log_id,
                            target_resource_id=target_resource_id,
                            mac=mac,
                            record_time=record_time,
                            record_no=self._record_no,
                            flow_no=flow_no,
                            group_no=group_no,
                        ),
                        texts,
                    )

    def _objects(
        self, parent: dict[str, object], key: str, place: str
    ) -> Iterator[tuple[int, dict[str, object], str]]:
        """The objects of the array `key`, each with its place in it, as number and in words."""
        for number, value in enumerate(self._array(parent, key, place)):
            element = _object(value)
            inner = f"{place}.{key}[{number}]"
            if element is None:
                self._report(ProblemCode.GROUP_MALFORMED, f"{inner} is {shown(value)}")
            else:
                yield number, element, inner

    def _array(self, parent: dict[str, object], key: str, place: str) -> list[object]:
        value = parent.get(key)
        if isinstance(value, list):
            return cast(list[object], value)
        self._report(ProblemCode.GROUP_MALFORMED, f"{place}.{key} is {shown(value)}, not an array")
        return []

    def _tuples(self, group: dict[str, object], place: str) -> list[object]:
        return self._array(group, "flowTuples", place)

    def _rule(self, parent: dict[str, object], place: str) -> str | None:
        if parent.get("rule") is None:
            self._report(ProblemCode.GROUP_MALFORMED, f"{place} has no rule")
        return self._name(parent, "rule", place)

    def _name(self, parent: dict[str, object], key: str, place: str) -> str | None:
        """A name or id as logged; null where there is none, which many blobs do with some."""
        value = parent.get(key)
        if value is None:
            return None
        if isinstance(value, str) and len(value) <= _LONGEST_NAME:
            return value
        code = ProblemCode.GROUP_MALFORMED if place else ProblemCode.RECORD_MALFORMED
        what = "is longer than any name" if isinstance(value, str) else f"is {shown(value)}"
        self._report(code, f"{place}.{key} {what}".lstrip("."))
        return None

    def _check_version(self, key: str, value: object, known: tuple[int, ...]) -> None:
        if type(value) is not int or value not in known:
            self._report(ProblemCode.UNKNOWN_VERSION, f"{key} {shown(value)}")

    def _time(self) -> datetime | None:
        value = self._record.get("time")
        match = _RECORD_TIME.fullmatch(value) if isinstance(value, str) else None
        if match is not None:
            try:
                time = datetime.fromisoformat(match[1])
            except ValueError:
                pass  # no such day or hour: reported below
            else:
                fraction = (match[2] or "").ljust(6, "0")[:6]
                return time.replace(microsecond=int(fraction))
        self._report(ProblemCode.RECORD_TIME_UNREADABLE, f"time {shown(value)}")
        return None

    def _report(self, code: ProblemCode, detail: str) -> None:
        self._problems.add(code, detail, self._record_no)


def _object(value: object) -> dict[str, object] | None:
    return cast(dict[str, object], value) if isinstance(value, dict) else None


def _time_of(ms: int | None) -> datetime | None:
    return None if ms is None else _EPOCH + timedelta(milliseconds=ms)
