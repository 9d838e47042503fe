"""The summaries read back from the lake, for whoever shows them.

Belongs here: reading the top rows of a day, and putting them as Markdown. What a summary means
belongs to the dbt models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb

from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import list_literal, quoted, table_select
from flow_pipeline.partitions import day_partition

# Summary -> the columns that name a row, and the heads under which the measures are shown.
SUMMARIES = {
    "top_ports_daily": ("port", "protocol", "service"),
    "top_sources_daily": ("ip", "country", "is_malicious"),
    "top_targets_daily": ("ip",),
}
_MEASURES = ("flows", "allowed", "denied", "malicious")
_HEADS = {"is_malicious": "listed"}
_PROTOCOLS = {6: "TCP", 17: "UDP"}
_SHOWN_ROWS = 10


@dataclass(frozen=True)
class SummaryTable:
    """The top rows of one summary of one day; the last row is everything else."""

    name: str
    day: date
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def top_rows(lake: Lake, name: str, days: Iterable[date], limit: int) -> list[SummaryTable]:
    """The first `limit` rows and the rest of a summary, for days that have any flow."""
    snapshot = lake.snapshot(name)
    if snapshot is None:
        return []
    columns = ("rank", *SUMMARIES[name], *_MEASURES)
    tables = []
    with duckdb.connect(":memory:") as connection:
        for day in sorted(days):
            files = snapshot.files_of(day_partition(day))
            if not files:
                continue
            rows = connection.execute(
                f"select {', '.join(quoted(column) for column in columns)} from ("
                + table_select(snapshot.spec, list_literal(file.path for file in files))
                + f") where rank is null or rank <= {int(limit)} order by rank nulls last"
            ).fetchall()
            if rows:
                shown = tuple(
                    tuple(_shown(c, v) for c, v in zip(columns, row, strict=True)) for row in rows
                )
                heads = tuple(_HEADS.get(column, column) for column in columns)
                tables.append(SummaryTable(name, day, heads, shown))
    return tables


def top_as_markdown(lake: Lake, wanted: Sequence[tuple[str, date]]) -> dict[tuple[str, date], str]:
    """The summaries of some days as Markdown tables."""
    found: dict[tuple[str, date], str] = {}
    for name in dict.fromkeys(name for name, _ in wanted):
        days = [day for other, day in wanted if other == name]
        for table in top_rows(lake, name, days, _SHOWN_ROWS):
            lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
            found[name, table.day] = "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                for line in lines
            )
    return found


def _shown(column: str, value: object) -> str:
    if column == "rank":
        return "rest" if value is None else str(value)
    if value is None:
        return ""
    if column == "protocol":
        return _PROTOCOLS.get(int(str(value)), str(value))
    if isinstance(value, bool):
        return "yes" if value else ""
    return f"{value:,}" if isinstance(value, int) and column in _MEASURES else str(value)
