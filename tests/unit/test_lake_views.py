"""How the lake looks from SQL, and that `flows.duckdb` never stands in anybody's way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_pipeline.address_lookup import IP_LOOKUP
from flow_pipeline.flowlog.blob_path import parse_blob_path
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.flowlog.schema import FLOW_COLUMNS, VNET_CONTAINER
from flow_pipeline.lake import FOOTER_KEY, Lake, TableSpec
from flow_pipeline.lake_views import (
    DATABASE_NAME,
    LANDED_BLOBS_COLUMNS,
    connect,
    list_literal,
    literal,
    publish,
    quoted,
    record_model_views,
    sql_type,
    table_select,
)
from flow_pipeline.landed_file import LANDED_TUPLES, read_landing
from flow_pipeline.landing import land_hour
from flow_pipeline.partitions import hour_partition, written_partition
from flow_pipeline.threat_history import THREAT_ENTRIES
from tests.unit.blobs import HOUR, MINUTE, blob_name, document, flow, put, put_flows, record

SETTLED = HOUR + 70 * MINUTE
NEXT = HOUR + 60 * MINUTE
LANDED_VIEWS = ("flow_records", "rejected_tuples", "landings", "landed_blobs", "blob_problems")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs" / VNET_CONTAINER).mkdir(parents=True)
    return tmp_path / "logs"


def land(lake: Lake, folder: Path, hour: datetime = HOUR, at: datetime = SETTLED) -> None:
    land_hour(lake, [FolderSource(folder)], hour, lambda: at)


def ask(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with connect(lake) as connection:
        return connection.execute(query).fetchall()


def ask_published(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(lake.root / DATABASE_NAME), read_only=True) as connection:
        return connection.execute(query).fetchall()


def ask_elsewhere(lake: Lake, query: str) -> str:
    """What another process finds, in another directory, through `flows.duckdb`."""
    program = (
        "import sys, duckdb\n"
        "with duckdb.connect(sys.argv[1], read_only=True) as connection:\n"
        "    print(connection.execute(sys.argv[2]).fetchall())\n"
    )
    path = str(lake.root / DATABASE_NAME)
    done = subprocess.run(
        [sys.executable, "-c", program, path, query],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class TestLiterals:
    @pytest.mark.parametrize(
        "text", ["", "a", "it's", 'a "b"', "a\nb", "'' or 1=1 --", "\\'", "😀"]
    )
    def test_any_text_and_name_stays_what_it_is(self, text: str) -> None:
        with duckdb.connect() as connection:
            query = f"select {literal(text)}, {list_literal([text, text])}"
            assert connection.execute(query).fetchall() == [(text, [text, text])]
            if text:
                found = connection.execute(f"select 1 as {quoted(text)}").description
                assert found is not None
                assert found[0][0] == text


class TestTables:
    def test_a_table_without_files_is_typed_and_empty(self, lake: Lake) -> None:
        for spec in (LANDED_TUPLES, IP_LOOKUP, THREAT_ENTRIES):
            lake.ensure_table(spec)
            expected = [(field.name, sql_type(field.type).upper()) for field in spec.schema]
            assert [row[:2] for row in ask(lake, f"describe {spec.name}")] == expected
            assert ask(lake, f"select * from {spec.name}") == []
        for view in LANDED_VIEWS:
            assert ask(lake, f"select * from {view}") == []

    def test_types_are_the_same_with_files_and_without(self, lake: Lake, folder: Path) -> None:
        lake.ensure_table(LANDED_TUPLES)
        views = ("landed_tuples", *LANDED_VIEWS)
        before = self.types(lake, views)
        put_flows(folder, flow(HOUR), "bad")
        land(lake, folder)
        assert self.types(lake, views) == before

    @staticmethod
    def types(lake: Lake, views: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        with connect(lake) as connection:
            return [connection.execute(f"describe {view}").fetchall() for view in views]

    def test_replaced_files_are_not_seen(self, lake: Lake, folder: Path) -> None:
        for port in (1, 2, 3):
            put_flows(folder, flow(HOUR, port=port))
            land(lake, folder)
        assert len(list(lake.root.rglob("*.parquet"))) == 3
        assert ask(lake, "select dst_port from flow_records") == [(3,)]

    def test_partition_columns_are_typed_and_may_be_aggregated(
        self, lake: Lake, folder: Path
    ) -> None:
        put_flows(folder, flow(HOUR))
        put_flows(folder, flow(NEXT), flow(NEXT), hour=NEXT)
        land(lake, folder)
        land(lake, folder, NEXT)
        # DuckDB 1.5 fails on the maximum of a bare partition column.
        query = "select max(written_date), min(written_hour), max(written_hour) from flow_records"
        assert ask(lake, query) == [(date(2026, 11, 1), 5, 6)]
        query = "select written_hour + 1, count(*) from landed_tuples group by 1 order by 1"
        assert ask(lake, query) == [(6, 1), (7, 2)]

    def test_a_filter_on_partition_columns_reads_only_their_files(
        self, lake: Lake, folder: Path
    ) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        land(lake, folder, NEXT)
        [broken] = lake.existing(LANDED_TUPLES).files_of(written_partition(HOUR))
        broken.path.write_bytes(b"broken")
        [files] = [list_literal(file.path for file in lake.existing(LANDED_TUPLES).files[::-1])]
        with duckdb.connect() as connection:
            query = table_select(LANDED_TUPLES, files)
            found = connection.execute(f"select count(*) from ({query}) where written_hour = 6")
            assert found.fetchall() == [(0,)]

    def test_a_table_without_partitions_has_no_more_columns_than_its_own(
        self, tmp_path: Path
    ) -> None:
        spec = TableSpec("plain", pa.schema([("number", pa.int64()), ("word", pa.string())]), ())
        path = tmp_path / "date=2020-01-01" / "a.parquet"
        path.parent.mkdir()
        pq.write_table(pa.table([[1], ["x"]], schema=spec.schema), path)
        with duckdb.connect() as connection:
            query = table_select(spec, list_literal([path]))
            assert connection.execute(query).fetchall() == [(1, "x")]


class TestLandedViews:
    def test_decoded_and_rejected_are_told_apart(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR - MINUTE), "bad, bad", flow(HOUR))
        land(lake, folder)
        names = [column.name for column in FLOW_COLUMNS] + ["written_date", "written_hour"]
        assert [row[0] for row in ask(lake, "describe flow_records")] == names
        assert ask(lake, "select hour, tuple_no, written_hour from flow_records order by 2") == [
            (4, 0, 5),
            (5, 2, 5),
        ]
        query = "select reject_reason, raw, blob, tuple_no, written_hour from rejected_tuples"
        assert ask(lake, query) == [("too_few_fields", "bad, bad", blob_name(), 1, 5)]

    def test_landed_blobs_say_what_the_manifests_say(self, lake: Lake, folder: Path) -> None:
        late = HOUR.replace(hour=23)
        gone = folder / put_flows(folder, flow(HOUR), "bad", mac="A")
        put(folder, document(record([flow(HOUR)]), 7), mac="B")
        put_flows(folder, flow(late), hour=late)
        land(lake, folder)
        land(lake, folder, late)
        land(lake, folder, NEXT)
        gone.unlink()
        land(lake, folder, at=SETTLED + MINUTE)

        expected = [
            (
                found.source,
                blob.blob,
                path.resource_id,
                path.mac,
                found.written_hour.date(),
                found.written_hour.hour,
                blob.etag,
                blob.size,
                blob.bytes_read,
                blob.blocks,
                blob.records,
                blob.tuples,
                blob.tuples - blob.rejected,
                blob.rejected,
                blob.problem_count,
                found.landing_id,
                blob.landed_at,
                found.listed_at,
                blob.gone_at,
            )
            for file in lake.existing(LANDED_TUPLES).files
            for found in [read_landing(file).manifest]
            for blob in found.blobs
            if (path := parse_blob_path(blob.blob)) is not None
        ]
        columns = [name for name in LANDED_BLOBS_COLUMNS if name != "problem_details"]
        found = ask(lake, f"select {', '.join(columns)} from landed_blobs order by blob")
        assert found == sorted(expected, key=lambda row: row[1])
        query = "select tuples, rejected, problems, gone_at from landed_blobs order by blob"
        assert ask(lake, query) == [
            (2, 1, 0, SETTLED + MINUTE),
            (1, 0, 1, None),
            (1, 0, 0, None),
        ]
        query = "select problem_details ->> '$[0].code' from landed_blobs order by blob"
        assert ask(lake, query) == [(None,), ("record_malformed",), (None,)]
        query = (
            "select sum(landed) = (select count(*) from flow_records) "
            "and sum(rejected) = (select count(*) from rejected_tuples) from landed_blobs"
        )
        assert ask(lake, query) == [(True,)]

    def test_a_manifest_that_does_not_add_up_shows(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR - MINUTE), flow(HOUR), flow(HOUR), "bad", mac="A")
        put_flows(folder, "bad", mac="B")
        land(lake, folder)
        query = "select tuples, landed, rejected from landed_blobs order by blob"
        assert ask(lake, query) == [(4, 3, 1), (1, 0, 1)]
        [file] = lake.existing(LANDED_TUPLES).files
        footer = json.loads(pq.read_metadata(file.path).metadata[FOOTER_KEY])
        footer["blobs"][0]["event_hours"].popitem()
        table = pq.read_table(file.path, partitioning=None)
        with pq.ParquetWriter(file.path, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({FOOTER_KEY: json.dumps(footer).encode()})
        assert ask(lake, query) == [(4, 1, 1), (1, 0, 1)]

    def test_landings_are_told_with_blobs_and_without(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR), "bad", mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land(lake, folder)
        land(lake, folder, NEXT, at=NEXT + MINUTE)
        query = (
            "select written_date, written_hour, listed_at, blobs, tuples, rejected, source, "
            "length(landing_id) from landings order by written_hour"
        )
        day, source = HOUR.date(), str(folder)
        assert ask(lake, query) == [
            (day, 5, SETTLED, 2, 3, 1, source, 32),
            (day, 6, NEXT + MINUTE, 0, 0, 0, source, 32),
        ]

    def test_problems_are_told_one_by_one(self, lake: Lake, folder: Path) -> None:
        unknown = {**record([flow(HOUR)]), "flowLogVersion": 5}
        put(folder, document(7, record([flow(HOUR)]), unknown), mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land(lake, folder)
        query = "select blob, written_hour, code, detail, record_no from blob_problems order by all"
        # Of a record that is no object only that can be said; a version is told as it stands there.
        assert ask(lake, query) == [
            (blob_name(mac="A"), 5, "record_malformed", "7 where a record should stand", 0),
            (blob_name(mac="A"), 5, "unknown_version", "flowLogVersion 5", 2),
        ]

    @pytest.mark.parametrize(
        "blob",
        [
            "c/resourceId=/SUBSCRIPTIONS/s/NSG/n/y=2026/m=11/d=01/h=05/m=00/macAddress=00/PT1H.json",
            "c/flowLogResourceID=/S_RG/W_F/y=2026/m=11/d=01/h=05/m=00/macAddress=/PT1H.json",
            "c/y=2026/m=11/d=01/h=05/PT1H.json",
            "c/other/y=2026/m=11/d=01/h=05/m=00/x/MACADDRESS=a'b/PT1H.json",
            "c/macAddress=no/y=2026/m=11/d=01/h=05/m=00/PT1H.json",
            "c/resourceId=/n\nl/y=2026/m=11/d=01/h=05/m=00/macAddress=1/macAddress=2/PT1H.json",
        ],
    )
    def test_paths_are_taken_apart_as_where_they_are_listed(
        self, lake: Lake, folder: Path, blob: str
    ) -> None:
        path = folder / VNET_CONTAINER / blob.partition("/")[2]
        path.parent.mkdir(parents=True)
        path.write_bytes(document())
        land(lake, folder)
        parsed = parse_blob_path(blob)
        assert parsed is not None
        assert ask(lake, "select resource_id, mac from landed_blobs") == [
            (parsed.resource_id or None, parsed.mac or None)
        ]


class TestDatabaseFile:
    QUERY = "select count(*) from flow_records"

    def test_another_process_in_another_directory_reads_it(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR), flow(HOUR))
        land(lake, folder)
        assert publish(lake) == lake.root / DATABASE_NAME
        assert ask_elsewhere(lake, self.QUERY) == "[(2,)]"
        # Nothing that was staged is left, and reading leaves nothing.
        assert {path.name for path in lake.root.iterdir()} == {
            DATABASE_NAME,
            "lake.json",
            "landed_tuples",
        }

    def test_a_lake_without_tables_has_an_empty_one(self, lake: Lake) -> None:
        publish(lake)
        views = "select view_name from duckdb_views() where not internal order by all"
        # What settings say is there all the same.
        assert ask_published(lake, views) == [("allow_list",), ("threat_feeds",)]

    def test_it_is_remade_after_the_lake_was_moved(
        self, lake: Lake, folder: Path, tmp_path: Path
    ) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        publish(lake)
        shutil.move(lake.root, tmp_path / "it's moved")
        moved = Lake.open(tmp_path / "it's moved")
        with pytest.raises(duckdb.Error):
            ask_published(moved, self.QUERY)
        publish(moved)
        assert ask_published(moved, self.QUERY) == [(1,)]

    def test_an_open_session_keeps_what_it_sees_and_the_next_sees_the_newest(
        self, lake: Lake, folder: Path
    ) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        publish(lake)
        path = str(lake.root / DATABASE_NAME)
        with duckdb.connect(path, read_only=True) as session:
            assert session.execute(self.QUERY).fetchall() == [(1,)]
            put_flows(folder, flow(HOUR), flow(HOUR))
            land(lake, folder)
            publish(lake)
            assert session.execute(self.QUERY).fetchall() == [(1,)]
            assert ask_elsewhere(lake, self.QUERY) == "[(2,)]"

    def test_a_run_that_publishes_late_takes_nothing_back(
        self, lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        rename = Path.replace

        def overtaken(staged: Path, target: Path) -> Path:
            # Another run comes to its end after the views were made and before they are in place.
            monkeypatch.setattr(Path, "replace", rename)
            put_flows(folder, flow(HOUR), flow(HOUR))
            land(lake, folder)
            publish(lake)
            return rename(staged, target)

        monkeypatch.setattr(Path, "replace", overtaken)
        publish(lake)
        assert ask_published(lake, self.QUERY) == [(2,)]

    def test_a_session_that_writes_disturbs_nobody(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        publish(lake)
        with duckdb.connect(str(lake.root / DATABASE_NAME)) as session:
            session.execute("create table mine as select 1 as one")
            put_flows(folder, flow(HOUR), flow(HOUR))
            land(lake, folder)
            publish(lake)
            assert session.execute("select one from mine").fetchall() == [(1,)]
        # It has written its own file on leaving, not the one that stands there now.
        assert ask_published(lake, self.QUERY) == [(2,)]

    def test_a_log_that_a_dead_session_left_is_not_replayed(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        publish(lake)
        program = (
            "import os, sys, duckdb\n"
            "session = duckdb.connect(sys.argv[1])\n"
            "session.execute('create or replace table flow_tables as select 1 as one')\n"
            "os._exit(0)\n"
        )
        path = lake.root / DATABASE_NAME
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
        log = path.with_name(f"{DATABASE_NAME}.wal")
        assert log.exists()
        put_flows(folder, flow(HOUR), flow(HOUR))
        land(lake, folder)
        publish(lake)
        assert not log.exists()
        assert ask_published(lake, self.QUERY) == [(2,)]
        with pytest.raises(duckdb.CatalogException):
            ask_published(lake, "select * from flow_tables")


class TestModelViews:
    def test_views_of_dbt_are_there_without_dbt(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR, "198.51.100.7"), flow(HOUR, "198.51.100.7"))
        land(lake, folder)
        views = [
            ("main", "by_source", "select src_ip, count(*) as tuples from flow_records group by 1"),
            ("own schema", "doubled", "select tuples * 2 as twice from main.by_source"),
        ]
        record_model_views(lake, "hour", "1", views)
        publish(lake)
        for answers in (ask, ask_published):
            assert answers(lake, "select * from by_source") == [("198.51.100.7", 2)]
            assert answers(lake, 'select twice from "own schema".doubled') == [(4,)]

    def test_a_run_without_views_keeps_those_that_were_recorded(self, lake: Lake) -> None:
        record_model_views(lake, "hour", "1", [("main", "one", "select 1 as one")])
        record_model_views(lake, "hour", "1", [])
        assert ask(lake, "select one from one") == [(1,)]
        record_model_views(lake, "hour", "1", [("main", "two", "select 2 as two")])
        assert ask(lake, "select two from two") == [(2,)]
        with pytest.raises(duckdb.CatalogException):
            ask(lake, "select one from one")

    def test_views_of_days_rest_on_those_of_hours_and_neither_takes_the_other_back(
        self, lake: Lake
    ) -> None:
        shared = ("main", "shared", "select 1 as one")
        record_model_views(
            lake, "day", "1", [shared, ("main", "day", "select one + 1 as two from hour")]
        )
        record_model_views(lake, "hour", "1", [shared, ("main", "hour", "select one from shared")])
        assert ask(lake, "select two from day") == [(2,)]
        record_model_views(
            lake, "hour", "1", [shared, ("main", "hour", "select one + 5 as one from shared")]
        )
        assert ask(lake, "select two from day") == [(7,)]


def test_event_hours_of_a_modelled_table(lake: Lake) -> None:
    spec = TableSpec(
        "fct",
        pa.schema([("n", pa.int64()), ("date", pa.date32()), ("hour", pa.int32())]),
        ("date", "hour"),
    )
    snapshot = lake.existing(spec)
    for hour in (HOUR, NEXT):
        path = snapshot.stage(hour_partition(hour))
        pq.write_table(pa.table({"n": [hour.hour]}), path)
        lake.existing(spec).commit(hour_partition(hour), [path], [])
    assert ask(lake, "select n, date, hour from fct order by n") == [
        (5, date(2026, 11, 1), 5),
        (6, date(2026, 11, 1), 6),
    ]
