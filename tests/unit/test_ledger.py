"""The ledger: what is missing, too much or of another kind in a landed file is found."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.lake import FOOTER_KEY, Lake
from flow_pipeline.landed_file import LANDED_TUPLES
from flow_pipeline.landing import land_hour
from flow_pipeline.ledger import verify_hours
from flow_pipeline.partitions import written_partition
from tests.unit.blobs import HOUR, MINUTE, blob_name, document, flow, put, put_flows

SECOND = timedelta(seconds=1)
A, B = (blob_name(mac=mac) for mac in "AB")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    (path / VNET_CONTAINER).mkdir(parents=True)
    return path


def rewrite(path: Path, table: pa.Table, **changed: object) -> None:
    """Tamper with a landed file: other rows under its manifest, or changed entries of blobs."""
    footer = json.loads(pq.read_metadata(path).metadata[FOOTER_KEY])
    for blob in footer["blobs"]:
        blob.update(changed)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table, row_group_size=2)
        writer.add_key_value_metadata({FOOTER_KEY: json.dumps(footer).encode()})


def with_value(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    at = table.schema.get_field_index(column)
    changed = pa.array(values, table.schema.field(at).type)
    return table.set_column(at, table.schema.field(at), changed)


class TestVerify:
    """Blob A: two flows and a tuple that is none, rows 0 to 2. Blob B: one flow, row 3."""

    @pytest.fixture
    def landed(self, lake: Lake, folder: Path) -> Path:
        put_flows(folder, flow(HOUR), flow(HOUR + SECOND), "x", mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land_hour(lake, [FolderSource(folder)], HOUR)
        [file] = lake.existing(LANDED_TUPLES).files_of(written_partition(HOUR))
        return file.path

    @pytest.fixture
    def table(self, landed: Path) -> pa.Table:
        return pq.read_table(landed, partitioning=None)

    def test_what_was_landed_is_in_order(self, lake: Lake, landed: Path, table: pa.Table) -> None:
        assert verify_hours(lake, [HOUR]).faults == []
        # However the rows are cut into row groups, each with dictionaries of its own.
        rewrite(landed, table)
        assert verify_hours(lake, [HOUR]).faults == []

    @pytest.mark.usefixtures("landed")
    def test_it_says_how_much_was_held_against_each_other(self, lake: Lake, folder: Path) -> None:
        found = verify_hours(lake, [HOUR, HOUR + 60 * MINUTE])
        size = sum(path.stat().st_size for path in folder.rglob("PT1H.json"))
        assert (found.files, found.blobs) == (1, 2)
        assert (found.bytes_listed, found.bytes_read) == (size, size)
        assert (found.tuples, found.decoded, found.rejected) == (4, 3, 1)

    def test_an_hour_without_rows_is_in_order(self, lake: Lake, folder: Path) -> None:
        put(folder, document(), mac="A")
        land_hour(lake, [FolderSource(folder)], HOUR)
        assert verify_hours(lake, [HOUR]).faults == []
        land_hour(lake, [FolderSource(folder)], HOUR + 60 * MINUTE)
        assert verify_hours(lake, [HOUR + 60 * MINUTE]).faults == []

    def test_a_row_that_is_missing_is_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        rewrite(landed, table.slice(1))
        verified = verify_hours(lake, [HOUR])
        assert verified.other_columns == []
        assert verified.discrepancies == [
            f"{A}: rows (first, count) [(0, 3)] expected, [(0, 2)] found",
            f"{A}: event hours {{'2026-11-01T05': 2}} expected, {{'2026-11-01T05': 1}} found",
            f"{B}: rows (first, count) [(3, 1)] expected, [(2, 1)] found",
        ]

    def test_a_row_of_an_unknown_blob_is_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        rewrite(landed, with_value(table, "blob", 3, "another"))
        assert verify_hours(lake, [HOUR]).discrepancies == [
            f"{B}: rows (first, count) [(3, 1)] expected, [] found",
            f"{B}: event hours {{'2026-11-01T05': 1}} expected, {{}} found",
            "another: 1 rows without a manifest entry",
        ]

    def test_a_row_without_a_blob_is_found(self, lake: Lake, landed: Path, table: pa.Table) -> None:
        # Files of before did not say that a blob is never null, and so could hold one.
        loose = table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))
        rewrite(landed, loose)
        assert verify_hours(lake, [HOUR]).faults == []
        rewrite(landed, with_value(loose, "blob", 3, None))
        assert verify_hours(lake, [HOUR]).faults[-1] == "null: 1 rows without a manifest entry"

    def test_rows_that_do_not_stand_together_are_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        # As many of each blob, but B's stands between those of A.
        rewrite(landed, table.take([0, 3, 1, 2]))
        assert verify_hours(lake, [HOUR]).discrepancies == [
            f"{A}: rows (first, count) [(0, 3)] expected, [(0, 1), (2, 2)] found",
            f"{B}: rows (first, count) [(3, 1)] expected, [(1, 1)] found",
        ]

    def test_rows_that_are_there_twice_are_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        rewrite(landed, table.take([0, 1, 2, 3, 3]))
        assert verify_hours(lake, [HOUR]).discrepancies[0] == (
            f"{B}: rows (first, count) [(3, 1)] expected, [(3, 2)] found"
        )

    def test_a_row_rejected_for_another_reason_is_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        rewrite(landed, with_value(table, "reject_reason", 2, "empty"))
        assert verify_hours(lake, [HOUR]).faults == [
            f"{A}: 1 rejected {{'too_few_fields': 1}} expected, 1 {{'empty': 1}} found"
        ]

    def test_a_flow_in_another_event_hour_is_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        rewrite(landed, with_value(table, "flow_time", 1, HOUR - SECOND))
        [found] = verify_hours(lake, [HOUR]).faults
        assert found.startswith(f"{A}: event hours {{'2026-11-01T05': 2}} expected, ")
        assert found.endswith(" {'2026-11-01T04': 1, '2026-11-01T05': 1} found")

    def test_bytes_that_were_not_read_are_found(
        self, lake: Lake, landed: Path, table: pa.Table
    ) -> None:
        rewrite(landed, table, size=100, bytes_read=99)
        assert verify_hours(lake, [HOUR]).discrepancies == [
            f"{blob}: 100 bytes listed, 99 read" for blob in (A, B)
        ]
        # Files from before bytes were counted do not say it.
        rewrite(landed, table, size=100, bytes_read=None)
        assert verify_hours(lake, [HOUR]).faults == []

    def test_other_columns_are_found(self, lake: Lake, landed: Path, table: pa.Table) -> None:
        rewrite(landed, table.drop_columns(["mac"]))
        verified = verify_hours(lake, [HOUR])
        assert verified.discrepancies == []
        [columns] = verified.other_columns
        assert columns.startswith(landed.name)

    def test_only_the_hours_asked_for_are_read(self, lake: Lake, landed: Path) -> None:
        landed.write_bytes(b"broken")
        assert verify_hours(lake, [HOUR + 60 * MINUTE]).faults == []
