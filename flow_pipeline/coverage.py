"""The coverage tables read back, for whoever shows them.

Belongs here: asking them for what a check tells. What the tables mean, and which forms of the logs
are new, belongs to the dbt models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import list_literal, model_view, table_select


@dataclass(frozen=True)
class NewForm:
    """A version, code or problem of the logs that had never been seen before."""

    kind: str
    form: str
    first_seen_at: datetime
    occurrences: int


def new_forms(lake: Lake, days: Sequence[date]) -> list[NewForm]:
    """What `schema_drift` says is new and was first seen on one of some days of written hours."""
    snapshot = lake.snapshot("schema_daily")
    drift = model_view(lake, "schema_drift")
    if snapshot is None or not snapshot.files or drift is None:
        return []
    files = list_literal(snapshot.paths)
    # All views of the lake would take as long as a small run.
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"create view schema_daily as {table_select(snapshot.spec, files)}")
        connection.execute(f"create view schema_drift as {drift}")
        found = connection.execute(
            "select kind, form, first_seen_at, occurrences from schema_drift "
            "where is_new and list_contains($days, cast(first_seen_at as date)) order by all",
            {"days": list(days)},
        ).fetchall()
    return [NewForm(*form) for form in found]
