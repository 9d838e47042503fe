"""The coverage tables read back, for whoever shows them.

Belongs here: which forms of the logs are new. What the tables mean belongs to the dbt models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import list_literal, table_select
from flow_pipeline.partitions import HOUR, day_start


@dataclass(frozen=True)
class NewForm:
    """A version, code or problem of the logs that had never been seen before."""

    kind: str
    form: str
    first_seen_at: datetime
    occurrences: int


def new_forms(lake: Lake, days: Sequence[date]) -> list[NewForm]:
    """What was first seen on one of some days of written hours, while the lake has older days."""
    snapshot = lake.snapshot("schema_daily")
    if snapshot is None or not snapshot.files:
        return []
    files = list_literal(file.path for file in snapshot.files)
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"create view schema_daily as {table_select(snapshot.spec, files)}")
        found = connection.execute(
            "select kind, form, min(written_date), arg_min(first_written_hour, written_date), "
            "cast(sum(occurrences) as bigint) from schema_daily group by kind, form "
            "having list_contains($days, min(written_date)) "
            "and min(written_date) > (select min(written_date) from schema_daily) order by all",
            {"days": list(days)},
        ).fetchall()
    return [
        NewForm(kind, form, day_start(day) + hour * HOUR, occurrences)
        for kind, form, day, hour, occurrences in found
    ]
