"""Lakes for the tests of the whole way: made by the pipeline itself, read back by plain SQL.

Belongs here: folders of blobs, bringing a lake up to date in this process without Dagster, and
reading tables and file names. What is expected is counted in `plain_count`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flow_pipeline.lake_views import connect
from flow_pipeline.modelling import ModelledRange
from flow_pipeline.pipeline import Pipeline, written_hours
from flow_pipeline.sample import SampleBlob
from flow_pipeline.settings import Settings

# Each with an order that no two rows share, so that equal tables give equal lists.
ORDERS = {
    "flow_records": "blob, record_no, flow_no, group_no, tuple_no",
    "fct_flows": "blob, record_no, flow_no, group_no, tuple_no",
    "session_states": "date, hour, blob, record_no, flow_no, group_no, tuple_no",
    "top_ports_daily": "date, rank nulls last",
    "top_sources_daily": "date, rank nulls last",
    "top_targets_daily": "date, rank nulls last",
    "nic_contacts_daily": "date, mac, ip",
    "nic_sources_daily": "date, mac, ip, src_ip",
    "ports_daily": "date, direction, protocol, port",
    "services_daily": "date, direction, protocol, service, is_excluded",
    "protocols_daily": "date, direction, protocol, has_excluded_ports",
    "sources_daily": "date, src_ip",
    "rules_daily": "date, acl_id, rule, direction, decision",
    "allowed_daily": "date, acl_id, rule, direction, mac, ip, remote_ip, protocol, port",
    "malicious_daily": "date, direction, decision, mac, ip, acl_id, rule, remote_country",
    "merged_flows": "all",
    "traffic_hourly": "all",
    "traffic_daily": "all",
    "hosts_daily": "date, mac, ip",
    "pairs_daily": "all",
    "coverage_hourly": "blob",
    "lag_daily": "written_date, measured, bucket",
    "schema_daily": "written_date, kind, form",
}
# An account is a source for each container, a folder one for all.
_OF_THE_LOGS = {
    "lag_daily": """(
        select written_date, measured, bucket, sum(occurrences) as occurrences
        from lag_daily
        where measured = 'flow_to_record'
        group by all
    )"""
}
SUMMARIES = ("top_ports_daily", "top_sources_daily", "top_targets_daily")
STUDY = (
    "nic_contacts_daily", "nic_sources_daily", "ports_daily", "services_daily", "protocols_daily",
    "sources_daily",
)  # fmt: skip
RULES = ("rules_daily", "allowed_daily", "malicious_daily")
# By the day of the written hour.
COVERAGE = ("coverage_hourly", "lag_daily", "schema_daily")
TRAFFIC = ("traffic_daily", "hosts_daily", "pairs_daily")
HOURS = ("fct_flows", "merged_flows", "traffic_hourly", "session_states")
DAYS = (*TRAFFIC, *SUMMARIES, *STUDY, *RULES)
DERIVED = (*HOURS, *DAYS, *COVERAGE)


@dataclass(frozen=True)
class Update:
    """What bringing a lake up to date built."""

    hours: ModelledRange
    days: ModelledRange

    @property
    def failures(self) -> tuple[str, ...]:
        return failures_of(self.hours) + failures_of(self.days)


def failures_of(modelled: ModelledRange) -> tuple[str, ...]:
    """What could not be built, and which tests failed."""
    return modelled.unbuilt + modelled.failed_tests


def pipeline_over(lake_dir: Path, *sources: Path | str, **settings: Any) -> Pipeline:
    """The pipeline with these settings and no others."""
    words = tuple(str(source) for source in sources)
    # pydantic-settings takes it, and declares it nowhere.
    no_file: dict[str, Any] = {"_env_file": None}
    return Pipeline.open(Settings(sources=words, lake=lake_dir, **settings, **no_file))


def bring_up_to_date(pipeline: Pipeline, start: datetime, end: datetime) -> Update:
    """What `flow-pipeline run --from start --to end` does, without Dagster around it."""
    landing = written_hours(start, end)
    pipeline.ensure_start(start)
    pipeline.land(landing)
    pipeline.refresh_feeds()
    pipeline.look_up(landing)
    hours = pipeline.model_hours(landing)
    asked = [hour for hour in landing if hour < end]
    days = pipeline.model_days(pipeline.days_of(asked, landed=landing))
    return Update(hours, days)


def write_blobs(folder: Path, blobs: Iterable[SampleBlob]) -> list[Path]:
    """Lay blobs down as a storage account holds them."""
    paths: list[Path] = []
    for blob in blobs:
        path = folder / blob.container / blob.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.content)
        paths.append(path)
    return paths


def rows_of(pipeline: Pipeline, table: str) -> list[dict[str, Any]]:
    """What a table says of the logs, in a fixed order: no source's name, nor when it landed."""
    rows = _OF_THE_LOGS.get(table, table)
    with connect(pipeline.lake) as connection:
        found = connection.execute(f"select * from {rows} order by {ORDERS[table]}")
        names = [column[0] for column in found.description or ()]
        return [
            {n: v for n, v in zip(names, row, strict=True) if n != "source"}
            for row in found.fetchall()
        ]


def tables_of(
    pipeline: Pipeline, tables: Iterable[str] = tuple(ORDERS)
) -> dict[str, list[dict[str, Any]]]:
    """Several tables, to be held against those of another lake."""
    return {table: rows_of(pipeline, table) for table in tables}


def ask(pipeline: Pipeline, query: str) -> list[tuple[Any, ...]]:
    """An answer from the newest snapshot."""
    with connect(pipeline.lake) as connection:
        return connection.execute(query).fetchall()


def file_names(pipeline: Pipeline, *tables: str) -> dict[str, list[str]]:
    """Table and partition to the names of the files there: a name is never used twice."""
    names: dict[str, list[str]] = {}
    for table in tables:
        snapshot = pipeline.lake.snapshot(table)
        for file in snapshot.files if snapshot else ():
            names.setdefault(f"{table}/{file.partition.path}", []).append(file.path.name)
    return names
