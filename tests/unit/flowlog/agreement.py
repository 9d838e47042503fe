"""Holds the decoder against the reference: the same answer to the same bytes, whatever they are.

Belongs here: how both are asked, and what counts as the same. What they are asked is made by
`strategies` and `tests.torture.documents`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from types import ModuleType
from typing import Any

import pyarrow as pa

from flow_pipeline.flowlog import decode as decode_module
from flow_pipeline.flowlog import records, tuple_table
from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace, BlobSummary
from flow_pipeline.flowlog.problems import KEPT_PROBLEMS
from flow_pipeline.flowlog.schema import ENCODED_SCHEMA
from tests.unit.flowlog.reference_decoder import COUNTERS, Answer, Row
from tests.unit.flowlog.reference_decoder import decode as reference_decode

Limits = dict[tuple[ModuleType, str], int]

SOURCE, BLOB = "source", "container/PT1H.json"
HOUR = datetime(2026, 11, 1, 5)


# Documents of the tests are small: with smaller tables they meet the ends of all of them.
LIMITS: tuple[Limits, ...] = (
    {},
    {
        (tuple_table, "BATCH_TUPLES"): 1,
        (tuple_table, "_MOST_GROUPS"): 1,
        (tuple_table, "_MOST_RECORDS"): 1,
        (tuple_table, "_MOST_SKELETONS"): 2,
        (tuple_table, "_MOST_TEXTS"): 2,
        (tuple_table, "_SKELETON_BYTES"): 64,
        (records, "_WINDOW_BYTES"): 80,
        (decode_module, "_WAITING_ROWS"): 0,
    },
    {
        (tuple_table, "BATCH_TUPLES"): 3,
        (tuple_table, "_MOST_GROUPS"): 2,
        (tuple_table, "_MOST_RECORDS"): 2,
        (tuple_table, "_MOST_SKELETONS"): 4,
        (tuple_table, "_MOST_TEXTS"): 4,
        (tuple_table, "_SKELETON_BYTES"): 512,
        (records, "_WINDOW_BYTES"): 256,
        (decode_module, "_WAITING_ROWS"): 2,
    },
    {
        (tuple_table, "BATCH_TUPLES"): 64,
        (tuple_table, "_MOST_GROUPS"): 64,
        (tuple_table, "_MOST_RECORDS"): 64,
        (tuple_table, "_MOST_SKELETONS"): 64,
        (tuple_table, "_MOST_TEXTS"): 64,
        (tuple_table, "_SKELETON_BYTES"): 4096,
        (records, "_WINDOW_BYTES"): 4096,
    },
)


class Disagreement(AssertionError):
    """What differs, with the answer of the program first."""


def decode(
    data: bytes, edges: Sequence[int] = (), first_record_no: int = 0, digest: bytes = b""
) -> tuple[list[Row], BlobSummary]:
    """The rows and the account of a document that comes in pieces, cut at `edges`."""
    place = BlobPlace(SOURCE, BLOB, HOUR)
    decoder = BlobDecoder(place, first_record_no=first_record_no, digest=digest)
    batches: list[pa.RecordBatch] = []
    cuts = [0, *sorted(edge for edge in edges if edge < len(data)), len(data)]
    for begin, end in pairwise(cuts):
        batches += decoder.feed(data[begin:end])
    batches += decoder.finish()
    rows: list[Row] = []
    for batch in batches:
        _same("schema", batch.schema, ENCODED_SCHEMA)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if isinstance(column, pa.DictionaryArray):
                # Parquet takes a dictionary over only if nothing in it is there twice.
                words = column.dictionary.to_pylist()
                _same(f"words of {name}", words, list(dict.fromkeys(words)))
        rows += batch.to_pylist()
    return rows, decoder.summary


def assert_agreement(
    data: bytes,
    edges: Sequence[int] = (),
    first_record_no: int = 0,
    digest: bytes = b"",
    limits: int = 0,
) -> Answer:
    """The reference's answer, if the decoder gives the same with the document in these pieces."""
    expected = reference_decode(data, SOURCE, BLOB, HOUR, first_record_no, digest)
    with _limits(LIMITS[limits]):
        rows, summary = decode(data, edges, first_record_no, digest)
        if edges and summary.problems:
            # What they say in words is the program's own affair, but not a matter of pieces.
            _same(
                "account in pieces and in one",
                summary,
                decode(data, (), first_record_no, digest)[1],
            )
    if rows != expected.rows:
        _same("count of rows", len(rows), len(expected.rows))
        for row, other in zip(rows, expected.rows, strict=True):
            _same("columns", list(row), list(other))
            for column, value in row.items():
                if value != other[column]:
                    raise Disagreement(f"{column}: {value!r} != {other[column]!r} in {other}")
    _assert_account(summary, expected, len(data))
    _assert_plain_json(data, rows, first_record_no)
    return expected


@contextmanager
def _limits(limits: Limits) -> Generator[None]:
    before = {(module, name): getattr(module, name) for module, name in limits}
    try:
        for (module, name), value in limits.items():
            setattr(module, name, value)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)


def _assert_account(summary: BlobSummary, expected: Answer, size: int) -> None:
    rejected = [row["reject_reason"] for row in expected.rows if row["reject_reason"] is not None]
    decoded = [row for row in expected.rows if row["reject_reason"] is None]
    flow_times = [row["flow_time"] for row in decoded]
    hours = Counter(time.replace(minute=0, second=0, microsecond=0) for time in flow_times)
    _same("bytes_read", summary.bytes_read, size)
    _same("records", summary.records, expected.records)
    _same("tuples", summary.tuples, len(expected.rows))
    _same("tuples = landed + rejected", summary.tuples, len(decoded) + summary.rejected)
    _same("rejected", summary.rejected, len(rejected))
    _same("rejects", summary.rejects, Counter(rejected))
    _same("versions", summary.versions, Counter(row["log_version"] for row in decoded))
    _same("event_hours", summary.event_hours, hours)
    _same("min_flow_time", summary.min_flow_time, min(flow_times, default=None))
    _same("max_flow_time", summary.max_flow_time, max(flow_times, default=None))
    _same("digest", summary.digest, expected.digest)

    # The order of problems within a record says nothing.
    problems = Counter((problem.code, problem.record_no) for problem in summary.problems)
    _same("problem_count", summary.problem_count, len(expected.problems))
    if len(expected.problems) <= KEPT_PROBLEMS:
        _same("problems", problems, Counter(expected.problems))
    else:
        _same("kept problems", len(summary.problems), KEPT_PROBLEMS)
        _same("problems that are none", problems - Counter(expected.problems), Counter())


def _assert_plain_json(data: bytes, rows: list[Row], first_record_no: int) -> None:
    """Counters of the landed rows, against the tuples that plain `json` has in their places."""
    if first_record_no or b'"records"' not in data[:16] or data.count(b'"records"') > 1:
        return
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):  # no JSON, or nested deeper than this parser goes
        return
    if not isinstance(document, dict) or "records" not in document:
        return  # it stands in something else
    elements: list[Any] = document["records"]
    # Of a key that stands twice json takes the last, as the decoder does, but for the outermost.
    sums: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    for row in rows:
        record = elements[row["record_no"]]
        if record.get("category") == "NetworkSecurityGroupFlowEvent" or (
            record.get("category") is None and "flowRecords" not in record
        ):
            group = record["properties"]["flows"][row["flow_no"]]["flows"][row["group_no"]]
        else:
            group = record["flowRecords"]["flows"][row["flow_no"]]["flowGroups"][row["group_no"]]
        text = group["flowTuples"][row["tuple_no"]]
        if row["reject_reason"] is not None:
            continue
        for name, field in zip(COUNTERS, text.split(",")[9:], strict=False):
            sums[name] += row[name] or 0
            plain[name] += int(field or "0")
    _same("sums of counters", sums, plain)


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Disagreement(f"{what}: {found!r} != {expected!r}")
