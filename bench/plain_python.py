"""The plain way: `json.loads`, loops, `split(",")`, and pyarrow to write it down.

What a careful script does: a list for each column, filled group by group, and a row group written
whenever enough has gathered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.documents import ZSTD_LEVEL, Documents, Layout
from flow_pipeline.flowlog.schema import LANDED_SCHEMA

_ROW_GROUP = 131_072
_PROTOCOLS = {"T": 6, "U": 17}
# These follow from the others when all are written.
_MADE = ("date", "hour", "reject_reason", "raw")
_COLUMNS = [name for name in LANDED_SCHEMA.names if name not in _MADE]

Texts = tuple[str, ...]
Group = tuple[dict[str, Any], list[str]]


def prepare(documents: Documents, out: Path) -> Callable[[], int]:
    """A Parquet file for each hour."""
    is_vnet = documents.layout is Layout.VNET
    groups_of = _vnet_groups if is_vnet else _nsg_groups
    read = _vnet_tuples if is_vnet else _nsg_tuples

    def work() -> int:
        tuples = 0
        for hour, blobs in documents.hours.items():
            path = out / f"{hour:%Y%m%dT%H}.parquet"
            with pq.ParquetWriter(
                path, LANDED_SCHEMA, compression="zstd", compression_level=ZSTD_LEVEL
            ) as writer:
                columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
                for blob in blobs:
                    document = json.loads(blob.path.read_bytes())
                    for names, texts in groups_of(document):
                        names |= {"source": documents.source, "blob": blob.name}
                        for name, value in names.items():
                            columns[name] += [value] * len(texts)
                        columns["tuple_no"] += range(len(texts))
                        for name, values in read(texts).items():
                            columns[name] += values
                        if len(columns["tuple_no"]) >= _ROW_GROUP:
                            tuples += _write(writer, columns)
                tuples += _write(writer, columns)
        return tuples

    return work


def _nsg_groups(document: dict[str, Any]) -> Iterator[Group]:
    for record_no, record in enumerate(document["records"]):
        record_time = _record_time(record["time"])
        for flow_no, flow in enumerate(record["properties"]["flows"]):
            for group_no, group in enumerate(flow["flows"]):
                names = {
                    "rule": flow["rule"],
                    "acl_id": record["resourceId"],
                    "flow_log_id": None,
                    "target_resource_id": None,
                    "mac": group["mac"],
                    "record_time": record_time,
                    "record_no": record_no,
                    "flow_no": flow_no,
                    "group_no": group_no,
                }
                yield names, group["flowTuples"]


def _vnet_groups(document: dict[str, Any]) -> Iterator[Group]:
    for record_no, record in enumerate(document["records"]):
        record_time = _record_time(record["time"])
        for flow_no, flow in enumerate(record["flowRecords"]["flows"]):
            for group_no, group in enumerate(flow["flowGroups"]):
                names = {
                    "rule": group["rule"],
                    "acl_id": flow["aclID"],
                    "flow_log_id": record["flowLogResourceID"],
                    "target_resource_id": record["targetResourceID"],
                    "mac": record["macAddress"],
                    "record_time": record_time,
                    "record_no": record_no,
                    "flow_no": flow_no,
                    "group_no": group_no,
                }
                yield names, group["flowTuples"]


def _nsg_tuples(texts: list[str]) -> dict[str, Iterable[Any]]:
    fields = zip(*[text.split(",") for text in texts], strict=True)
    times, src, dst, src_ports, dst_ports, protocols, directions, decisions, states, *counters = (
        fields
    )
    return {
        "flow_time": [int(time) * 1000 for time in times],
        "protocol": [_PROTOCOLS[protocol] for protocol in protocols],
        "decision": decisions,
        "flow_state": states,
        "encryption": [None] * len(texts),
        "log_version": [2] * len(texts),
        **_ends_and_counters(src, dst, src_ports, dst_ports, directions, counters),
    }


def _vnet_tuples(texts: list[str]) -> dict[str, Iterable[Any]]:
    fields = zip(*[text.split(",") for text in texts], strict=True)
    times, src, dst, src_ports, dst_ports, protocols, directions, states, encryption, *counters = (
        fields
    )
    return {
        "flow_time": map(int, times),
        "protocol": map(int, protocols),
        "decision": ["D" if state == "D" else "A" for state in states],
        "flow_state": [None if state == "D" else state for state in states],
        "encryption": encryption,
        "log_version": [4] * len(texts),
        **_ends_and_counters(src, dst, src_ports, dst_ports, directions, counters),
    }


def _ends_and_counters(
    src: Texts,
    dst: Texts,
    src_ports: Texts,
    dst_ports: Texts,
    directions: Texts,
    counters: list[Texts],
) -> dict[str, Iterable[Any]]:
    numbers = [[int(text) if text else None for text in texts] for texts in counters]
    return {
        "src_ip": src,
        "dst_ip": dst,
        "src_port": map(int, src_ports),
        "dst_port": map(int, dst_ports),
        "direction": directions,
        "packets_src_to_dst": numbers[0],
        "bytes_src_to_dst": numbers[1],
        "packets_dst_to_src": numbers[2],
        "bytes_dst_to_src": numbers[3],
    }


def _record_time(text: str) -> datetime:
    return datetime.fromisoformat(text[:26])


def _write(writer: pq.ParquetWriter, columns: dict[str, list[Any]]) -> int:
    """Write what has gathered, if anything has, and empty the lists."""
    count = len(columns["tuple_no"])
    if not count:
        return 0
    times = pa.array(columns["flow_time"], pa.int64()).cast(pa.timestamp("ms"))
    made = {
        "flow_time": times,
        "date": times.cast(pa.date32()),
        "hour": pc.hour(times).cast(pa.int32()),
        "reject_reason": pa.nulls(count, pa.string()),
        "raw": pa.nulls(count, pa.string()),
    }
    arrays = [
        made[field.name] if field.name in made else pa.array(columns[field.name], field.type)
        for field in LANDED_SCHEMA
    ]
    writer.write_table(pa.Table.from_arrays(arrays, schema=LANDED_SCHEMA))
    for values in columns.values():
        values.clear()
    return count
