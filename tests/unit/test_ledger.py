"""The ledger: what is missing, too much or of another kind in a landed file is found."""

from __future__ import annotations

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
from tests.unit.blobs import HOUR, MINUTE, blob_name, flow, put_flows

SECOND = timedelta(seconds=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    (path / VNET_CONTAINER).mkdir(parents=True)
    return path


def rewrite(path: Path, table: pa.Table) -> None:
    """Tamper with a landed file: other rows under the same manifest."""
    footer = pq.read_metadata(path).metadata[FOOTER_KEY]
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER_KEY: footer})


class TestVerify:
    @pytest.fixture
    def landed(self, lake: Lake, folder: Path) -> Path:
        put_flows(folder, flow(HOUR), flow(HOUR + SECOND), "x", mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land_hour(lake, [FolderSource(folder)], HOUR)
        [file] = lake.existing(LANDED_TUPLES).files_of(written_partition(HOUR))
        return file.path

    def test_a_row_that_is_missing_is_found(self, lake: Lake, landed: Path) -> None:
        table = pq.read_table(landed, partitioning=None)
        rewrite(landed, table.slice(1))
        [found], columns = verify_hours(lake, [HOUR])
        assert found.startswith(f"{blob_name(mac='A')}: 3 tuples read, 1 of them rejected")
        assert found.endswith("(2, 1)")
        assert columns == []

    def test_a_row_too_many_is_found(self, lake: Lake, landed: Path) -> None:
        table = pq.read_table(landed, partitioning=None)
        names = table["blob"].to_pylist()
        names[-1] = "another"
        at = table.schema.get_field_index("blob")
        changed = table.set_column(at, table.schema.field(at), [names])
        rewrite(landed, changed)
        assert verify_hours(lake, [HOUR])[0] == [
            f"{blob_name(mac='B')}: 1 tuples read, 0 of them rejected; the file has (0, 0)",
            "another: rows without a manifest entry",
        ]

    def test_other_columns_are_found(self, lake: Lake, landed: Path) -> None:
        table = pq.read_table(landed, partitioning=None)
        rewrite(landed, table.drop_columns(["mac"]))
        counts, [columns] = verify_hours(lake, [HOUR])
        assert counts == []
        assert columns.startswith(landed.name)

    def test_only_the_hours_asked_for_are_read(self, lake: Lake, landed: Path) -> None:
        landed.write_bytes(b"broken")
        assert verify_hours(lake, [HOUR + 60 * MINUTE]) == ([], [])
