"""How the lake looks from SQL: typed DuckDB views over the files of a snapshot.

Belongs here: the views' SQL, the in-memory connection that answers questions, and `flows.duckdb`.
Never a glob: files that were replaced lie beside the current ones until they are vacuumed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from flow_pipeline.flowlog.schema import FLOW_COLUMNS
from flow_pipeline.lake import (
    ATTEMPTS,
    FOOTER_KEY,
    Lake,
    TableSpec,
    replace_file,
    staged_beside,
    staging,
    unusable,
)

DATABASE_NAME = "flows.duckdb"
# Views of days may rest on hours, so they come after them.
_MODEL_VIEWS = {"hour": "views.json", "day": "views_of_days.json"}
# Readable by DuckDB 1.5 as well as by later ones.
_STORAGE_VERSION = "v1.5.0"
_WRITTEN = ("written_date", "written_hour")
_SQL_TYPES = {
    pa.string(): "varchar",
    pa.large_string(): "varchar",
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.date32(): "date",
}

LANDED_BLOBS_COLUMNS = {
    "source": "varchar",
    "blob": "varchar",
    "resource_id": "varchar",
    "mac": "varchar",
    "written_date": "date",
    "written_hour": "integer",
    "etag": "varchar",
    "bytes": "bigint",
    "bytes_read": "bigint",
    "blocks": "bigint",
    "records": "bigint",
    "tuples": "bigint",
    "landed": "bigint",
    "rejected": "bigint",
    "problems": "bigint",
    "problem_details": "varchar",
    "landing_id": "varchar",
    "landed_at": "timestamp",
    "listed_at": "timestamp",
    "gone_at": "timestamp",
}
LANDINGS_COLUMNS = {
    "source": "varchar",
    "written_date": "date",
    "written_hour": "integer",
    "listed_at": "timestamp",
    "landing_id": "varchar",
    "blobs": "bigint",
    "tuples": "bigint",
    "rejected": "bigint",
}
BLOB_PROBLEMS_COLUMNS = {
    "source": "varchar",
    "blob": "varchar",
    "written_date": "date",
    "written_hour": "integer",
    "code": "varchar",
    "detail": "varchar",
    "record_no": "integer",
}

# What the settings say, as `setting_views` puts it.
SETTING_VIEWS = {
    "allow_list": {"prefix": "varchar", "reason": "varchar"},
    "threat_feeds": {"feed": "varchar", "feed_rank": "integer"},
}

_BLOBS = "footer, unnest(cast(footer -> 'blobs' as json[])) as blob"
_WRITTEN_AT = "cast(footer ->> 'written_hour' as timestamp)"
_LANDING = {
    "source": "footer ->> 'source'",
    "written_date": _WRITTEN_AT,
    "written_hour": f"hour({_WRITTEN_AT})",
    "landing_id": "footer ->> 'landing_id'",
    "listed_at": "footer ->> 'listed_at'",
}
# As `flowlog.blob_path` takes a path apart: what stands above the first year, and the NIC below.
_RESOURCE_ID = (
    "nullif(regexp_replace(regexp_extract(blob ->> 'blob', "
    "'^[^/]+/(?:(.*?)/)?y=[0-9]{4}/m=[0-9]{2}/', 1, 's'), '^(flowLog)?resourceId=', '', 'i'), '')"
)
_MAC = (
    "nullif(regexp_extract(blob ->> 'blob', "
    "'/y=[0-9]{4}/m=[0-9]{2}/d=[0-9]{2}/h=[0-9]{2}/(?:.*?/)?macAddress=([^/]*)/', 1, 'is'), '')"
)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | Path) -> str:
    """A text as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def list_literal(texts: Iterable[str | Path]) -> str:
    """Texts as an SQL list of strings."""
    return "[" + ", ".join(literal(text) for text in texts) + "]"


def sql_type(data_type: pa.DataType) -> str:
    """The SQL type of an Arrow type that the lake uses."""
    return "timestamp" if pa.types.is_timestamp(data_type) else _SQL_TYPES[data_type]


def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of an SQL type that the lake uses."""
    if name == "timestamp":
        return pa.timestamp("us")
    return next(kind for kind, sql in _SQL_TYPES.items() if sql == name)


def table_select(spec: TableSpec, files: str | None) -> str:
    """A query over a table's files; `files` is an SQL expression of paths, None for no files."""
    if files is None:
        columns = ", ".join(
            f"cast(null as {sql_type(column.type)}) as {quoted(column.name)}"
            for column in spec.schema
        )
        return f"select {columns} where false"
    columns = ", ".join(
        # DuckDB 1.5 fails on the maximum of a bare partition column; so wrapped it still prunes.
        f"coalesce({quoted(column.name)}, null) as {quoted(column.name)}"
        if column.name in spec.partition_by
        else quoted(column.name)
        for column in spec.schema
    )
    if not spec.partition_by:
        return f"select {columns} from read_parquet({files}, hive_partitioning = false)"
    types = ", ".join(
        f"{quoted(name)}: {sql_type(spec.schema.field(name).type)}" for name in spec.partition_by
    )
    return (
        f"select {columns} from read_parquet("
        f"{files}, hive_partitioning = true, hive_types = {{{types}}})"
    )


def landed_views(files: str | None) -> dict[str, str]:
    """The views over `landed_tuples`, which has to exist: name to query, in order."""
    place = [
        column.name
        for column in FLOW_COLUMNS
        if column.name
        in (
            "rule", "acl_id", "flow_log_id", "target_resource_id", "mac", "record_time",
            "source", "blob", "record_no", "flow_no", "group_no", "tuple_no",
        )
    ]  # fmt: skip
    decoded = ", ".join(quoted(name) for name in [*(c.name for c in FLOW_COLUMNS), *_WRITTEN])
    rejected = ", ".join(quoted(name) for name in ["reject_reason", "raw", *place, *_WRITTEN])
    return {
        "flow_records": f"select {decoded} from landed_tuples where reject_reason is null",
        "rejected_tuples": f"select {rejected} from landed_tuples where reject_reason is not null",
        "landings": _landings(files),
        "landed_blobs": _landed_blobs(files),
        "blob_problems": _blob_problems(files),
    }


def rows_select(columns: Mapping[str, str], rows: Sequence[Sequence[str | int]]) -> str:
    """A query that has these rows in itself."""
    names = ", ".join(quoted(name) for name in columns)
    selected = ", ".join(
        f"cast({quoted(name)} as {kind}) as {quoted(name)}" for name, kind in columns.items()
    )
    values = ", ".join(
        "(" + ", ".join(str(cell) if isinstance(cell, int) else literal(cell) for cell in row) + ")"
        for row in rows
    )
    nothing = f"({', '.join('null' for _ in columns)})"
    where = "" if rows else " where false"
    return f"select {selected} from (values {values or nothing}) as told ({names}){where}"


def connect(lake: Lake, settings: Mapping[str, str] | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory connection with views over the newest snapshot of every table.

    `settings` are the views that settings give; None is as if nothing were set.
    """
    connection = duckdb.connect(":memory:")
    create_views(connection, lake, settings)
    return connection


def create_views(
    connection: duckdb.DuckDBPyConnection, lake: Lake, settings: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Make the views of all tables that the lake has, and of dbt's views over them.

    Returns the version of each table.
    """
    unset = {name: rows_select(columns, []) for name, columns in SETTING_VIEWS.items()}
    for name, query in (unset if settings is None else settings).items():
        connection.execute(f"create view {quoted(name)} as {query}")
    versions: dict[str, int] = {}
    for name in lake.table_names():
        snapshot = lake.snapshot(name)
        if snapshot is None:
            continue
        versions[name] = snapshot.version
        files = list_literal(snapshot.paths) if snapshot.files else None
        views = {name: table_select(snapshot.spec, files)}
        if name == "landed_tuples":
            views |= landed_views(files)
        for view, query in views.items():
            connection.execute(f"create view {quoted(view)} as {query}")
    for schema, name, query in _model_views(lake):
        connection.execute(f"create schema if not exists {quoted(schema)}")
        connection.execute(f"create or replace view {quoted(schema)}.{quoted(name)} as {query}")
    return versions


def record_model_views(
    lake: Lake,
    grain: Literal["hour", "day"],
    version: str,
    views: Sequence[tuple[str, str, str]],
) -> None:
    """Keep the compiled SQL of dbt's views (schema, name, query), so that SQL needs no dbt.

    `version` is that of what they were compiled from. Hours and days keep theirs apart, so that a
    run of one never has to write those of the other.
    """
    if views and _recorded(lake, grain) != (version, list(views)):
        content = json.dumps({"version": version, "views": views}, indent=1).encode()
        replace_file(lake.root / _MODEL_VIEWS[grain], content)


def model_views_version(lake: Lake, grain: Literal["hour", "day"]) -> str | None:
    """The version of what the views were compiled from that are kept; None if there are none."""
    return _recorded(lake, grain)[0]


def model_view(lake: Lake, name: str) -> str | None:
    """The query of one of dbt's views over tables alone; None if it is not kept."""
    return {view: query for _, view, query in _model_views(lake)}.get(name)


def publish(lake: Lake, settings: Mapping[str, str] | None = None) -> Path:
    """Make `flows.duckdb` anew: views over the newest snapshot, renamed into place.

    A session that is open keeps what it has; reconnecting shows the newest. Raises LakeError where
    the disk refuses it; the old one stays then.
    """
    path = lake.root / DATABASE_NAME
    for _ in range(ATTEMPTS):
        shown = _publish_once(lake, path, settings)
        # Another run may have committed, and published before we did, what we have not seen: then
        # ours took it back. One that is still at work publishes at its end.
        if shown == {name: lake.version(name) for name in lake.table_names()}:
            break
    return path


def _publish_once(lake: Lake, path: Path, settings: Mapping[str, str] | None) -> dict[str, int]:
    staged = staged_beside(path)
    log = staged.with_name(staged.name + ".wal")
    try:
        with staging(staged), staging(log), duckdb.connect(":memory:") as connection:
            connection.execute(
                f"attach {literal(staged)} as flows (storage_version {literal(_STORAGE_VERSION)})"
            )
            connection.execute("use flows")
            shown = create_views(connection, lake, settings)
            connection.execute("use memory")
            # Closing the connection would do it, too, and keep silent where it fails.
            connection.execute("detach flows")
            # A write-ahead log of a session that died would be replayed into the new file.
            path.with_name(path.name + ".wal").unlink(missing_ok=True)
            staged.replace(path)
    except (duckdb.IOException, duckdb.TransactionException) as error:
        raise unusable(path, error) from None
    return shown


def _model_views(lake: Lake) -> list[tuple[str, str, str]]:
    """All of dbt's views, each after those that it is made of."""
    return [view for grain in _MODEL_VIEWS for view in _recorded(lake, grain)[1]]


def _recorded(lake: Lake, grain: str) -> tuple[str | None, list[tuple[str, str, str]]]:
    try:
        recorded: Any = json.loads((lake.root / _MODEL_VIEWS[grain]).read_bytes())
    except FileNotFoundError:
        return None, []
    # Before they had a version, a list of the views was all there was.
    version, views = (
        (None, recorded) if isinstance(recorded, list) else (recorded["version"], recorded["views"])
    )
    return version, [(schema, name, query) for schema, name, query in views]


def _landings(files: str | None) -> str:
    return _from_footers(
        files,
        LANDINGS_COLUMNS,
        {
            **_LANDING,
            "blobs": "json_array_length(footer -> 'blobs')",
            "tuples": _sum_over_blobs("tuples"),
            "rejected": _sum_over_blobs("rejected"),
        },
    )


def _sum_over_blobs(name: str) -> str:
    return f"coalesce(list_sum(cast(footer -> '$.blobs[*].{name}' as bigint[])), 0)"


def _landed_blobs(files: str | None) -> str:
    return _from_footers(
        files,
        LANDED_BLOBS_COLUMNS,
        {
            **_LANDING,
            "blob": "blob ->> 'blob'",
            "resource_id": _RESOURCE_ID,
            "mac": _MAC,
            "etag": "blob ->> 'etag'",
            "bytes": "blob ->> 'size'",
            # Files from before these were recorded have null.
            "bytes_read": "blob ->> 'bytes_read'",
            "blocks": "blob ->> 'blocks'",
            "records": "blob ->> 'records'",
            "tuples": "blob ->> 'tuples'",
            # Counted by itself, so that tuples = landed + rejected proves something.
            "landed": "coalesce(list_sum(map_values("
            "cast(blob -> 'event_hours' as map(varchar, bigint)))), 0)",
            "rejected": "blob ->> 'rejected'",
            "problems": "blob ->> 'problem_count'",
            "problem_details": "nullif(cast(blob -> 'problems' as varchar), '[]')",
            "landed_at": "blob ->> 'landed_at'",
            "gone_at": "blob ->> 'gone_at'",
        },
        _BLOBS,
    )


def _blob_problems(files: str | None) -> str:
    return _from_footers(
        files,
        BLOB_PROBLEMS_COLUMNS,
        {
            **_LANDING,
            "blob": "blob ->> 'blob'",
            "code": "problem ->> 'code'",
            "detail": "problem ->> 'detail'",
            "record_no": "problem ->> 'record_no'",
        },
        _BLOBS,
        "footer, blob, unnest(cast(blob -> 'problems' as json[])) as problem",
    )


def _from_footers(
    files: str | None, columns: Mapping[str, str], found: Mapping[str, str], *levels: str
) -> str:
    """A query over the manifests; each of `levels` takes apart what the one before it gives."""
    if files is None:
        selected = ", ".join(
            f"cast(null as {data_type}) as {quoted(name)}" for name, data_type in columns.items()
        )
        return f"select {selected} where false"
    selected = ", ".join(
        f"cast({found[name]} as {data_type}) as {quoted(name)}"
        for name, data_type in columns.items()
    )
    query = (
        "select cast(decode(value) as json) as footer "
        f"from parquet_kv_metadata({files}) where decode(key) = {literal(FOOTER_KEY.decode())}"
    )
    for level in levels:
        query = f"select {level} from ({query})"
    return f"select {selected} from ({query})"
