"""Landing: what is in the lake is what the blobs say, once, whatever happened in between."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipeline.errors import BlobChanged, BlobUnreadable, LakeBusy, SourceUnreachable
from flow_pipeline.flowlog.blob_source import BlobSource, ListedBlob
from flow_pipeline.flowlog.block_list import Block
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.flowlog.schema import LANDED_SCHEMA, VNET_CONTAINER
from flow_pipeline.hour_file import LANDING_VERSION
from flow_pipeline.lake import ATTEMPTS, FOOTER_KEY, Lake, footer_bytes
from flow_pipeline.lake_views import connect
from flow_pipeline.landed_file import LANDED_TUPLES, Landing, Manifest, read_landing
from flow_pipeline.landing import LandedHour, land_hour
from flow_pipeline.ledger import verify_hours
from flow_pipeline.partitions import written_partition
from tests.unit.blobs import HOUR, MINUTE, blob_name, document, flow, put, put_flows, record

SECOND = timedelta(seconds=1)
SETTLED = HOUR + timedelta(hours=1, minutes=10)
PARTITION = written_partition(HOUR)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return new_folder(tmp_path / "logs")


def new_folder(path: Path) -> Path:
    (path / VNET_CONTAINER).mkdir(parents=True)
    return path


class CountedFolder(FolderSource):
    """A folder that remembers which blobs were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.blobs_read: list[str] = []

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        self.blobs_read.append(blob.blob)
        yield from super().read(blob, start)


class RestlessFolder(CountedFolder):
    """A folder in which things happen: one at each read that begins, before it or in its middle."""

    def __init__(
        self, path: Path, happenings: Sequence[Callable[[], object]], *, after_chunks: int = 0
    ) -> None:
        super().__init__(path)
        self._happenings = list(happenings)
        self._after_chunks = after_chunks

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        happens = self._happenings.pop(0) if self._happenings else None
        for chunk_no, chunk in enumerate(chain([b""], super().read(blob, start))):
            if chunk_no == self._after_chunks and happens:
                happens()
            yield chunk


def land(
    lake: Lake, *sources: Path | BlobSource, at: datetime = SETTLED, hour: datetime = HOUR
) -> LandedHour:
    opened = [FolderSource(each) if isinstance(each, Path) else each for each in sources]
    return land_hour(lake, opened, hour, lambda: at)


def landings(lake: Lake, hour: datetime = HOUR) -> list[Landing]:
    files = lake.existing(LANDED_TUPLES).files_of(written_partition(hour))
    return [read_landing(file) for file in files]


def manifest(lake: Lake) -> Manifest:
    [landing] = landings(lake)
    return landing.manifest


def rows_of(landing: Landing) -> list[dict[str, Any]]:
    return pq.read_table(landing.file.path, partitioning=None).to_pylist()


def rows(lake: Lake) -> list[dict[str, Any]]:
    """All rows of the hour; the sources one after another."""
    ordered = sorted(landings(lake), key=lambda landing: landing.manifest.source)
    return [row for landing in ordered for row in rows_of(landing)]


def place(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("blob", "record_no", "flow_no", "group_no", "tuple_no"))


def version(lake: Lake) -> int:
    return lake.existing(LANDED_TUPLES).version


def parquet_files(lake: Lake) -> set[Path]:
    return set(lake.root.rglob("*.parquet"))


class TestAnHour:
    def test_is_one_file_of_one_commit(self, lake: Lake, folder: Path) -> None:
        a = put_flows(folder, flow(HOUR), flow(HOUR + SECOND), mac="A")
        b = put_flows(folder, flow(HOUR - SECOND), "nonsense", mac="B")
        put_flows(folder, flow(HOUR), mac="A", hour=HOUR + 60 * MINUTE)
        landed = land(lake, folder)

        assert (landed.blobs, landed.blobs_read, landed.tuples, landed.rejected) == (2, 2, 4, 1)
        assert landed.changed
        assert landed.bytes_read == sum((folder / blob).stat().st_size for blob in (a, b))
        assert version(lake) == 1
        [landing] = landings(lake)
        assert landed.size == landing.file.path.stat().st_size
        assert parquet_files(lake) == {landing.file.path}
        assert landing.file.partition == PARTITION
        assert [place(row) for row in rows(lake)] == [
            (a, 0, 0, 0, 0), (a, 0, 0, 0, 1), (b, 0, 0, 0, 0), (b, 0, 0, 0, 1)
        ]  # fmt: skip

    def test_has_a_manifest_that_says_what_is_in_it(self, lake: Lake, folder: Path) -> None:
        put(
            folder,
            document(
                record([flow(HOUR - SECOND), flow(HOUR), "a,b"]),
                record([flow(HOUR + SECOND), ""]),
                record([]),
            ),
        )
        land(lake, folder, at=SETTLED + SECOND)
        found = manifest(lake)
        assert found.source == str(folder)
        assert found.sources == (str(folder),)
        assert found.written_hour == HOUR
        assert found.listed_at == SETTLED + SECOND
        [blob] = found.blobs
        assert blob.blob == blob_name()
        assert blob.size == (folder / blob_name()).stat().st_size
        assert (blob.records, blob.tuples, blob.rejected) == (3, 5, 2)
        assert blob.rejects == {"too_few_fields": 1, "empty": 1}
        assert blob.event_hours == {HOUR - 60 * MINUTE: 1, HOUR: 2}
        assert blob.versions == {4: 3}
        assert (blob.problem_count, blob.problems) == (0, ())
        assert (blob.first_row, blob.landed_at, blob.gone_at) == (0, SETTLED + SECOND, None)
        assert found.event_hours == {HOUR - 60 * MINUTE, HOUR}
        assert verify_hours(lake, [HOUR]).faults == []

    def test_holds_rows_as_they_were_logged(self, lake: Lake, folder: Path) -> None:
        text = f"{flow(HOUR).rsplit(',', 4)[0]},3,767,2,1580"
        put(folder, document(record([text, "x,y"], rule="R", acl_id="ACL")))
        land(lake, folder)
        decoded, rejected = rows(lake)
        named = {
            "rule": "R",
            "acl_id": "ACL",
            "flow_log_id": "/subscriptions/s/flowlogs/f",
            "target_resource_id": "/subscriptions/s/virtualnetworks/v",
            "mac": "000D3AF87856",
            "record_time": datetime(2026, 11, 1, 5, 1, 0, 123456),
            "source": str(folder),
            "blob": blob_name(),
            "record_no": 0,
            "flow_no": 0,
            "group_no": 0,
        }
        assert decoded == named | {
            "flow_time": HOUR,
            "date": HOUR.date(),
            "hour": 5,
            "src_ip": "198.51.100.7",
            "dst_ip": "10.0.0.4",
            "src_port": 40000,
            "dst_port": 3389,
            "protocol": 6,
            "direction": "I",
            "decision": "A",
            "flow_state": "B",
            "encryption": "NX",
            "packets_src_to_dst": 3,
            "bytes_src_to_dst": 767,
            "packets_dst_to_src": 2,
            "bytes_dst_to_src": 1580,
            "log_version": 4,
            "tuple_no": 0,
            "reject_reason": None,
            "raw": None,
        }
        assert rejected == dict.fromkeys(LANDED_SCHEMA.names) | named | {
            "tuple_no": 1,
            "reject_reason": "too_few_fields",
            "raw": "x,y",
        }

    def test_without_blobs_says_that_it_was_looked_at(self, lake: Lake, folder: Path) -> None:
        landed = land(lake, folder)
        assert (landed.blobs, landed.tuples) == (0, 0)
        [landing] = landings(lake)
        assert landing.file.rows == 0
        assert landing.manifest.blobs == ()
        assert landing.manifest.listed_at == SETTLED
        assert pq.read_schema(landing.file.path).equals(LANDED_SCHEMA)
        assert not land(lake, folder).changed
        assert version(lake) == 1

    def test_of_two_sources_is_one_commit(self, lake: Lake, tmp_path: Path) -> None:
        a, b = new_folder(tmp_path / "a"), new_folder(tmp_path / "b")
        put_flows(a, flow(HOUR), mac="A")
        put_flows(b, flow(HOUR), flow(HOUR), mac="B")
        landed = land(lake, a, b)
        assert (landed.blobs, landed.tuples) == (2, 3)
        assert version(lake) == 1
        assert {each.manifest.source: each.file.rows for each in landings(lake)} == {
            str(a): 1,
            str(b): 2,
        }
        assert {each.manifest.sources for each in landings(lake)} == {(str(a), str(b))}

    def test_of_which_a_source_fails_is_not_landed_at_all(self, lake: Lake, tmp_path: Path) -> None:
        a, b = new_folder(tmp_path / "a"), new_folder(tmp_path / "b")
        put_flows(a, flow(HOUR), mac="A")
        sources = [FolderSource(a), FolderSource(b)]
        (b / VNET_CONTAINER).rename(tmp_path / "unmounted")
        with pytest.raises(SourceUnreachable):
            land(lake, *sources)
        assert landings(lake) == []


class TestAgain:
    def test_an_unchanged_hour_is_not_written_again(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR))
        land(lake, folder)
        source = CountedFolder(folder)
        landed = land(lake, source, at=SETTLED + 60 * MINUTE)
        assert source.blobs_read == []
        assert not landed.changed
        assert (landed.blobs, landed.tuples, landed.blobs_read) == (1, 1, 0)
        assert version(lake) == 1
        assert manifest(lake).listed_at == SETTLED

    def test_before_it_settles_only_the_time_of_looking_moves(
        self, lake: Lake, folder: Path
    ) -> None:
        put_flows(folder, flow(HOUR), flow(HOUR + SECOND))
        source = CountedFolder(folder)
        land(lake, source, at=HOUR + 20 * MINUTE)
        before, rows_before = manifest(lake), rows(lake)
        landed = land(lake, source, at=SETTLED)
        after = manifest(lake)
        assert source.blobs_read == [blob_name()]
        assert not landed.changed
        assert version(lake) == 2
        assert after == before.model_copy(update={"listed_at": SETTLED})
        assert rows(lake) == rows_before
        land(lake, source, at=SETTLED + MINUTE)
        assert version(lake) == 2

    def test_a_listing_just_before_it_settles_does_not_count(
        self, lake: Lake, folder: Path
    ) -> None:
        land(lake, folder, at=SETTLED - timedelta(microseconds=1))
        land(lake, folder, at=SETTLED)
        assert manifest(lake).listed_at == SETTLED

    def test_a_blob_that_grew_is_read_again_and_the_others_are_not(
        self, lake: Lake, folder: Path
    ) -> None:
        for mac in "ABC":
            put_flows(folder, flow(HOUR), flow(HOUR + SECOND), mac=mac)
        source = CountedFolder(folder)
        land(lake, source)
        first, rows_before = manifest(lake), rows(lake)
        source.blobs_read.clear()
        grown = put(
            folder,
            document(record([flow(HOUR), flow(HOUR + SECOND)]), record([flow(HOUR + MINUTE)])),
            mac="B",
        )
        landed = land(lake, source, at=SETTLED + MINUTE)
        assert source.blobs_read == [grown]
        assert (landed.changed, landed.blobs_read, landed.tuples) == (True, 1, 7)
        after = manifest(lake)
        assert after.landing_id != first.landing_id
        assert [blob.first_row for blob in after.blobs] == [0, 2, 5]
        assert [blob.landed_at for blob in after.blobs] == [SETTLED, SETTLED + MINUTE, SETTLED]
        new = rows(lake)
        assert new[:4] + new[5:] == rows_before
        assert place(new[4]) == (grown, 1, 0, 0, 0)
        assert verify_hours(lake, [HOUR]).faults == []

    def test_a_blob_that_shrank_loses_its_rows(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR), flow(HOUR + SECOND), mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land(lake, folder)
        put_flows(folder, flow(HOUR + MINUTE), mac="A")
        land(lake, folder)
        assert [row["flow_time"] for row in rows(lake)] == [HOUR + MINUTE, HOUR]

    def test_a_touched_blob_is_read_again_for_the_same_landing(
        self, lake: Lake, folder: Path
    ) -> None:
        path = folder / put_flows(folder, flow(HOUR))
        land(lake, folder)
        before = manifest(lake)
        os.utime(path, ns=(1, 1))
        landed = land(lake, folder)
        assert (landed.changed, landed.blobs_read) == (False, 1)
        assert manifest(lake).landing_id == before.landing_id

    def test_a_blob_that_vanished_keeps_its_rows_and_may_come_back(
        self, lake: Lake, folder: Path
    ) -> None:
        path = folder / put_flows(folder, flow(HOUR), mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land(lake, folder)
        before, rows_before = manifest(lake), rows(lake)
        status = path.stat()
        content = path.read_bytes()
        path.unlink()

        later = SETTLED + MINUTE
        assert not land(lake, folder, at=later).changed
        assert [blob.gone_at for blob in manifest(lake).blobs] == [later, None]
        # When it went does not move, and there is nothing more to write.
        land(lake, folder, at=later + MINUTE)
        assert [blob.gone_at for blob in manifest(lake).blobs] == [later, None]
        assert version(lake) == 2
        assert rows(lake) == rows_before

        path.write_bytes(content)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        source = CountedFolder(folder)
        assert not land(lake, source, at=later + 2 * MINUTE).changed
        assert source.blobs_read == []
        assert [blob.gone_at for blob in manifest(lake).blobs] == [None, None]
        assert manifest(lake).landing_id == before.landing_id
        assert rows(lake) == rows_before

        path.unlink()
        land(lake, folder)
        put_flows(folder, flow(HOUR + SECOND), flow(HOUR), mac="A")
        assert land(lake, folder).tuples == 3

    def test_two_lakes_of_the_same_blobs_are_the_same(self, tmp_path: Path, folder: Path) -> None:
        put_flows(folder, flow(HOUR), "x", mac="A")
        put_flows(folder, flow(HOUR + SECOND), mac="B")
        straight = Lake.open(tmp_path / "straight")
        land(straight, folder, at=SETTLED + 5 * MINUTE)
        crooked = Lake.open(tmp_path / "crooked")
        whole = (folder / blob_name(mac="B")).read_bytes()
        put_flows(folder, flow(HOUR + MINUTE), mac="B")
        land(crooked, folder, at=HOUR)
        (folder / blob_name(mac="B")).write_bytes(whole)
        land(crooked, folder, at=SETTLED)
        assert rows(crooked) == rows(straight)
        assert manifest(crooked).landing_id == manifest(straight).landing_id

    def test_rows_are_carried_over_across_row_groups(self, lake: Lake, folder: Path) -> None:
        # Much more than a row group holds: the first one ends inside B.
        sizes = {"A": 10_000, "B": 200_000, "C": 10_000}
        for mac, size in sizes.items():
            put(folder, document(record([f"{mac}{number}" for number in range(size)])), mac=mac)
        land(lake, folder)
        [landing] = landings(lake)
        metadata = pq.read_metadata(landing.file.path)
        assert 10_000 < metadata.row_group(0).num_rows < 210_000
        put(folder, document(record(["new"])), mac="C")
        source = CountedFolder(folder)
        land(lake, source)
        assert source.blobs_read == [blob_name(mac="C")]
        [landing] = landings(lake)
        raw = pq.read_table(landing.file.path, columns=["raw"], partitioning=None)["raw"]
        kept = [f"{mac}{number}" for mac in "AB" for number in range(sizes[mac])]
        assert raw.to_pylist() == [*kept, "new"]


def large_document() -> bytes:
    """Some six megabytes: two chunks, with more tuples in the first than a batch holds."""
    return document(*[record([f"{number:>25}" for number in range(1_000)])] * 200)


class TestAChangingSource:
    def test_a_blob_that_changes_before_it_is_read_is_started_over_and_no_other(
        self, lake: Lake, folder: Path
    ) -> None:
        for mac in "ABC":
            put_flows(folder, flow(HOUR), mac=mac)

        def grow() -> None:
            put_flows(folder, flow(HOUR), flow(HOUR + SECOND), mac="B")

        source = RestlessFolder(folder, [lambda: None, grow])
        landed = land(lake, source)
        assert source.blobs_read == [blob_name(mac=mac) for mac in "ABBC"]
        assert (landed.tuples, landed.blobs_read) == (4, 3)
        assert manifest(lake).blobs[1].size == (folder / blob_name(mac="B")).stat().st_size
        assert version(lake) == 1
        assert parquet_files(lake) == {landing.file.path for landing in landings(lake)}

    def test_a_blob_that_changes_in_the_middle_takes_its_rows_back(
        self, lake: Lake, folder: Path
    ) -> None:
        for mac in "AC":
            put(folder, document(record([f"{mac}{number}" for number in range(40_000)])), mac=mac)
        put(folder, document(record(["D"])), mac="D")
        land(lake, folder)
        put(folder, large_document(), mac="B")
        put(folder, document(record(["new"])), mac="D")
        new = document(record(["B0", "B1"]))

        source = RestlessFolder(folder, [lambda: put(folder, new, mac="B")], after_chunks=1)
        landed = land(lake, source)
        assert source.blobs_read == [blob_name(mac=mac) for mac in "BBD"]
        [landing] = landings(lake)
        raw = pq.read_table(landing.file.path, columns=["raw"], partitioning=None)["raw"]
        expected = {mac: [f"{mac}{number}" for number in range(40_000)] for mac in "AC"}
        assert raw.to_pylist() == [*expected["A"], "B0", "B1", *expected["C"], "new"]
        assert [blob.first_row for blob in landing.manifest.blobs] == [0, 40_000, 40_002, 80_002]
        assert landing.manifest.blobs[1].bytes_read == len(new)
        # What was fetched for nothing was fetched all the same.
        assert landed.bytes_read > 4 * 1024 * 1024
        assert verify_hours(lake, [HOUR]).faults == []
        found = {path for path in parquet_files(lake) if path != landing.file.path}
        assert len(found) == 1, "the file of the first landing, which may still be read"

    def test_a_blob_that_is_deleted_before_it_is_read_was_never_there(
        self, lake: Lake, folder: Path
    ) -> None:
        path = folder / put_flows(folder, flow(HOUR), mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        landed = land(lake, RestlessFolder(folder, [path.unlink]))
        assert (landed.blobs, landed.tuples) == (1, 1)

    @pytest.mark.parametrize("after_chunks", [0, 1])
    def test_a_blob_that_was_landed_and_is_deleted_while_it_is_read_keeps_its_rows(
        self, lake: Lake, folder: Path, after_chunks: int
    ) -> None:
        path = folder / put_flows(folder, flow(HOUR), mac="A")
        put_flows(folder, flow(HOUR), mac="B")
        land(lake, folder)
        before, rows_before = manifest(lake), rows(lake)
        put(folder, large_document(), mac="A")

        def delete() -> None:
            # Growing first, because a file that is open can be read on after it was deleted.
            put_flows(folder, mac="A")
            path.unlink()

        later = SETTLED + MINUTE
        source = RestlessFolder(folder, [delete], after_chunks=after_chunks)
        landed = land(lake, source, at=later)
        assert not landed.changed
        assert rows(lake) == rows_before
        assert [blob.gone_at for blob in manifest(lake).blobs] == [later, None]
        assert manifest(lake).blobs[0].size == before.blobs[0].size
        assert verify_hours(lake, [HOUR]).faults == []

    def test_a_blob_that_vanishes_from_one_source_is_read_from_the_other(
        self, lake: Lake, folder: Path, tmp_path: Path
    ) -> None:
        second = new_folder(tmp_path / "second")
        path = folder / put_flows(folder, flow(HOUR))
        put_flows(second, flow(HOUR), flow(HOUR + SECOND))
        landed = land(lake, RestlessFolder(folder, [path.unlink]), second)
        assert (landed.blobs, landed.tuples) == (1, 2)
        assert {row["source"] for row in rows(lake)} == {str(second)}
        assert version(lake) == 1

    def test_a_blob_that_never_rests_is_an_error_and_leaves_nothing(
        self, lake: Lake, folder: Path, tmp_path: Path
    ) -> None:
        put_flows(folder, flow(HOUR))
        quiet = new_folder(tmp_path / "quiet")
        put_flows(quiet, flow(HOUR), mac="Q")
        counts = iter(range(2, 100))

        def grow() -> None:
            put_flows(folder, *[flow(HOUR)] * next(counts))

        source = RestlessFolder(folder, [grow] * 100)
        with pytest.raises(BlobChanged, match="changed while it was read"):
            land(lake, quiet, source)
        assert len(source.blobs_read) == ATTEMPTS
        assert landings(lake) == []
        assert parquet_files(lake) == set()

    def test_a_blob_that_comes_shorter_than_it_was_listed_is_an_error(
        self, lake: Lake, folder: Path
    ) -> None:
        class ShortFolder(FolderSource):
            def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
                yield b"".join(super().read(blob, start))[:-1]

        put_flows(folder, flow(HOUR))
        with pytest.raises(BlobUnreadable, match=r"came as \d+ bytes"):
            land(lake, ShortFolder(folder))
        assert parquet_files(lake) == set()

    def test_a_landing_that_was_overtaken_lands_again(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR), flow(HOUR + SECOND))
        landed = land(lake, RestlessFolder(folder, [lambda: land(lake, folder)]))
        # The other one's rows stand, and there is nothing left to do.
        assert (landed.tuples, landed.blobs_read, landed.changed) == (2, 0, False)
        assert version(lake) == 1
        assert len(rows(lake)) == 2
        assert parquet_files(lake) == {landing.file.path for landing in landings(lake)}

    def test_a_landing_that_is_overtaken_for_ever_gives_up(self, lake: Lake, folder: Path) -> None:
        put_flows(folder, flow(HOUR))
        counts = iter(range(2, 100))

        class Overtaken(FolderSource):
            def list_hour(self, hour: datetime) -> Iterator[ListedBlob]:
                put_flows(folder, *[flow(HOUR)] * next(counts))
                land(lake, folder)
                # What was listed is older than what the other one landed.
                put_flows(folder, *[flow(HOUR)] * next(counts))
                return super().list_hour(hour)

        with pytest.raises(LakeBusy, match="2026-11-01T05"):
            land(lake, Overtaken(folder))
        assert manifest(lake).tuples == len(rows(lake))


class BlockFolder(CountedFolder):
    """A folder of which the blocks are known, as they are of an account."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.known: dict[str, list[Block]] = {}
        self.starts: list[int] = []

    def put(self, data: Sequence[tuple[str, bytes]], mac: str) -> None:
        """Write a blob of these data blocks, ids and contents."""
        parts = [("A", b'{"records":['), *data, ("Z", b"]}")]
        name = put(Path(self.name), b"".join(content for _, content in parts), mac=mac)
        self.known[name] = [Block(block_id, len(content)) for block_id, content in parts]

    def blocks(self, blob: ListedBlob) -> Sequence[Block] | None:
        return self.known.get(blob.blob)

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        self.starts.append(start)
        yield from super().read(blob, start)


def record_bytes(*tuples: object) -> bytes:
    return json.dumps(record(tuples)).encode()


class TestReadingOn:
    # Records that are read, that are half read, and that are none; and what ends the document.
    contents = st.one_of(
        st.lists(st.sampled_from([flow(HOUR), flow(HOUR - MINUTE), "", "x,y", None]), max_size=3)
        .map(lambda tuples: record_bytes(*tuples)),
        st.sampled_from(
            [b'{"category":"AuditEvent"}', b'{"a":}', b"7", b'"]}"', b"", b" ", b'{"records":["',
             b"]}", b'],"other":{}', b"\xff", b'{"time":"' + b"\xf0\x9f\x98\x80" * 3 + b'"}']
        ),
    )  # fmt: skip

    @settings(max_examples=20)
    @given(data=st.data())
    def test_gives_what_reading_whole_gives(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        top = tmp_path_factory.mktemp("grown")
        source = BlockFolder(new_folder(top / "logs"))
        lake = Lake.open(top / "lake")
        blocks: dict[str, list[tuple[str, bytes]]] = {"A": [], "B": []}
        for step in range(data.draw(st.integers(2, 5))):
            for mac, own in blocks.items():
                del own[data.draw(st.sampled_from([99, 99, 99, 1, 0])) :]
                for content in data.draw(st.lists(self.contents, max_size=3)):
                    own.append((f"{len(own)}-{step}", (b"," if own else b"") + content))
                source.put(own, mac)
            land(lake, source, at=HOUR + step * MINUTE)
            straight = Lake.open(top / f"straight{step}")
            land(straight, source, at=HOUR + step * MINUTE)
            assert rows(lake) == rows(straight)
            found, expected = manifest(lake), manifest(straight)
            at = {"landed_at": HOUR}
            assert [blob.model_copy(update=at) for blob in found.blobs] == [
                blob.model_copy(update=at) for blob in expected.blobs
            ]
            assert found.landing_id == expected.landing_id
            assert verify_hours(lake, [HOUR]).faults == []
            assert all(blob.bytes_read == blob.size for blob in found.blobs)

    def test_begins_behind_the_last_data_block(self, lake: Lake, folder: Path) -> None:
        source = BlockFolder(folder)
        first, second = (record_bytes(flow(HOUR), f"{number}") for number in range(2))
        source.put([("1", first)], "A")
        land(lake, source, at=HOUR)
        source.put([("1", first), ("2", b"," + second)], "A")
        landed = land(lake, source, at=HOUR + MINUTE)
        assert source.starts == [0, 12 + len(first)]
        assert (landed.blobs_read, landed.blobs_read_on) == (1, 1)
        assert landed.bytes_read == 1 + len(second) + 2
        [blob] = manifest(lake).blobs
        assert (blob.blocks, blob.last_block_id) == (2, "2")
        assert blob.last_block_end == 12 + len(first) + 1 + len(second)
        assert blob.bytes_read == blob.size == (folder / blob_name(mac="A")).stat().st_size
        assert [(row["record_no"], row["tuple_no"]) for row in rows(lake)] == [
            (0, 0), (0, 1), (1, 0), (1, 1)
        ]  # fmt: skip

    def test_is_not_done_across_versions_of_the_decoder(
        self, lake: Lake, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = BlockFolder(folder)
        first, second = record_bytes(flow(HOUR)), record_bytes(flow(HOUR + MINUTE))
        source.put([("1", first)], "A")
        land(lake, source, at=HOUR)
        for module in ("landing", "hour_file"):
            name = f"flow_pipeline.{module}.LANDING_VERSION"
            monkeypatch.setattr(name, LANDING_VERSION + 1)
        source.put([("1", first), ("2", b"," + second)], "A")
        land(lake, source, at=HOUR + MINUTE)
        assert source.starts == [0, 0]


class TestAFileOfBefore:
    """Footers that were written before a blob's blocks were recorded."""

    NEW = ("bytes_read", "blocks", "last_block_id", "last_block_end")

    @pytest.fixture
    def source(self, lake: Lake, folder: Path) -> BlockFolder:
        source = BlockFolder(folder)
        source.put([("1", record_bytes(flow(HOUR)))], "A")
        land(lake, source)
        [old] = landings(lake)
        footer = old.file.footer()
        for blob in footer["blobs"]:
            for name in self.NEW:
                del blob[name]
        table = pq.read_table(old.file.path, partitioning=None)
        with pq.ParquetWriter(old.file.path, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({FOOTER_KEY: footer_bytes(footer)})
        source.starts.clear()
        return source

    def test_is_read_with_what_it_does_not_say_unknown(
        self, lake: Lake, source: BlockFolder
    ) -> None:
        [blob] = manifest(lake).blobs
        assert [getattr(blob, name) for name in self.NEW] == [None] * 4
        assert blob.cursor is None
        assert not land(lake, source).changed
        assert source.starts == []

    def test_has_its_blobs_read_whole_when_they_grow(self, lake: Lake, source: BlockFolder) -> None:
        first, second = record_bytes(flow(HOUR)), record_bytes(flow(HOUR + MINUTE))
        for count in (1, 2):
            source.put([("1", first)] + [("2", b"," + second)] * count, "A")
            land(lake, source)
            assert len(rows(lake)) == 1 + count
        # From then on it is known where they were left.
        assert source.starts == [0, 12 + len(first) + 1 + len(second)]


class TestSeveralSources:
    @pytest.fixture
    def a(self, tmp_path: Path) -> Path:
        return new_folder(tmp_path / "a")

    @pytest.fixture
    def b(self, tmp_path: Path) -> Path:
        return new_folder(tmp_path / "b")

    @staticmethod
    def held(lake: Lake) -> dict[str, list[int]]:
        """Last part of a source's name -> the destination ports of its rows."""
        return {
            Path(landing.manifest.source).name: [row["dst_port"] for row in rows_of(landing)]
            for landing in landings(lake)
        }

    def test_a_blob_in_two_belongs_to_the_one_named_first(
        self, lake: Lake, a: Path, b: Path
    ) -> None:
        put_flows(a, flow(HOUR, port=1))
        put_flows(b, flow(HOUR, port=2))
        land(lake, a, b)
        assert self.held(lake) == {"a": [1], "b": []}
        source = CountedFolder(a)
        land(lake, source, b)
        assert source.blobs_read == []
        land(lake, b, a)
        assert self.held(lake) == {"a": [], "b": [2]}
        assert verify_hours(lake, [HOUR]).faults == []

    def test_a_blob_that_moved_moves(self, lake: Lake, a: Path, b: Path) -> None:
        path = a / put_flows(a, flow(HOUR, port=1), mac="X")
        put_flows(a, flow(HOUR, port=3), mac="Y")
        land(lake, a, b)
        put_flows(b, flow(HOUR, port=1), flow(HOUR, port=2), mac="X")
        path.unlink()
        land(lake, a, b)
        assert self.held(lake) == {"a": [3], "b": [1, 2]}
        assert [blob.gone_at for each in landings(lake) for blob in each.manifest.blobs] == [
            None,
            None,
        ]

    def test_a_source_that_is_not_configured_any_more_keeps_its_rows(
        self, lake: Lake, a: Path, b: Path
    ) -> None:
        put_flows(a, flow(HOUR, port=1), mac="X")
        put_flows(b, flow(HOUR, port=2), mac="Y")
        land(lake, a, b)
        before = {each.manifest.source: each.manifest for each in landings(lake)}
        land(lake, b, at=SETTLED + MINUTE)
        assert self.held(lake) == {"a": [1], "b": [2]}
        after = {each.manifest.source: each.manifest for each in landings(lake)}
        assert after[str(a)] == before[str(a)]
        # So that completeness asks for the sources of today only.
        assert after[str(b)].sources == (str(b),)
        assert after[str(b)].landing_id == before[str(b)].landing_id

    def test_what_another_source_has_now_is_taken_from_one_not_configured_any_more(
        self, lake: Lake, a: Path, b: Path
    ) -> None:
        put_flows(a, flow(HOUR, port=1), mac="X")
        put_flows(a, flow(HOUR, port=3), mac="Y")
        land(lake, a)
        put_flows(b, flow(HOUR, port=1), mac="X")
        land(lake, b)
        assert self.held(lake) == {"a": [3], "b": [1]}
        # Nothing is known of whether the other blob is still there.
        assert [b.gone_at for each in landings(lake) for b in each.manifest.blobs] == [None, None]
        land(lake, a)
        assert self.held(lake) == {"a": [1, 3], "b": []}

    def test_a_blob_that_is_gone_everywhere_stays_where_it_was(
        self, lake: Lake, a: Path, b: Path
    ) -> None:
        paths = [folder / put_flows(folder, flow(HOUR, port=1)) for folder in (a, b)]
        land(lake, a, b)
        for path in paths:
            path.unlink()
        land(lake, a, b)
        assert self.held(lake) == {"a": [1], "b": []}
        put_flows(b, flow(HOUR, port=2))
        land(lake, a, b)
        assert self.held(lake) == {"a": [], "b": [2]}

    @settings(max_examples=8)
    @given(data=st.data())
    def test_no_row_is_ever_doubled_or_lost(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        top = tmp_path_factory.mktemp("moves")
        lake = Lake.open(top / "lake")
        folders = [new_folder(top / name) for name in ("a", "b", "c")]
        owner: dict[str, Path] = {}
        content: dict[str, int] = {}
        in_folder: dict[tuple[Path, str], int] = {}
        ports = iter(range(1, 1000))
        for _ in range(data.draw(st.integers(1, 5))):
            for folder in folders:
                for mac in "XY":
                    action = data.draw(st.sampled_from(["leave", "put", "delete"]))
                    if action == "put":
                        in_folder[folder, mac] = next(ports)
                        put_flows(folder, flow(HOUR, port=in_folder[folder, mac]), mac=mac)
                    elif action == "delete" and in_folder.pop((folder, mac), None):
                        (folder / blob_name(mac=mac)).unlink()
            configured = data.draw(st.permutations(folders))[: data.draw(st.integers(1, 3))]
            for mac in "XY":
                holder = next((f for f in configured if (f, mac) in in_folder), None)
                if holder is not None:
                    owner[mac], content[mac] = holder, in_folder[holder, mac]
            land(lake, *configured)
            found = [
                (Path(row["source"]), row["blob"], row["dst_port"])
                for landing in landings(lake)
                for row in rows_of(landing)
            ]
            assert sorted(found) == sorted(
                (owner[mac], blob_name(mac=mac), content[mac]) for mac in owner
            )
            assert verify_hours(lake, [HOUR]).faults == []


class TestBadInput:
    def test_a_blob_that_is_bad_is_landed_with_what_is_wrong(
        self, lake: Lake, folder: Path
    ) -> None:
        put(folder, b"\x00\x01 no flow log", mac="A")
        put(folder, b"", mac="B")
        whole = document(record([flow(HOUR)]), record([flow(HOUR + SECOND)]))
        put(folder, whole[:-40], mac="C")
        foreign = {"time": "2026-11-01T05:00:00Z", "category": "AuditEvent", "resourceId": "/v"}
        put(folder, document(foreign, record([flow(HOUR)])), mac="D")
        put(
            folder, document(record([flow(HOUR), "", None, "1,2", flow(HOUR, port=70000)])), mac="E"
        )
        put(folder, document(record([flow(HOUR)])), mac="F")
        landed = land(lake, folder)

        assert landed.blobs == 6
        found = {blob.blob: blob for blob in manifest(lake).blobs}
        counts = {
            mac: (blob.records, blob.tuples, blob.rejected)
            for mac in "ABCDEF"
            for blob in [found[blob_name(mac=mac)]]
        }
        assert counts == {
            "A": (0, 0, 0),
            "B": (0, 0, 0),
            "C": (1, 1, 0),
            "D": (2, 1, 0),
            "E": (1, 5, 4),
            "F": (1, 1, 0),
        }
        assert (landed.tuples, landed.rejected) == (8, 4)
        assert [(blob, problem.code) for blob, problem in landed.problems] == [
            (blob_name(mac="A"), "not_a_flow_log"),
            (blob_name(mac="B"), "cut_off"),
            (blob_name(mac="C"), "cut_off"),
            (blob_name(mac="D"), "foreign_category"),
        ]
        assert [row["reject_reason"] for row in rows(lake) if row["reject_reason"]] == [
            "empty",
            "not_text",
            "too_few_fields",
            "port_unreadable",
        ]
        assert verify_hours(lake, [HOUR]).faults == []

    def test_a_bad_blob_is_not_read_again_until_it_changes(self, lake: Lake, folder: Path) -> None:
        put(folder, b"no flow log")
        source = CountedFolder(folder)
        land(lake, source)
        land(lake, source)
        assert source.blobs_read == [blob_name()]
        put_flows(folder, flow(HOUR))
        assert land(lake, source).problems == []

    def test_hostile_names_end_up_as_data_only(self, lake: Lake, folder: Path) -> None:
        names = [
            "../../../etc",
            "'; drop table landed_tuples; --",
            'a"b',
            "a\nb\r\x1b[31m",
            "😀",
            "",
        ]
        put(
            folder,
            document(*(record([flow(HOUR)], rule=name, acl_id=name) for name in names)),
            mac="' or '1'='1",
        )
        put_flows(folder, flow(HOUR), mac='a"\nb')
        before = {path for path in folder.parent.rglob("*") if "lake" not in path.parts}
        land(lake, folder)
        assert [row["rule"] for row in rows(lake)] == [*names, "UserRule_rdp"]
        with connect(lake) as connection:
            found = connection.execute("select rule, acl_id, blob from flow_records").fetchall()
            blobs = connection.execute("select blob, tuples from landed_blobs").fetchall()
        assert found[:-1] == [(name, name, blob_name(mac="' or '1'='1")) for name in names]
        assert blobs == [(blob_name(mac="' or '1'='1"), 6), (blob_name(mac='a"\nb'), 1)]
        after = {path for path in folder.parent.rglob("*") if "lake" not in path.parts}
        assert after == before
        assert {path.relative_to(lake.root).parts[:-1] for path in parquet_files(lake)} == {
            ("landed_tuples", "written_date=2026-11-01", "written_hour=5")
        }


good_tuples = st.builds(
    flow,
    st.datetimes(HOUR - 120 * MINUTE, HOUR + 60 * MINUTE),
    st.ip_addresses(v=4).map(str),
    port=st.integers(0, 65535),
)
bad_tuples = st.sampled_from(["", ",", "a,b,c", flow(HOUR, port=65536), flow(HOUR) + ",1", None, 7])


@settings(max_examples=15)
@given(
    nics=st.dictionaries(
        st.sampled_from("ABCDEFG"),
        st.lists(st.lists(st.one_of(good_tuples, bad_tuples)), max_size=4),
    )
)
def test_tuples_read_are_those_landed_and_those_rejected(
    nics: dict[str, list[list[object]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("any")
    folder, lake = new_folder(top / "logs"), Lake.open(top / "lake")
    for mac, records in nics.items():
        put(folder, document(*map(record, records)), mac=mac)
    landed = land(lake, folder)

    written = [
        (blob_name(mac=mac), record_no, tuple_no, text)
        for mac in sorted(nics)
        for record_no, texts in enumerate(nics[mac])
        for tuple_no, text in enumerate(texts)
    ]
    bad = {"", ",", "a,b,c", flow(HOUR, port=65536), flow(HOUR) + ",1", None, 7}
    found = rows(lake)
    assert landed.tuples == len(found) == len(written)
    assert landed.rejected == sum(text in bad for *_, text in written)
    assert [(r["blob"], r["record_no"], r["tuple_no"]) for r in found] == [w[:3] for w in written]
    assert [r["raw"] for r in found if r["reject_reason"]] == [
        text if isinstance(text, str) else json.dumps(text) for *_, text in written if text in bad
    ]
    hours = Counter(row["flow_time"].replace(minute=0, second=0, microsecond=0)
                    for row in found if row["flow_time"])  # fmt: skip
    in_manifest: Counter[datetime] = Counter()
    for blob in manifest(lake).blobs:
        in_manifest.update(blob.event_hours)
    assert in_manifest == hours
    assert verify_hours(lake, [HOUR]).faults == []
