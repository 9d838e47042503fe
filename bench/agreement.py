"""Whether all contenders read the same: asked before anything is timed.

Belongs here: comparing what was written. A table of figures whose rows did different work would be
worth nothing, so that a difference ends the benchmark.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from bench.measure import parquet_files
from flow_pipeline.flowlog.schema import COUNTERS, LANDED_SCHEMA

_TYPES = {
    "string": "varchar",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "date32[day]": "date",
    "timestamp[ms]": "timestamp_ms",
    "timestamp[us]": "timestamp",
}


class Disagreement(Exception):
    """Two contenders read different things out of the same documents."""


def digest(out: Path) -> dict[str, Any]:
    """Rows, sums, and the sum of a hash over every column of every row, in whatever order."""
    columns = ", ".join(LANDED_SCHEMA.names)
    sums = ", ".join(f"sum({name}) as {name}" for name in COUNTERS)
    return _ask(
        out,
        f"""
        select count(*) as rows, count(reject_reason) as rejected,
            count(distinct blob) as blobs, {sums},
            sum(hash({columns})) as hash
        from written
        """,
    )


def counts(out: Path) -> dict[str, int]:
    """Rows, rejected ones, and blobs that they come from."""
    return _ask(
        out,
        """
        select count(*) as rows, count(reject_reason) as rejected, count(distinct blob) as blobs
        from written
        """,
    )


def check_parquet(ours: dict[str, Any], out: Path, title: str) -> None:
    """Hold what a contender wrote against ours. Raises Disagreement."""
    theirs = digest(out)
    if theirs != ours:
        raise Disagreement(f"{title} wrote {theirs}, and we {ours}")


def floor_sums(out: Path) -> dict[str, int]:
    """What the columns of floor.c must add up to, from what we wrote."""
    counters = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in COUNTERS)
    empty = " + ".join(
        f"{1 << bit} * sum(({name} is null)::integer)" for bit, name in enumerate(COUNTERS)
    )
    encryptions = (
        "['X', 'NX', 'NX_HW_NOT_SUPPORTED', 'NX_SW_NOT_READY', 'NX_NOT_ACCEPTED', "
        "'NX_NOT_SUPPORTED', 'NX_LOCAL_DST', 'NX_FALLBACK', 'NX_ALL']"
    )
    found = _ask(
        out,
        f"""
        select sum(epoch_ms(flow_time)) as time_ms, sum({_number("src_ip")}) as src_ip,
            sum({_number("dst_ip")}) as dst_ip, sum(src_port) as src_port,
            sum(dst_port) as dst_port, sum(protocol) as protocol,
            sum(ascii(direction)) as direction, sum(ascii(decision)) as decision,
            coalesce(sum(ascii(flow_state)), 0) as state,
            sum(coalesce(list_position({encryptions}, encryption), 0)) as encryption,
            {counters}, {empty} as empty
        from written
        """,
    )
    return {name: int(value) for name, value in found.items()}


def check_floor(ours: dict[str, int], theirs: dict[str, int]) -> None:
    """Hold the sums of the scan in C against ours. Raises Disagreement."""
    if theirs != ours:
        raise Disagreement(f"The floor adds up to {theirs}, and we to {ours}")


def _number(address: str) -> str:
    """An IPv4 address as a number."""
    parts = f"string_split({address}, '.')"
    return " + ".join(f"{parts}[{4 - byte}]::bigint * {256**byte}" for byte in range(4))


def _ask(out: Path, query: str) -> dict[str, Any]:
    """One row of what was written, every column in the type that it has in the lake."""
    files = [str(path) for path in parquet_files(out)]
    casts = ", ".join(
        f"{field.name}::{_TYPES[str(field.type)]} as {field.name}" for field in LANDED_SCHEMA
    )
    with duckdb.connect(":memory:") as connection:
        written = connection.read_parquet(files)
        if written.columns != LANDED_SCHEMA.names:
            raise Disagreement(f"{files[0]} has the columns {written.columns}")
        connection.register("files", written)
        connection.execute(f"create view written as select {casts} from files")
        result = connection.execute(query)
        names = [column[0] for column in result.description or ()]
        [row] = result.fetchall()
        return dict(zip(names, row, strict=True))
