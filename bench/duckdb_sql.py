"""DuckDB's own way: `read_json`, `unnest`, `string_split`, and `copy … to` Parquet, in one query.

The columns are named, so that nothing is guessed from the documents; the positions of `unnest` are
kept at each step.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from bench.documents import ZSTD_LEVEL, Documents, Layout

# The largest document is read as one JSON object; the limit is a buffer that DuckDB allocates.
_SPARE = 1024 * 1024

_NSG_COLUMNS = """
    struct("time" varchar, resourceId varchar,
           properties struct(flows struct(rule varchar,
                                          flows struct(mac varchar, flowTuples varchar[])[])[]))[]
"""
_VNET_COLUMNS = """
    struct("time" varchar, macAddress varchar, flowLogResourceID varchar, targetResourceID varchar,
           flowRecords struct(flows struct(aclID varchar,
                                           flowGroups struct(rule varchar,
                                                             flowTuples varchar[])[])[]))[]
"""

# What is unnested at each step, and the names that are taken from it on the way.
_RECORD = {
    Layout.NSG2: """
        record.resourceId as acl_id, null::varchar as flow_log_id,
        null::varchar as target_resource_id, record.properties.flows as flows""",
    Layout.VNET: """
        record.flowLogResourceID as flow_log_id, record.targetResourceID as target_resource_id,
        record.macAddress as mac, record.flowRecords.flows as flows""",
}
_FLOW = {
    Layout.NSG2: "flow.rule as rule, flow.flows as groups",
    Layout.VNET: "flow.aclID as acl_id, flow.flowGroups as groups",
}
_GROUP = {
    Layout.NSG2: "grp.mac as mac, grp.flowTuples as tuples",
    Layout.VNET: "grp.rule as rule, grp.flowTuples as tuples",
}
_FIELDS = {
    Layout.NSG2: """
        make_timestamp_ms(f[1]::bigint * 1000) as flow_time,
        (case f[6] when 'T' then 6 when 'U' then 17 end)::smallint as protocol,
        f[8] as decision, f[9] as flow_state, null::varchar as encryption,
        2::smallint as log_version""",
    Layout.VNET: """
        make_timestamp_ms(f[1]::bigint) as flow_time,
        f[6]::smallint as protocol,
        case when f[8] = 'D' then 'D' else 'A' end as decision,
        nullif(f[8], 'D') as flow_state, f[9] as encryption,
        4::smallint as log_version""",
}


def prepare(documents: Documents, out: Path) -> Callable[[], int]:
    """A Parquet file for each hour."""
    connection = duckdb.connect(":memory:", config={"threads": 1})

    def work() -> int:
        tuples = 0
        for hour, blobs in documents.hours.items():
            paths = [str(blob.path) for blob in blobs]
            largest = max(blob.path.stat().st_size for blob in blobs)
            query = _query(documents, paths, largest + _SPARE)
            target = _text(str(out / f"{hour:%Y%m%dT%H}.parquet"))
            [row] = connection.execute(
                f"copy ({query}) to {target} "
                f"(format parquet, compression zstd, compression_level {ZSTD_LEVEL})"
            ).fetchall()
            tuples += row[0]
        return tuples

    return work


def _query(documents: Documents, paths: list[str], largest: int) -> str:
    layout = documents.layout
    columns = _VNET_COLUMNS if layout is Layout.VNET else _NSG_COLUMNS
    files = ", ".join(map(_text, paths))
    return f"""
        with documents as (
            select substr(filename, {len(documents.source) + 2}) as blob, records
            from read_json([{files}], columns = {{records: '{columns}'}}, filename = true,
                           format = 'unstructured', maximum_object_size = {largest})
        ),
        records as (
            select blob, unnest(records) as record,
                generate_subscripts(records, 1) - 1 as record_no
            from documents
        ),
        flow_lists as (
            select blob, record_no, left(record."time", 26)::timestamp as record_time,
                {_RECORD[layout]}
            from records
        ),
        flows as (
            select * exclude (flows), unnest(flows) as flow,
                generate_subscripts(flows, 1) - 1 as flow_no
            from flow_lists
        ),
        group_lists as (select * exclude (flow), {_FLOW[layout]} from flows),
        groups as (
            select * exclude (groups), unnest(groups) as grp,
                generate_subscripts(groups, 1) - 1 as group_no
            from group_lists
        ),
        tuple_lists as (select * exclude (grp), {_GROUP[layout]} from groups),
        tuples as (
            select * exclude (tuples), unnest(tuples) as tuple,
                generate_subscripts(tuples, 1) - 1 as tuple_no
            from tuple_lists
        ),
        split as (
            select * exclude (tuple), string_split(tuple, ',') as f from tuples
        ),
        typed as (select *, {_FIELDS[layout]} from split)
        select
            flow_time::timestamp_ms as flow_time,
            flow_time::date as date,
            hour(flow_time)::integer as hour,
            f[2] as src_ip,
            f[3] as dst_ip,
            f[4]::integer as src_port,
            f[5]::integer as dst_port,
            protocol,
            f[7] as direction,
            decision,
            flow_state,
            encryption,
            nullif(f[10], '')::bigint as packets_src_to_dst,
            nullif(f[11], '')::bigint as bytes_src_to_dst,
            nullif(f[12], '')::bigint as packets_dst_to_src,
            nullif(f[13], '')::bigint as bytes_dst_to_src,
            rule,
            acl_id,
            flow_log_id,
            target_resource_id,
            mac,
            log_version,
            record_time,
            {_text(documents.source)} as source,
            blob,
            record_no::integer as record_no,
            flow_no::integer as flow_no,
            group_no::integer as group_no,
            tuple_no::integer as tuple_no,
            null::varchar as reject_reason,
            null::varchar as raw
        from typed
    """


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
