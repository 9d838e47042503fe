"""Looking at a lake from outside, as readers do, and judging what they see.

Belongs here: the counts that readers see, whether the logs admit them, and whether two lakes are
the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
from deltalake import DeltaTable

from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import DATABASE_NAME, connect
from flow_pipeline.partitions import HOUR, day_start, hours_of
from tests.integration.lakes import SUMMARIES
from tests.torture.growing_logs import FlowCount, GrowingLogs
from tests.torture.runs import Difference

_MARKER = "lake.json"


@dataclass(frozen=True)
class Seen:
    """What one reader sees: tuples by written hour, flows by event hour, and by table and day."""

    reader: str
    landed: Mapping[datetime, int]
    facts: Mapping[datetime, FlowCount]
    days: Mapping[str, Mapping[date, int]]


def look(lake: Path) -> list[Seen]:
    """What each kind of reader sees now; every table is opened. Readers' errors are raised."""
    if not (lake / _MARKER).exists():
        return []
    with connect(Lake.open_to_read(lake)) as connection:
        seen = [_ask("SQL", connection)]
    if (lake / DATABASE_NAME).exists():
        with duckdb.connect(str(lake / DATABASE_NAME), read_only=True) as connection:
            seen.append(_ask(DATABASE_NAME, connection))
    seen.append(_read_delta(lake))
    return seen


def judge(seen: Seen, logs: GrowingLogs) -> None:
    """Raises Difference if a count is none that the logs had at some time since they settled."""
    wrong = [
        f"{seen.reader}: {table} {at} has {count}, not one of {sorted(allowed)}"
        for table, at, count, allowed in _counts(seen, logs)
        if count not in allowed
    ]
    if wrong:
        raise Difference("\n".join(wrong))


def _counts(seen: Seen, logs: GrowingLogs) -> Iterator[tuple[str, object, object, Collection[Any]]]:
    for hour in {*seen.landed, *logs.hours}:
        yield "landed_tuples", hour, seen.landed.get(hour, 0), logs.landed(hour)
    for hour in {*seen.facts, *logs.event_hours()}:
        yield "fct_flows", hour, seen.facts.get(hour, (0, 0)), logs.facts(hour)
    for table, days in seen.days.items():
        for day in {*days, *(hour.date() for hour in logs.event_hours())}:
            yield table, day, days.get(day, 0), logs.day(hours_of(day))


def everything(lake: Path) -> dict[str, list[str]]:
    """Every row of every table, as JSON; of the moments at which a run did something only that."""
    with connect(Lake.open_to_read(lake)) as connection:
        tables = connection.execute(
            "select table_schema, table_name from information_schema.tables order by all"
        ).fetchall()
        return {
            f"{schema}.{name}": _rows(connection, f'"{schema}"."{name}"') for schema, name in tables
        }


def assert_same(lake: Path, undisturbed: Path) -> None:
    """Raises Difference, with some of the rows, unless two lakes hold the same."""
    ours, theirs = everything(lake), everything(undisturbed)
    if ours.keys() != theirs.keys():
        raise Difference(f"tables {sorted(ours)}, undisturbed {sorted(theirs)}")
    told = [
        f"{name}: {len(ours[name])} rows, undisturbed {len(theirs[name])}\n"
        + "\n".join(_told(ours[name], theirs[name]))
        for name in ours
        if ours[name] != theirs[name]
    ]
    if told:
        raise Difference("\n".join(told))


def commits(lake: Path) -> dict[str, int]:
    """The version of each table, by its log."""
    return {
        log.parent.name: max(int(entry.stem) for entry in log.glob("[0-9]*.json"))
        for log in lake.glob("*/_delta_log")
        if any(log.glob("[0-9]*.json"))
    }


# When a run did something differs from run to run. All other times are those of the logs.
_MOMENTS = (
    "landed_at",
    "listed_at",
    "gone_at",
    "looked_up_at",
    "listed_from",
    "listed_to",
    "valid_from",
    "valid_to",
    "known_since",
)


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    names = [column[0] for column in connection.execute(f"describe {table}").fetchall()]
    columns = ", ".join(
        f'"{name}" is null as "{name}"' if name in _MOMENTS else f'"{name}"' for name in names
    )
    rows = connection.execute(f"select to_json(r) from (select {columns} from {table}) as r")
    return sorted(row for (row,) in rows.fetchall())


def _told(ours: list[str], theirs: list[str]) -> list[str]:
    return [
        *(f"  only here: {row}" for row in sorted({*ours} - {*theirs})[:3]),
        *(f"  only undisturbed: {row}" for row in sorted({*theirs} - {*ours})[:3]),
    ]


def _ask(reader: str, connection: duckdb.DuckDBPyConnection) -> Seen:
    tables = connection.execute(
        "select table_schema, table_name from information_schema.tables"
    ).fetchall()
    for schema, name in tables:
        connection.execute(f'select count(*) from "{schema}"."{name}"')
    names = {name for _, name in tables}
    landed: dict[datetime, int] = {}
    facts: dict[datetime, FlowCount] = {}
    if "landed_tuples" in names:
        found = connection.execute(
            "select written_date + to_hours(written_hour), count(*) from landed_tuples group by all"
        )
        landed = dict(found.fetchall())
        rows = "select source, blob, count(*) from landed_tuples group by all"
        manifests = "select source, blob, tuples from landed_blobs where tuples > 0"
        for one, other in ((rows, manifests), (manifests, rows)):
            differing = connection.execute(f"({one}) except ({other})").fetchall()
            if differing:
                raise Difference(f"{reader}: rows and manifests disagree: {differing}")
    if "fct_flows" in names:
        found = connection.execute(
            "select date + to_hours(hour), count(*), count(*) filter (is_malicious) "
            "from fct_flows group by all"
        )
        facts = {hour: (flows, listed) for hour, flows, listed in found.fetchall()}
    days = {
        table: dict(
            connection.execute(f"select date, sum(tuples) from {table} group by all").fetchall()
        )
        for table in SUMMARIES
        if table in names
    }
    return Seen(reader, landed, facts, days)


def _read_delta(lake: Path) -> Seen:
    """The tables as Delta's own library reads them, which knows nothing of this project."""
    landed = {
        day_start(row["written_date"]) + row["written_hour"] * HOUR: row["count_all"]
        for row in _grouped(lake, "landed_tuples", ["written_date", "written_hour"])
    }
    facts = {
        day_start(row["date"]) + row["hour"] * HOUR: (row["count_all"], row["is_malicious_sum"])
        for row in _grouped(lake, "fct_flows", ["date", "hour"], "is_malicious")
    }
    days = {
        table: {row["date"]: row["tuples_sum"] for row in rows}
        for table in SUMMARIES
        if (rows := _grouped(lake, table, ["date"], "tuples"))
    }
    return Seen("Delta", landed, facts, days)


def _grouped(
    lake: Path, name: str, by: list[str], summed: str | None = None
) -> list[dict[str, Any]]:
    """Count the rows of each partition, and sum a column; nothing if the table does not exist."""
    if not DeltaTable.is_deltatable(str(lake / name)):
        return []
    columns = [*by, summed] if summed else by
    table = DeltaTable(str(lake / name)).to_pyarrow_dataset().to_table(columns=columns)
    measures: list[tuple[Any, ...]] = [([], "count_all")]
    if summed:
        measures.append((summed, "sum"))
    return table.group_by(by).aggregate(measures).to_pylist()
