"""The lake: one way to change a partition, and nothing that a reader holds is taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_pipeline.errors import LakeError, LakeVersionError
from flow_pipeline.lake import (
    FOOTER_KEY,
    CommitRefused,
    Lake,
    Snapshot,
    TableSpec,
    attempts,
    footer_bytes,
    read_footer,
)
from flow_pipeline.lake_views import connect, publish
from flow_pipeline.partitions import UNPARTITIONED, Partition, hour_partition

at = datetime.fromisoformat
FIVE = hour_partition(at("2026-11-01T05"))
SIX = hour_partition(at("2026-11-01T06"))
COLUMNS = pa.schema(
    [
        ("flow_time", pa.timestamp("ms")),
        ("record_time", pa.timestamp("us")),
        ("day", pa.date32()),
        ("number", pa.int64()),
        ("is_odd", pa.bool_()),
        ("word", pa.string()),
    ]
)
SPEC = TableSpec(
    "numbers",
    COLUMNS.append(pa.field("date", pa.date32())).append(pa.field("hour", pa.int32())),
    ("date", "hour"),
)


# It dies before the finished file is renamed into place.
KILLED_WHILE_PUBLISHING = """
import os, signal, sys
from pathlib import Path
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import publish

Path.replace = lambda path, target: os.kill(os.getpid(), signal.SIGKILL)
publish(Lake.open(Path(sys.argv[1])))
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


def row(number: int | None, time: str | None = "2026-11-01T05:00:00.001") -> dict[str, object]:
    moment = None if time is None else at(time)
    return {
        "flow_time": moment,
        "record_time": moment,
        "day": None if moment is None else moment.date(),
        "number": number,
        "is_odd": None if number is None else number % 2 == 1,
        "word": None if number is None else str(number),
    }


def stage(snapshot: Snapshot, partition: Partition, *numbers: int) -> Path:
    return stage_rows(snapshot, partition, [row(number) for number in numbers])


def stage_rows(snapshot: Snapshot, partition: Partition, rows: Sequence[dict[str, object]]) -> Path:
    path = snapshot.stage(partition)
    pq.write_table(pa.Table.from_pylist(list(rows), COLUMNS), path, row_group_size=2)
    return path


def replace(lake: Lake, partition: Partition, *numbers: int) -> Path:
    snapshot = lake.existing(SPEC)
    path = stage(snapshot, partition, *numbers)
    snapshot.commit(partition, [path], snapshot.files_of(partition))
    return path


def numbers_in(snapshot: Snapshot | None, partition: Partition) -> list[int]:
    assert snapshot is not None
    return [
        number
        for file in snapshot.files_of(partition)
        for number in pq.read_table(file.path, partitioning=None)["number"].to_pylist()
    ]


class TestPartitions:
    def test_a_table_that_was_never_made_has_no_snapshot(self, lake: Lake) -> None:
        assert lake.snapshot("numbers") is None
        assert lake.table_names() == []

    def test_a_new_table_is_empty_and_knows_its_columns(self, lake: Lake) -> None:
        snapshot = lake.existing(SPEC)
        assert snapshot.files == ()
        assert snapshot.spec.partition_by == ("date", "hour")
        assert snapshot.spec.schema.names == SPEC.schema.names
        assert lake.table_names() == ["numbers"]

    def test_a_commit_replaces_what_it_names_and_nothing_else(self, lake: Lake) -> None:
        replace(lake, FIVE, 1, 2)
        replace(lake, SIX, 3)
        replace(lake, FIVE, 4)
        newest = lake.snapshot("numbers")
        assert numbers_in(newest, FIVE) == [4]
        assert numbers_in(newest, SIX) == [3]
        assert newest is not None
        assert [(file.partition, file.rows) for file in newest.files] == [(FIVE, 1), (SIX, 1)]

    def test_several_files_of_a_partition_are_one_commit(self, lake: Lake) -> None:
        snapshot = lake.existing(SPEC)
        files = [stage(snapshot, FIVE, 1), stage(snapshot, FIVE, 2)]
        snapshot.commit(FIVE, files, [])
        newest = lake.existing(SPEC)
        assert newest.version == snapshot.version + 1
        assert sorted(numbers_in(newest, FIVE)) == [1, 2]

    def test_nobody_sees_what_is_staged(self, lake: Lake) -> None:
        stage(lake.existing(SPEC), FIVE, 1)
        assert lake.existing(SPEC).files == ()

    def test_a_file_name_is_never_used_twice(self, lake: Lake) -> None:
        snapshot = lake.existing(SPEC)
        assert len({snapshot.stage(FIVE) for _ in range(50)}) == 50

    def test_a_snapshot_stays_readable_after_a_replacement(self, lake: Lake) -> None:
        replace(lake, FIVE, 1)
        before = lake.snapshot("numbers")
        replace(lake, FIVE, 2)
        assert numbers_in(before, FIVE) == [1]

    def test_a_second_writer_is_refused_where_there_was_nothing(self, lake: Lake) -> None:
        first, second = lake.existing(SPEC), lake.existing(SPEC)
        late = stage(second, FIVE, 2)
        first.commit(FIVE, [stage(first, FIVE, 1)], [])
        with pytest.raises(CommitRefused):
            second.commit(FIVE, [late], [])
        assert numbers_in(lake.snapshot("numbers"), FIVE) == [1]
        assert not late.exists()

    def test_a_second_writer_is_refused_where_there_was_a_file(self, lake: Lake) -> None:
        replace(lake, FIVE, 0)
        first, second = lake.existing(SPEC), lake.existing(SPEC)
        late = stage(second, FIVE, 2)
        first.commit(FIVE, [stage(first, FIVE, 1)], first.files_of(FIVE))
        with pytest.raises(CommitRefused):
            second.commit(FIVE, [late], second.files_of(FIVE))
        assert numbers_in(lake.snapshot("numbers"), FIVE) == [1]
        assert not late.exists()

    def test_a_writer_is_refused_however_many_commits_lie_between(self, lake: Lake) -> None:
        # A checkpoint comes every 50 commits.
        old = lake.existing(SPEC)
        late = stage(old, FIVE, -1)
        for number in range(52):
            replace(lake, FIVE, number)
        with pytest.raises(CommitRefused):
            old.commit(FIVE, [late], [])
        assert list((lake.root / "numbers/_delta_log").glob("*.checkpoint.parquet"))
        newest = lake.existing(SPEC)
        assert numbers_in(newest, FIVE) == [51]
        [file] = newest.files
        assert file.highest["number"] == 51

    def test_other_partitions_commit_side_by_side_from_one_snapshot(self, lake: Lake) -> None:
        first, second = lake.existing(SPEC), lake.existing(SPEC)
        first.commit(FIVE, [stage(first, FIVE, 5)], [])
        second.commit(SIX, [stage(second, SIX, 6)], [])
        # The first one's snapshot is older than both commits now.
        seven = hour_partition(at("2026-11-01T07"))
        first.commit(seven, [stage(first, seven, 7)], [])
        newest = lake.snapshot("numbers")
        assert [numbers_in(newest, each) for each in (FIVE, SIX, seven)] == [[5], [6], [7]]

    def test_many_partitions_are_replaced_from_one_snapshot(self, lake: Lake) -> None:
        partitions = [hour_partition(at(f"2026-11-01T{hour:02}")) for hour in range(24)]
        for number, partition in enumerate(partitions):
            replace(lake, partition, number)
        ours, other = lake.existing(SPEC), lake.existing(SPEC)
        for number, partition in enumerate(partitions[:-1]):
            ours.commit(partition, [stage(ours, partition, -number)], ours.files_of(partition))
            if number == 3:
                # Somebody else replaces the last one, from a snapshot that is behind by then.
                late = partitions[-1]
                other.commit(late, [stage(other, late, 100)], other.files_of(late))
        with pytest.raises(CommitRefused):
            ours.commit(
                partitions[-1],
                [stage(ours, partitions[-1], -23)],
                ours.files_of(partitions[-1]),
            )
        newest = lake.existing(SPEC)
        found = [number for each in partitions for number in numbers_in(newest, each)]
        assert found == [-number for number in range(23)] + [100]
        # One commit each, and one that made the table.
        assert newest.version == 24 + 23 + 1

    def test_a_table_without_partitions(self, lake: Lake) -> None:
        spec = TableSpec("plain", COLUMNS, ())
        snapshot, other = lake.existing(spec), lake.existing(spec)
        snapshot.commit(UNPARTITIONED, [stage(snapshot, UNPARTITIONED, 1)], [])
        with pytest.raises(CommitRefused):
            other.commit(UNPARTITIONED, [stage(other, UNPARTITIONED, 2)], [])
        assert numbers_in(lake.snapshot("plain"), UNPARTITIONED) == [1]

    def test_many_create_one_table_and_none_loses_what_it_writes(self, lake: Lake) -> None:
        # Two may create it, the second on top of the first: the same columns, and no file removed.
        together = threading.Barrier(8)

        def create_and_write(number: int) -> None:
            partition = hour_partition(at(f"2026-11-01T{number:02}"))
            together.wait()
            for _ in attempts():
                snapshot = lake.existing(SPEC)
                try:
                    snapshot.commit(partition, [stage(snapshot, partition, number)], [])
                except CommitRefused:
                    continue
                break

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(create_and_write, range(8)))
        newest = lake.existing(SPEC)
        assert [pq.read_table(file.path)["number"].to_pylist() for file in newest.files] == [
            [number] for number in range(8)
        ]
        assert newest.spec.partition_by == SPEC.partition_by

    def test_of_many_writers_from_one_snapshot_one_wins(self, lake: Lake) -> None:
        replace(lake, FIVE, 0)
        snapshots = [lake.existing(SPEC) for _ in range(8)]
        staged = [stage(snapshot, FIVE, no + 1) for no, snapshot in enumerate(snapshots)]
        together = threading.Barrier(8)

        def write(no: int) -> bool:
            together.wait()
            try:
                snapshots[no].commit(FIVE, [staged[no]], snapshots[no].files_of(FIVE))
            except CommitRefused:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8)))
        assert won.count(True) == 1
        assert numbers_in(lake.snapshot("numbers"), FIVE) == [won.index(True) + 1]


class TestStatistics:
    def test_lowest_and_highest_stand_in_the_log(self, lake: Lake) -> None:
        snapshot = lake.existing(SPEC)
        rows = [
            row(7, "2026-11-01T05:59:59.999"),
            row(-2, "2026-11-01T05:00:00.000"),
            row(None, None),
            row(3, "2026-10-31T23:59:59.123"),
            row(5, "2026-11-01T05:30:00"),
        ]
        snapshot.commit(FIVE, [stage_rows(snapshot, FIVE, rows)], [])
        [file] = lake.existing(SPEC).files
        assert file.rows == 5
        assert file.size == file.path.stat().st_size
        assert file.lowest["flow_time"] == at("2026-10-31T23:59:59.123")
        assert file.highest["flow_time"] == at("2026-11-01T05:59:59.999")
        assert (file.lowest["number"], file.highest["number"]) == (-2, 7)
        assert file.lowest["day"].isoformat() == "2026-10-31"
        assert "word" not in file.lowest
        assert "is_odd" not in file.lowest

    def test_a_maximum_is_not_cut_short(self, lake: Lake) -> None:
        # An engine that prunes by a maximum of .123 would leave out a row at .123456.
        snapshot = lake.existing(SPEC)
        rows = [row(1) | {"record_time": at("2026-11-01T05:00:00.123456")}]
        snapshot.commit(FIVE, [stage_rows(snapshot, FIVE, rows)], [])
        [file] = lake.existing(SPEC).files
        assert file.highest["record_time"] == at("2026-11-01T05:00:00.123456")

    def test_columns_of_nulls_and_files_without_rows_have_none(self, lake: Lake) -> None:
        snapshot = lake.existing(SPEC)
        empty = stage_rows(snapshot, FIVE, [])
        nulls = stage_rows(snapshot, SIX, [row(None, None)] * 3)
        snapshot.commit(FIVE, [empty], [])
        snapshot.commit(SIX, [nulls], [])
        files = lake.existing(SPEC).files
        assert [(file.rows, dict(file.lowest), dict(file.highest)) for file in files] == [
            (0, {}, {}),
            (3, {}, {}),
        ]


class TestFooter:
    def test_it_is_read_back(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        content = {"b": [1, None], "a": "ü\n\"'"}
        with pq.ParquetWriter(path, COLUMNS) as writer:
            writer.add_key_value_metadata({FOOTER_KEY: footer_bytes(content)})
        assert read_footer(path) == content

    def test_the_same_content_gives_the_same_bytes(self) -> None:
        assert footer_bytes({"a": 1, "b": 2}) == footer_bytes({"b": 2, "a": 1}) == b'{"a":1,"b":2}'

    def test_a_file_without_one_is_explained(self, tmp_path: Path) -> None:
        pq.write_table(COLUMNS.empty_table(), tmp_path / "a.parquet")
        with pytest.raises(LakeError, match="does not say what it is made of"):
            read_footer(tmp_path / "a.parquet")

    @pytest.mark.parametrize("content", [None, b"", b"no Parquet at all"])
    def test_a_file_that_is_gone_or_broken_is_named(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        path = tmp_path / "a.parquet"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(LakeError, match=r"a\.parquet"):
            read_footer(path)


class TestVacuum:
    def test_it_takes_old_replaced_and_orphaned_files_and_nothing_else(self, lake: Lake) -> None:
        snapshot = lake.existing(SPEC)
        replaced_long_ago = replace(lake, FIVE, 1)
        kept = replace(lake, FIVE, 2)
        age_removals(lake, timedelta(days=3))
        replaced_just_now = replace(lake, SIX, 3)
        kept_too = replace(lake, SIX, 4)
        old_orphan, new_orphan = stage(snapshot, FIVE, 5), stage(snapshot, FIVE, 6)
        for path in (replaced_long_ago, kept, replaced_just_now, kept_too, old_orphan):
            age(path, timedelta(days=3))
        before = sorted(path.name for path in lake.root.iterdir())

        assert lake.vacuum(timedelta(days=2)) == 2

        gone = {replaced_long_ago, old_orphan}
        written = {replaced_long_ago, kept, replaced_just_now, kept_too, old_orphan, new_orphan}
        assert {path for path in written if not path.exists()} == gone
        newest = lake.snapshot("numbers")
        assert numbers_in(newest, FIVE) == [2]
        assert numbers_in(newest, SIX) == [4]
        assert sorted(path.name for path in lake.root.iterdir()) == before
        version = lake.existing(SPEC).version
        assert lake.vacuum(timedelta(days=2)) == 0
        assert lake.existing(SPEC).version == version

    def test_daily_means_once_a_day(self, lake: Lake) -> None:
        orphan = stage(lake.existing(SPEC), FIVE, 1)
        age(orphan, timedelta(days=3))
        lake.vacuum_daily(timedelta(days=2))
        assert not orphan.exists()
        age(stage(lake.existing(SPEC), FIVE, 2), timedelta(days=3))
        again = Lake.open(lake.root)
        again.vacuum_daily(timedelta(days=2))
        assert len(list(lake.root.rglob("*.parquet"))) == 1
        marker = lake.root / "lake.json"
        recorded = json.loads(marker.read_bytes())
        recorded["vacuumed_at"] = (
            datetime.fromisoformat(recorded["vacuumed_at"]) - timedelta(days=1)
        ).isoformat()
        marker.write_text(json.dumps(recorded))
        Lake.open(lake.root).vacuum_daily(timedelta(days=2))
        assert list(lake.root.rglob("*.parquet")) == []

    def test_what_killed_runs_staged_beside_the_tables_is_deleted_once_it_is_old(
        self, lake: Lake
    ) -> None:
        publish(lake)
        for _ in range(2):
            subprocess.run([sys.executable, "-c", KILLED_WHILE_PUBLISHING, lake.root], check=False)
        kept = {"lake.json", "flows.duckdb"}
        staged = [path for path in lake.root.iterdir() if path.name not in kept]
        assert len(staged) == 2
        for path in lake.root.iterdir():
            if path != staged[0]:
                age(path, timedelta(days=3))
        assert lake.vacuum(timedelta(days=2)) == 1
        assert {path.name for path in lake.root.iterdir()} == {*kept, staged[0].name}

    def test_a_lake_without_tables_has_nothing_to_vacuum(self, lake: Lake) -> None:
        assert lake.vacuum(timedelta(days=1)) == 0


def age(path: Path, by: timedelta) -> None:
    moment = time.time() - by.total_seconds()
    os.utime(path, (moment, moment))


def age_removals(lake: Lake, by: timedelta) -> None:
    """Write into the log that what was removed so far was removed longer ago."""
    for log in (lake.root / "numbers/_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "remove" in action:
                action["remove"]["deletionTimestamp"] -= int(by.total_seconds() * 1000)
        log.write_text("".join(json.dumps(action) + "\n" for action in actions))


class TestMarker:
    def test_it_remembers_the_start(self, tmp_path: Path) -> None:
        lake = Lake.open(tmp_path / "new/lake")
        assert lake.start is None
        lake.record_start(at("2026-03-01T05"))
        assert Lake.open(tmp_path / "new/lake").start == at("2026-03-01T05")
        assert [path.name for path in lake.root.iterdir()] == ["lake.json"]

    def test_what_another_process_recorded_stands(self, tmp_path: Path) -> None:
        ours, theirs = Lake.open(tmp_path), Lake.open(tmp_path)
        theirs.record_start(at("2026-03-01T05"))
        ours.vacuum_daily(timedelta(days=1))
        assert Lake.open(tmp_path).start == at("2026-03-01T05")
        assert ours.start == at("2026-03-01T05")

    def test_another_layout_is_refused_with_instructions(self, tmp_path: Path) -> None:
        (tmp_path / "lake.json").write_text('{"version": 2, "something": "new"}')
        for open_lake in (Lake.open, Lake.open_to_read):
            with pytest.raises(LakeVersionError, match=r"layout 2.*layout 1.*FLOW_LAKE"):
                open_lake(tmp_path)

    @pytest.mark.parametrize("is_sample", [True, False])
    def test_generated_and_real_data_do_not_mix(self, tmp_path: Path, is_sample: bool) -> None:
        Lake.open(tmp_path, is_sample=is_sample)
        assert Lake.open(tmp_path, is_sample=is_sample).is_sample is is_sample
        with pytest.raises(LakeError, match="a lake of their own"):
            Lake.open(tmp_path, is_sample=not is_sample)
        assert Lake.open_to_read(tmp_path).is_sample is is_sample

    def test_tables_without_a_marker_are_refused(self, lake: Lake) -> None:
        replace(lake, FIVE, 1)
        (lake.root / "lake.json").unlink()
        with pytest.raises(LakeError, match=r"tables but no lake\.json"):
            Lake.open(lake.root)

    @pytest.mark.parametrize(
        "content", ["", "[]", "null", '{"start": null}', '{"version": ', "\xff"]
    )
    def test_a_damaged_marker_is_named(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "lake.json").write_bytes(content.encode("latin-1"))
        for open_lake in (Lake.open, Lake.open_to_read):
            with pytest.raises(LakeError, match="cannot be used"):
                open_lake(tmp_path)

    def test_where_there_is_no_lake_there_is_nothing_to_read(self, tmp_path: Path) -> None:
        with pytest.raises(LakeError, match="flow-pipeline run"):
            Lake.open_to_read(tmp_path / "nowhere")
        assert not (tmp_path / "nowhere").exists()

    def test_a_file_is_no_lake(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        for path in (tmp_path / "file", tmp_path / "file/lake"):
            with pytest.raises(LakeError, match="cannot be used"):
                Lake.open(path)

    def test_a_damaged_table_is_named(self, lake: Lake) -> None:
        replace(lake, FIVE, 1)
        (lake.root / "numbers/_delta_log/00000000000000000000.json").write_text("{")
        with pytest.raises(LakeError, match="numbers"):
            lake.snapshot("numbers")


class TestPlaces:
    @pytest.mark.parametrize(
        "name",
        ['it\'s a "lake"', "lake; drop table", "ü 日本", "{a,b}", "[ab]*", "100% #1", "$HOME ~"],
    )
    def test_a_lake_may_lie_in_any_ordinary_directory(self, tmp_path: Path, name: str) -> None:
        lake = Lake.open(tmp_path / name)
        replace(lake, FIVE, 1)
        replace(lake, FIVE, 2)
        query = "select number, hour, date::varchar from numbers"
        with connect(lake) as connection:
            assert connection.sql(query).fetchall() == [(2, 5, "2026-11-01")]
        assert publish(lake).parent == tmp_path / name
        assert lake.vacuum(timedelta(days=1)) == 0

    @pytest.mark.parametrize("name", ["hour=7", "a?b", "a\\b", "a\nb", "a%41b", "\x7f"])
    def test_a_directory_that_would_be_misread_is_refused(self, tmp_path: Path, name: str) -> None:
        for path in (tmp_path / name, tmp_path / name / "lake"):
            with pytest.raises(LakeError, match=r"misread.*FLOW_LAKE"):
                Lake.open(path)
            assert not path.exists()

    def test_a_full_disk_is_told_without_a_stack_trace(self, tmp_path: Path) -> None:
        # No file may grow beyond four bytes: a full disk for one process.
        program = (
            "import resource, sys\n"
            "from datetime import datetime\n"
            "from pathlib import Path\n"
            "from flow_pipeline.errors import LakeError\n"
            "from flow_pipeline.lake import Lake\n"
            "from tests.unit.test_lake import SPEC, FIVE, stage\n"
            "lake = Lake.open(Path(sys.argv[1]))\n"
            "snapshot = lake.existing(SPEC)\n"
            "path = stage(snapshot, FIVE, 1)\n"
            "unlimited = resource.RLIM_INFINITY\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4, unlimited))\n"
            "for write in (\n"
            "    lambda: snapshot.commit(FIVE, [path], []),\n"
            "    lambda: lake.record_start(datetime(2026, 1, 1)),\n"
            "    lambda: lake.ensure_table(type(SPEC)('other', SPEC.schema, SPEC.partition_by)),\n"
            "):\n"
            "    try:\n"
            "        write()\n"
            "    except LakeError as error:\n"
            "        print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "lake")],
            cwd=Path(__file__).parents[2],
            env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.count("with space left") == 3
        assert done.stdout.count("File too large") == 3
        assert "\x1b" not in done.stdout
        assert Lake.open(tmp_path / "lake").existing(SPEC).files == ()


def test_a_table_with_other_columns_is_begun_anew(tmp_path: Path) -> None:
    lake = Lake.open(tmp_path / "lake")
    old = TableSpec("derived", pa.schema([("ip", pa.string())]), ())
    new = TableSpec("derived", pa.schema([("ip", pa.string()), ("asn", pa.int64())]), ())
    lake.begin_anew_if_other_columns("derived", new.schema.names)
    snapshot = lake.existing(old)
    path = snapshot.stage(UNPARTITIONED)
    pq.write_table(pa.table({"ip": ["192.0.2.1"]}), path)
    snapshot.commit(UNPARTITIONED, [path], [])
    lake.begin_anew_if_other_columns("derived", old.schema.names)
    assert len(lake.existing(old).files) == 1
    lake.begin_anew_if_other_columns("derived", new.schema.names)
    assert lake.snapshot("derived") is None
    # Whoever reads the old one can go on, until it is vacuumed.
    assert path.exists()
    assert lake.existing(new).spec.schema.names == ["ip", "asn"]
    assert [one.name for one in (tmp_path / "lake/derived").iterdir() if one.is_dir()] == [
        "_delta_log"
    ]
