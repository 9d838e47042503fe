"""One list of columns: what Python writes is what dbt's YAML describes, name by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from flow_pipeline.address_lookup import IP_LOOKUP
from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace
from flow_pipeline.flowlog.schema import (
    ENCODED_SCHEMA,
    FLOW_COLUMNS,
    LANDED_SCHEMA,
    REJECT_COLUMNS,
)
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import (
    BLOB_PROBLEMS_COLUMNS,
    LANDED_BLOBS_COLUMNS,
    LANDINGS_COLUMNS,
    SETTING_VIEWS,
    connect,
    landed_views,
    sql_type,
)
from flow_pipeline.landed_file import LANDED_TUPLES
from flow_pipeline.threat_history import THREAT_ENTRIES
from tests.unit.blobs import HOUR, document, flow, record

Columns = list[tuple[str, str]]

FLOWS: Columns = [(column.name, sql_type(column.type)) for column in FLOW_COLUMNS]
WRITTEN: Columns = [("written_date", "date"), ("written_hour", "integer")]
# What is known of where a tuple stood, decoded or not.
PLACE = [
    "rule", "acl_id", "flow_log_id", "target_resource_id", "mac", "record_time",
    "source", "blob", "record_no", "flow_no", "group_no", "tuple_no",
]  # fmt: skip


@pytest.fixture(scope="session")
def described(project_dir: Path) -> dict[str, dict[str, Any]]:
    """Everything that dbt's YAML describes: table -> column -> its description."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((project_dir / "dbt_project/models").rglob("*.yml")):
        content = yaml.safe_load(path.read_text())
        tables = list(content.get("models", ()))
        for source in content.get("sources", ()):
            tables += source["tables"]
        for table in tables:
            found[table["name"]] = {column["name"]: column for column in table.get("columns", ())}
    return found


def columns_of(described: dict[str, dict[str, Any]], table: str) -> Columns:
    return [(name, column["data_type"]) for name, column in described[table].items()]


def of_schema(schema: pa.Schema) -> Columns:
    return [(field.name, sql_type(field.type)) for field in schema]


def test_flow_records(described: dict[str, dict[str, Any]]) -> None:
    assert columns_of(described, "flow_records") == FLOWS + WRITTEN


def test_stg_flow_records(described: dict[str, dict[str, Any]]) -> None:
    assert columns_of(described, "stg_flow_records") == FLOWS


def test_fct_flows_begins_with_what_was_logged(described: dict[str, dict[str, Any]]) -> None:
    assert columns_of(described, "fct_flows")[: len(FLOWS)] == FLOWS


def test_fct_flows_is_never_null_where_a_decoded_row_is_not(
    described: dict[str, dict[str, Any]],
) -> None:
    filled = {
        column.name
        for column in FLOW_COLUMNS
        if {"type": "not_null"} in described["fct_flows"][column.name].get("constraints", ())
    }
    assert filled == {column.name for column in FLOW_COLUMNS if not column.nullable}


def test_rejected_tuples(described: dict[str, dict[str, Any]]) -> None:
    rejects = [(column.name, sql_type(column.type)) for column in REJECT_COLUMNS]
    place = [column for column in FLOWS if column[0] in PLACE]
    assert len(place) == len(PLACE)
    assert columns_of(described, "rejected_tuples") == rejects + place + WRITTEN


def test_what_footers_say(described: dict[str, dict[str, Any]]) -> None:
    assert columns_of(described, "landings") == list(LANDINGS_COLUMNS.items())
    assert columns_of(described, "landed_blobs") == list(LANDED_BLOBS_COLUMNS.items())
    assert columns_of(described, "blob_problems") == list(BLOB_PROBLEMS_COLUMNS.items())


@pytest.mark.parametrize("table", ["ip_lookup", "stg_ip_lookup"])
def test_ip_lookup(described: dict[str, dict[str, Any]], table: str) -> None:
    assert columns_of(described, table) == of_schema(IP_LOOKUP.schema)


def test_threat_entries(described: dict[str, dict[str, Any]]) -> None:
    assert columns_of(described, "threat_entries") == of_schema(THREAT_ENTRIES.schema)


@pytest.mark.parametrize("table", ["threat_feeds", "allow_list"])
def test_what_settings_say(described: dict[str, dict[str, Any]], table: str) -> None:
    assert columns_of(described, table) == list(SETTING_VIEWS[table].items())


def test_the_landed_file_holds_them_all_in_order() -> None:
    names = [column.name for column in (*FLOW_COLUMNS, *REJECT_COLUMNS)]
    assert LANDED_SCHEMA.names == names
    assert LANDED_TUPLES.schema.names == [*names, "written_date", "written_hour"]
    decoder = BlobDecoder(BlobPlace("source", "blob", HOUR))
    batches = [*decoder.feed(document(record([flow(HOUR), "bad"]))), *decoder.finish()]
    assert [batch.schema for batch in batches] == [ENCODED_SCHEMA]


def test_the_views_have_what_is_described(
    described: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    lake = Lake.open(tmp_path / "lake")
    for spec in (LANDED_TUPLES, IP_LOOKUP, THREAT_ENTRIES):
        lake.ensure_table(spec)
    views = (*landed_views(None), *SETTING_VIEWS, "ip_lookup", "threat_entries")
    with connect(lake) as connection:
        for view in views:
            found = connection.execute(f"describe {view}").fetchall()
            assert [(row[0], row[1].lower()) for row in found] == columns_of(described, view)


def test_every_column_is_described(described: dict[str, dict[str, Any]]) -> None:
    missing = [
        f"{table}.{name}"
        for table, columns in described.items()
        for name, column in columns.items()
        if not column.get("description") or not column.get("data_type")
    ]
    assert missing == []
    assert len(described) >= 10
