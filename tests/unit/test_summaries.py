"""The summaries read back: the first rows, the rest, and how they are shown."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_pipeline.lake import Lake, TableSpec
from flow_pipeline.partitions import day_partition
from flow_pipeline.summaries import top_as_markdown, top_rows

DAY = date(2026, 11, 1)
MEASURES = ["flows", "allowed", "denied", "malicious"]
PORTS = TableSpec(
    "top_ports_daily",
    pa.schema(
        [
            ("rank", pa.int32()),
            ("port", pa.int32()),
            ("protocol", pa.int16()),
            ("service", pa.string()),
            *((name, pa.int64()) for name in MEASURES),
            ("date", pa.date32()),
        ]
    ),
    ("date",),
)
SOURCES = TableSpec(
    "top_sources_daily",
    pa.schema(
        [
            ("rank", pa.int32()),
            ("ip", pa.string()),
            ("country", pa.string()),
            ("is_malicious", pa.bool_()),
            *((name, pa.int64()) for name in MEASURES),
            ("date", pa.date32()),
        ]
    ),
    ("date",),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


def write(lake: Lake, spec: TableSpec, day: date, *rows: tuple[Any, ...]) -> None:
    snapshot = lake.existing(spec)
    path = snapshot.stage(day_partition(day))
    schema = pa.schema([field for field in spec.schema if field.name != "date"])
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
    pq.write_table(pa.table(columns, schema=schema), path)
    snapshot.commit(day_partition(day), [path], [])


def test_the_first_rows_and_the_rest(lake: Lake) -> None:
    write(
        lake,
        PORTS,
        DAY,
        (None, None, None, None, 12, 2, 10, 0),
        (3, 22, 6, "ssh", 50, 0, 50, 50),
        (1, 3389, 6, "ms-wbt-server", 1234567, 7, 1234560, 99),
        (2, 53, 17, None, 60, 60, 0, 0),
    )
    [table] = top_rows(lake, "top_ports_daily", [DAY], 2)
    assert (table.name, table.day) == ("top_ports_daily", DAY)
    assert table.rows == (
        ("1", "3389", "TCP", "ms-wbt-server", "1,234,567", "7", "1,234,560", "99"),
        ("2", "53", "UDP", "", "60", "60", "0", "0"),
        ("rest", "", "", "", "12", "2", "10", "0"),
    )


def test_days_that_have_nothing_are_left_out(lake: Lake) -> None:
    assert top_rows(lake, "top_ports_daily", [DAY], 5) == []
    write(lake, PORTS, DAY)
    other = date(2026, 11, 2)
    write(lake, PORTS, other, (None, None, None, None, 0, 0, 0, 0))
    days = [date(2026, 11, 3), other, DAY]
    assert [table.day for table in top_rows(lake, "top_ports_daily", days, 5)] == [other]


def test_markdown_shows_ten_and_keeps_its_columns(lake: Lake) -> None:
    rows = [(n, f"198.51.100.{n}", "N|L", n == 1, 20 - n, 0, 20 - n, 0) for n in range(1, 13)]
    write(lake, SOURCES, DAY, *rows)
    asked = [("top_sources_daily", DAY), ("top_ports_daily", DAY)]
    found = top_as_markdown(lake, asked)
    assert found.keys() == {("top_sources_daily", DAY)}
    lines = found["top_sources_daily", DAY].splitlines()
    assert len(lines) == 12
    assert lines[0] == "| rank | ip | country | listed | flows | allowed | denied | malicious |"
    assert lines[2] == "| 1 | 198.51.100.1 | N\\|L | yes | 19 | 0 | 19 | 0 |"
    assert lines[3] == "| 2 | 198.51.100.2 | N\\|L |  | 18 | 0 | 18 | 0 |"
