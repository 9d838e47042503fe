"""Polars' own way: `read_json` with a schema, `explode`, `split_exact`, and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.documents import ZSTD_LEVEL, Blob, Documents, Layout
from flow_pipeline.flowlog.schema import LANDED_SCHEMA

# Installed by `make bench` alone, so that nothing can be known of its types.
pl: Any = import_module("polars")

_FIELDS = 13


def prepare(documents: Documents, out: Path) -> Callable[[], int]:
    """A Parquet file for each hour."""
    schema = pl.Schema({"records": _records_type(documents.layout)})
    groups_of = _vnet_groups if documents.layout is Layout.VNET else _nsg_groups
    columns = _columns(documents)

    def frame(blob: Blob) -> Any:
        records = (
            pl.read_json(blob.path, schema=schema)
            .lazy()
            .select(_numbered("records", "record_no"))
            .explode("records", "record_no")
            .unnest("records")
            .with_columns(pl.col("time").str.slice(0, 26).str.to_datetime(time_unit="us"))
        )
        return (
            groups_of(records)
            .with_columns(pl.int_ranges(pl.col("flowTuples").list.len()).alias("tuple_no"))
            .explode("flowTuples", "tuple_no")
            .with_columns(
                pl.col("flowTuples").str.split_exact(",", _FIELDS - 1).struct.unnest(),
                pl.lit(blob.name).alias("blob"),
            )
            .select(columns)
        )

    def work() -> int:
        tuples = 0
        for hour, blobs in documents.hours.items():
            landed = pl.concat([frame(blob) for blob in blobs]).collect()
            path = out / f"{hour:%Y%m%dT%H}.parquet"
            landed.write_parquet(path, compression="zstd", compression_level=ZSTD_LEVEL)
            tuples += landed.height
        return tuples

    return work


def _records_type(layout: Layout) -> Any:
    tuples = pl.List(pl.String)
    if layout is Layout.VNET:
        groups = pl.List(pl.Struct({"rule": pl.String, "flowTuples": tuples}))
        flows = pl.List(pl.Struct({"aclID": pl.String, "flowGroups": groups}))
        names = ("time", "macAddress", "flowLogResourceID", "targetResourceID")
        inner = {"flowRecords": pl.Struct({"flows": flows})}
    else:
        groups = pl.List(pl.Struct({"mac": pl.String, "flowTuples": tuples}))
        flows = pl.List(pl.Struct({"rule": pl.String, "flows": groups}))
        names = ("time", "resourceId")
        inner = {"properties": pl.Struct({"flows": flows})}
    return pl.List(pl.Struct(dict.fromkeys(names, pl.String) | inner))


def _numbered(lists: str, number: str) -> list[Any]:
    """A column of lists and beside it the positions in them, to be exploded together."""
    return [pl.col(lists), pl.int_ranges(pl.col(lists).list.len()).alias(number)]


def _nsg_groups(records: Any) -> Any:
    null = pl.lit(None, pl.String)
    return (
        records.with_columns(pl.col("properties").struct.field("flows"))
        .with_columns(_numbered("flows", "flow_no"))
        .explode("flows", "flow_no")
        .select(
            pl.col("time", "record_no", "flow_no"),
            pl.col("resourceId").alias("acl_id"),
            null.alias("flow_log_id"),
            null.alias("target_resource_id"),
            pl.col("flows").struct.field("rule"),
            pl.col("flows").struct.field("flows").alias("groups"),
        )
        .with_columns(_numbered("groups", "group_no"))
        .explode("groups", "group_no")
        .unnest("groups")
    )


def _vnet_groups(records: Any) -> Any:
    return (
        records.with_columns(pl.col("flowRecords").struct.field("flows"))
        .with_columns(_numbered("flows", "flow_no"))
        .explode("flows", "flow_no")
        .select(
            pl.col("time", "record_no", "flow_no"),
            pl.col("macAddress").alias("mac"),
            pl.col("flowLogResourceID").alias("flow_log_id"),
            pl.col("targetResourceID").alias("target_resource_id"),
            pl.col("flows").struct.field("aclID").alias("acl_id"),
            pl.col("flows").struct.field("flowGroups").alias("groups"),
        )
        .with_columns(_numbered("groups", "group_no"))
        .explode("groups", "group_no")
        .unnest("groups")
    )


def _columns(documents: Documents) -> list[Any]:
    def field(number: int) -> Any:
        return pl.col(f"field_{number}")

    def counter(number: int) -> Any:
        return pl.when(field(number) != "").then(field(number)).cast(pl.Int64)

    millis = field(0).cast(pl.Int64)
    if documents.layout is Layout.VNET:
        state = field(7)
        own = {
            "flow_time": millis.cast(pl.Datetime("ms")),
            "protocol": field(5).cast(pl.Int16),
            "decision": pl.when(state == "D").then(pl.lit("D")).otherwise(pl.lit("A")),
            "flow_state": pl.when(state != "D").then(state),
            "encryption": field(8),
            "log_version": pl.lit(4, pl.Int16),
        }
    else:
        own = {
            "flow_time": (millis * 1000).cast(pl.Datetime("ms")),
            "protocol": field(5).replace_strict({"T": 6, "U": 17}, return_dtype=pl.Int16),
            "decision": field(7),
            "flow_state": field(8),
            "encryption": pl.lit(None, pl.String),
            "log_version": pl.lit(2, pl.Int16),
        }
    numbers = ("record_no", "flow_no", "group_no", "tuple_no")
    made = {
        "date": own["flow_time"].dt.date(),
        "hour": own["flow_time"].dt.hour().cast(pl.Int32),
        "src_ip": field(1),
        "dst_ip": field(2),
        "src_port": field(3).cast(pl.Int32),
        "dst_port": field(4).cast(pl.Int32),
        "direction": field(6),
        "packets_src_to_dst": counter(9),
        "bytes_src_to_dst": counter(10),
        "packets_dst_to_src": counter(11),
        "bytes_dst_to_src": counter(12),
        "record_time": pl.col("time"),
        "source": pl.lit(documents.source),
        "reject_reason": pl.lit(None, pl.String),
        "raw": pl.lit(None, pl.String),
        **{name: pl.col(name).cast(pl.Int32) for name in numbers},
        **own,
    }
    # rule, acl_id, flow_log_id, target_resource_id, mac and blob stand there already.
    return [made.get(name, pl.col(name)).alias(name) for name in LANDED_SCHEMA.names]
