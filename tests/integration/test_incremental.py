"""Blobs that grow in a storage account: what is fetched of them, and that the rows are the same.

What is expected of a lake is what one landing of the final state makes in a lake of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq
import pytest
from azure.storage.blob import BlobBlock, BlobServiceClient
from pydantic import SecretStr

from flow_pipeline.errors import BlobChanged
from flow_pipeline.flowlog.account_source import AccountSource
from flow_pipeline.flowlog.blob_source import BlobSource, ListedBlob
from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.lake import Lake
from flow_pipeline.landed_file import LANDED_TUPLES, BlobManifest, Landing, read_landing
from flow_pipeline.landing import LandedHour, land_hour
from flow_pipeline.partitions import written_partition
from flow_pipeline.settings import AccountLocation
from tests.integration.lakes import ask, bring_up_to_date, file_names, pipeline_over
from tests.integration.request_log import RequestLog, recorded_requests
from tests.unit.blobs import HOUR, MINUTE, blob_name, flow, put_flows, record

pytestmark = pytest.mark.integration

HEAD, END = b'{"records":[', b"]}"
END_ID = "Z" * 44
SETTLED = HOUR + timedelta(hours=1, minutes=10)


class Azurite(Protocol):
    """What the fixture of that name gives."""

    endpoint: str
    account: str
    key: str
    service: BlobServiceClient


class GrowingBlob:
    """A blob that is written as Azure writes it: a block more before the last one, each time."""

    def __init__(self, azurite: Azurite, name: str) -> None:
        self.name = name
        container, _, path = name.partition("/")
        self._client = azurite.service.get_blob_client(container, path)
        self._blocks: list[tuple[str, bytes]] = []
        self._committed: set[tuple[str, bytes]] = set()
        self._made = 0

    @property
    def size(self) -> int:
        return len(HEAD) + sum(len(data) for _, data in self._blocks) + len(END)

    def grow(self, *records: bytes) -> int:
        """Put one block of these records in; returns its size."""
        data = b",".join(records)
        self.put_block(b"," + data if self._blocks else data)
        return len(self._blocks[-1][1])

    def put_block(self, data: bytes) -> None:
        self._blocks.append((f"M{self._made:043}", data))
        self._made += 1
        self.commit()

    def replace_block(self, number: int, data: bytes, *, new_id: bool = True) -> None:
        block_id = f"N{self._made:043}" if new_id else self._blocks[number][0]
        self._made += 1
        self._blocks[number] = (block_id, data)
        self.commit()

    def shrink(self, blocks: int) -> None:
        del self._blocks[blocks:]
        self.commit()

    def commit(self, end: bytes = END) -> None:
        blocks = [("A" * 44, HEAD), *self._blocks, (END_ID, end)]
        for block_id, data in blocks:
            if (block_id, data) not in self._committed:
                self._client.stage_block(block_id, data)
        self._client.commit_block_list([BlobBlock(block_id) for block_id, _ in blocks])
        self._committed = set(blocks)

    def upload_whole(self, content: bytes) -> None:
        """As somebody does who copies a blob: no blocks."""
        self._client.upload_blob(content, overwrite=True)

    def delete(self) -> None:
        self._client.delete_blob()


def written(*tuples: object, at: datetime = HOUR + MINUTE) -> bytes:
    """A record as it stands in a block."""
    return json.dumps(record(tuples, at), separators=(",", ":")).encode()


@pytest.fixture
def account(azurite: Azurite) -> Iterator[Azurite]:
    """The emulator with an empty container, which is removed afterwards."""
    azurite.service.create_container(VNET_CONTAINER)
    yield azurite
    azurite.service.delete_container(VNET_CONTAINER)


@pytest.fixture
def source(account: Azurite) -> Iterator[BlobSource]:
    opened = AccountSource(location(account), VNET_CONTAINER)
    yield opened
    opened.close()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def requests() -> Iterator[RequestLog]:
    with recorded_requests() as log:
        yield log


def location(azurite: Azurite) -> AccountLocation:
    return AccountLocation(
        azurite.endpoint, azurite.account, VNET_CONTAINER, SecretStr(azurite.key)
    )


def land(
    lake: Lake, source: BlobSource, at: datetime = HOUR + 30 * MINUTE, hour: datetime = HOUR
) -> LandedHour:
    return land_hour(lake, [source], hour, lambda: at)


def landing(lake: Lake, hour: datetime = HOUR) -> Landing:
    [file] = lake.existing(LANDED_TUPLES).files_of(written_partition(hour))
    return read_landing(file)


def rows(lake: Lake, hour: datetime = HOUR) -> list[dict[str, Any]]:
    return pq.read_table(landing(lake, hour).file.path, partitioning=None).to_pylist()


def blob_of(lake: Lake, name: str = "") -> BlobManifest:
    """What the lake knows of a blob; of the only one if none is named."""
    [found] = [b for b in landing(lake).manifest.blobs if name in ("", b.blob)]
    return found


def check_as_landed_at_once(lake: Lake, source: BlobSource, top: Path) -> None:
    """Land the blobs as they are now in a lake of its own: that is what the lake must be."""
    other = Lake.open(top / "at-once")
    land(other, source)
    assert rows(lake) == rows(other)
    found, expected = landing(lake).manifest, landing(other).manifest
    assert found.landing_id == expected.landing_id
    some_time = {"landed_at": HOUR}
    assert [b.model_copy(update=some_time) for b in found.blobs] == [
        b.model_copy(update=some_time) for b in expected.blobs
    ]


class TestABlobThatGrows:
    def test_minute_by_minute_only_what_is_new_is_fetched(
        self, account: Azurite, source: BlobSource, lake: Lake, requests: RequestLog, tmp_path: Path
    ) -> None:
        quiet = GrowingBlob(account, blob_name(mac="A"))
        quiet.grow(written(flow(HOUR), "x"))
        blob = GrowingBlob(account, blob_name(mac="B"))
        blob.grow(written(flow(HOUR)))
        list(source.list_hour(HOUR))
        requests.requests.clear()
        land(lake, source, HOUR + MINUTE)
        # Both blobs are new, and may grow.
        assert requests.counts() == {"list": 1, "block list": 2, "read": 2}
        assert requests.bytes_read() == quiet.size + blob.size

        for minute in range(2, 31):
            time = HOUR + minute * MINUTE
            tuples = [flow(time), "", flow(time, port=minute)] * (minute % 3 + 1)
            added = blob.grow(written(*tuples, at=time), written(flow(HOUR), at=time))
            requests.requests.clear()
            landed = land(lake, source, time)
            assert requests.counts() == {"list": 1, "block list": 1, "read": 1}
            assert requests.bytes_read() == landed.bytes_read == added + len(END)
            assert (landed.blobs_read, landed.blobs_read_on) == (1, 1)
            assert blob_of(lake, blob.name).blocks == minute
            assert blob_of(lake, blob.name).bytes_read == blob.size == blob_of(lake, blob.name).size

        # 1 + 29 of one flow each; 9 or 10 minutes each with 1, 2 and 3 times three tuples.
        counts = [3 * (minute % 3 + 1) + 1 for minute in range(2, 31)]
        assert blob_of(lake, blob.name).tuples == 1 + sum(counts)
        assert blob_of(lake, blob.name).records == 1 + 2 * 29
        assert blob_of(lake, blob.name).rejects == {"empty": sum(c - 1 for c in counts) // 3}
        check_as_landed_at_once(lake, source, tmp_path)

        requests.requests.clear()
        landed = land(lake, source, SETTLED)
        assert requests.counts() == {"list": 1}
        assert (landed.changed, landed.bytes_read) == (False, 0)

    def test_a_block_more_in_five_megabytes_costs_a_block(
        self, account: Azurite, source: BlobSource, lake: Lake, requests: RequestLog, tmp_path: Path
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        # 58 minutes of 1,400 tuples of some 75 bytes.
        data = [
            written(*(flow(HOUR + m * MINUTE, port=n) for n in range(1400)), at=HOUR + m * MINUTE)
            for m in range(58)
        ]
        blob.grow(*data[:57])
        assert 5_000_000 < blob.size < 6_000_000
        land(lake, source)
        added = blob.grow(data[57])
        requests.requests.clear()
        landed = land(lake, source, HOUR + 31 * MINUTE)
        assert landed.bytes_read == requests.bytes_read() == added + len(END)
        assert landed.bytes_read < 100_000
        assert landed.tuples == 58 * 1400
        check_as_landed_at_once(lake, source, tmp_path)

    def test_more_new_than_a_request_holds_is_read_on_in_several(
        self, account: Azurite, source: BlobSource, lake: Lake, requests: RequestLog, tmp_path: Path
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        blob.grow(written(flow(HOUR)))
        land(lake, source)
        added = blob.grow(*(written(*[f"{n:>90}" for n in range(1000)]) for _ in range(50)))
        assert added > 4 * 1024 * 1024
        requests.requests.clear()
        landed = land(lake, source, HOUR + 31 * MINUTE)
        assert requests.counts() == {"list": 1, "block list": 1, "read": 2}
        assert requests.bytes_read() == landed.bytes_read == added + len(END)
        assert landed.blobs_read_on == 1
        check_as_landed_at_once(lake, source, tmp_path)

    def test_the_first_records_after_none_are_read_whole(
        self, account: Azurite, source: BlobSource, lake: Lake, tmp_path: Path
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        blob.commit()
        land(lake, source)
        assert (blob_of(lake).blocks, blob_of(lake).cursor) == (0, None)
        blob.grow(written(flow(HOUR)))
        landed = land(lake, source)
        assert (landed.tuples, landed.blobs_read_on) == (1, 0)
        check_as_landed_at_once(lake, source, tmp_path)

    def test_a_backfill_costs_a_request_a_blob_and_a_late_change_one_whole_read(
        self, account: Azurite, source: BlobSource, lake: Lake, requests: RequestLog
    ) -> None:
        blobs = [GrowingBlob(account, blob_name(mac=mac)) for mac in "ABC"]
        for blob in blobs:
            blob.grow(written(flow(HOUR)))
        list(source.list_hour(HOUR))
        requests.requests.clear()
        land(lake, source, SETTLED)
        assert requests.counts() == {"list": 1, "read": 3}
        assert {blob.blocks for blob in landing(lake).manifest.blobs} == {None}
        # Hours later one grows all the same: whole, and from then on by what is new.
        for is_read_on in (False, True):
            added = blobs[1].grow(written(flow(HOUR + MINUTE)))
            requests.requests.clear()
            landed = land(lake, source, SETTLED + timedelta(hours=3))
            assert requests.counts() == {"list": 1, "block list": 1, "read": 1}
            assert landed.blobs_read_on == is_read_on
            assert landed.bytes_read == (added + len(END) if is_read_on else blobs[1].size)
        assert [blob.blocks for blob in landing(lake).manifest.blobs] == [None, 3, None]
        assert len(rows(lake)) == 5


Change = Callable[[GrowingBlob], object]
THREE = [written(flow(HOUR, port=n), "bad") for n in range(3)]
OTHER = written(flow(HOUR, port=9), "bad")


class TestABlobThatIsNotWhatItWas:
    """Each is read whole, and its rows replaced; but for the last it has as many tuples or more."""

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda b: b.replace_block(2, b"," + OTHER), id="last-block-replaced"),
            pytest.param(lambda b: b.shrink(2), id="shrunk"),
            pytest.param(
                lambda b: (b.shrink(2), b.put_block(b"," + OTHER), b.grow(OTHER)), id="rewritten"
            ),
            pytest.param(
                lambda b: b.replace_block(0, OTHER + b"," + OTHER, new_id=False),
                id="grown-in-the-middle",
            ),
            pytest.param(
                lambda b: b.upload_whole(HEAD + b",".join([*THREE, OTHER]) + END), id="copied"
            ),
            pytest.param(lambda b: b.commit(end=b"," + OTHER + END), id="end-that-is-none"),
            pytest.param(lambda b: b.shrink(0), id="emptied"),
        ],
    )
    def test_is_read_whole(
        self, account: Azurite, source: BlobSource, lake: Lake, tmp_path: Path, change: Change
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        for one in THREE:
            blob.grow(one)
        land(lake, source)
        assert blob_of(lake).cursor is not None
        change(blob)
        landed = land(lake, source)
        [listed] = source.list_hour(HOUR)
        assert (landed.blobs_read, landed.blobs_read_on) == (1, 0)
        assert landed.bytes_read == listed.size
        check_as_landed_at_once(lake, source, tmp_path)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(OTHER, id="no-comma"),
            pytest.param(b",," + OTHER, id="two-commas"),
            pytest.param(b"," + OTHER + b"]} trailing", id="trailing-data"),
            pytest.param(b"," + OTHER[:-30], id="cut-off"),
        ],
    )
    def test_is_read_whole_where_what_is_new_is_broken(
        self, account: Azurite, source: BlobSource, lake: Lake, tmp_path: Path, data: bytes
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        for one in THREE:
            blob.grow(one)
        land(lake, source)
        for _ in range(2):
            blob.put_block(data)
            land(lake, source)
            check_as_landed_at_once(lake, source, tmp_path / f"{blob.size}")

    def test_a_document_that_ends_otherwise_is_not_read_on(
        self, account: Azurite, source: BlobSource, lake: Lake, tmp_path: Path
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        blob.put_block(OTHER + b"]")
        blob.commit(end=b"}\n")
        land(lake, source)
        assert (blob_of(lake).tuples, blob_of(lake).problem_count) == (2, 0)
        assert (blob_of(lake).blocks, blob_of(lake).cursor) == (1, None)
        check_as_landed_at_once(lake, source, tmp_path)

    def test_an_array_behind_the_records_is_not_read_on(
        self, account: Azurite, source: BlobSource, lake: Lake, tmp_path: Path
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        blob.grow(OTHER)
        land(lake, source)
        for is_read_on, data in ((True, b"," + OTHER + b'],"more":[1'), (False, b"," + OTHER)):
            blob.put_block(data)
            assert land(lake, source).blobs_read_on == is_read_on
            assert (blob_of(lake).tuples, blob_of(lake).cursor) == (4, None)
            check_as_landed_at_once(lake, source, tmp_path / f"{blob.size}")

    def test_records_with_problems_are_counted_on(
        self, account: Azurite, source: BlobSource, lake: Lake, tmp_path: Path
    ) -> None:
        blob = GrowingBlob(account, blob_name())
        foreign = json.dumps({"category": "AuditEvent"}).encode()
        # The lake keeps the first twenty of a blob's problems.
        for count in range(1, 8):
            blob.grow(*[foreign] * 4, b'{"a":}', OTHER)
            landed = land(lake, source)
            assert landed.blobs_read_on == (1 < count <= 4)
            assert blob_of(lake).problem_count == 5 * count
            check_as_landed_at_once(lake, source, tmp_path / str(count))


class RestlessAccount(AccountSource):
    """An account in which something happens before a request for a block list or for content."""

    def __init__(
        self,
        azurite: Azurite,
        *,
        before_blocks: Callable[[], object] | None = None,
        before_read: Callable[[], object] | None = None,
        times: int = 1,
    ) -> None:
        super().__init__(location(azurite), VNET_CONTAINER)
        self._before = {"blocks": before_blocks, "read": before_read}
        self._times = times

    def blocks(self, blob: ListedBlob) -> Any:
        self._happen("blocks")
        return super().blocks(blob)

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        self._happen("read")
        yield from super().read(blob, start)

    def _happen(self, what: str) -> None:
        happening = self._before[what]
        if happening is not None and self._times:
            self._times -= 1
            happening()


class TestBetweenListingAndReading:
    @pytest.fixture
    def blob(self, account: Azurite, source: BlobSource, lake: Lake) -> GrowingBlob:
        """Landed, grown since; with a neighbour on each side that is as it was."""
        for mac in "AC":
            GrowingBlob(account, blob_name(mac=mac)).grow(written(flow(HOUR, port=1)))
        blob = GrowingBlob(account, blob_name(mac="B"))
        blob.grow(written(flow(HOUR)))
        land(lake, source)
        blob.grow(written(flow(HOUR + MINUTE)))
        return blob

    @pytest.mark.parametrize("when", ["before_blocks", "before_read"])
    def test_a_blob_that_grows_is_looked_at_again_and_no_other(
        self, account: Azurite, lake: Lake, blob: GrowingBlob, requests: RequestLog,
        tmp_path: Path, when: str,
    ) -> None:  # fmt: skip
        def grow() -> None:
            blob.grow(written(flow(HOUR + 2 * MINUTE)))

        happening: dict[str, Any] = {when: grow}
        source = RestlessAccount(account, **happening)
        list(source.list_hour(HOUR))
        requests.requests.clear()
        landed = land(lake, source)
        assert (landed.blobs_read, landed.blobs_read_on) == (1, 1)
        found = requests.counts()
        assert (found["list"], found["look"]) == (1, 1)
        check_as_landed_at_once(lake, source, tmp_path)
        source.close()

    @pytest.mark.parametrize("when", ["before_blocks", "before_read"])
    def test_a_blob_that_is_deleted_keeps_what_was_landed(
        self, account: Azurite, lake: Lake, blob: GrowingBlob, when: str
    ) -> None:
        before = rows(lake)
        happening: dict[str, Any] = {when: blob.delete}
        source = RestlessAccount(account, **happening)
        landed = land(lake, source, HOUR + 31 * MINUTE)
        assert not landed.changed
        assert rows(lake) == before
        gone = [blob.gone_at for blob in landing(lake).manifest.blobs]
        assert gone == [None, HOUR + 31 * MINUTE, None]
        source.close()

    @pytest.mark.usefixtures("blob")
    def test_a_new_blob_that_is_deleted_is_not_there(
        self, account: Azurite, lake: Lake, source: BlobSource
    ) -> None:
        land(lake, source)
        newcomer = GrowingBlob(account, blob_name(mac="BB"))
        newcomer.grow(written(flow(HOUR)))
        before = rows(lake)
        restless = RestlessAccount(account, before_read=newcomer.delete)
        assert land(lake, restless).blobs == 3
        assert rows(lake) == before
        restless.close()

    def test_a_blob_that_is_rewritten_is_replaced(
        self, account: Azurite, lake: Lake, blob: GrowingBlob, tmp_path: Path
    ) -> None:
        def rewrite() -> None:
            blob.shrink(0)
            blob.grow(written(flow(HOUR, port=7)))

        source = RestlessAccount(account, before_read=rewrite)
        landed = land(lake, source)
        assert [row["dst_port"] for row in rows(lake)] == [1, 7, 1]
        assert landed.blobs_read_on == 0
        check_as_landed_at_once(lake, source, tmp_path)
        source.close()

    def test_a_blob_that_never_rests_is_an_error_and_changes_nothing(
        self, account: Azurite, lake: Lake, blob: GrowingBlob
    ) -> None:
        before = landing(lake)

        def grow() -> None:
            blob.grow(written(flow(HOUR)))

        source = RestlessAccount(account, before_read=grow, times=100)
        with pytest.raises(BlobChanged, match="changed after it was listed"):
            land(lake, source)
        assert landing(lake) == before
        assert list(lake.root.rglob("*.parquet")) == [before.file.path]
        source.close()


class TestLookingBack:
    def test_fetches_only_what_changed(
        self, account: Azurite, source: BlobSource, lake: Lake, requests: RequestLog
    ) -> None:
        hours = [HOUR - timedelta(hours=back) for back in range(6, -1, -1)]
        blobs = {hour: GrowingBlob(account, blob_name(hour)) for hour in hours}
        for hour, blob in blobs.items():
            blob.grow(written(flow(hour)))
        for hour in hours:
            land(lake, source, hour=hour)
        before = lake.existing(LANDED_TUPLES)
        late = hours[2]
        blobs[late].grow(written(flow(late + MINUTE)))
        requests.requests.clear()
        landed = [land(lake, source, HOUR + 31 * MINUTE, hour) for hour in hours]
        assert requests.counts() == {"list": 7, "block list": 1, "read": 1}
        assert [each.hour for each in landed if each.changed] == [late]
        after = lake.existing(LANDED_TUPLES)
        rewritten = {f.partition for f in after.files} - {
            f.partition for f in after.files if f in before.files
        }
        # The hour that is not over is written anew: when it was looked at has moved.
        assert rewritten == {written_partition(late), written_partition(HOUR)}

    def test_a_flow_that_comes_hours_late_ends_in_its_own_hour_and_day(
        self, tmp_path: Path
    ) -> None:
        logs = tmp_path / "logs"
        evening, night = datetime(2025, 11, 1, 22), datetime(2025, 11, 2, 1)
        half = 30 * MINUTE
        put_flows(logs, flow(evening + half, port=1), hour=evening)
        put_flows(logs, flow(night + half, port=2), hour=night)
        pipeline = pipeline_over(tmp_path / "lake", logs)
        end = night + timedelta(hours=1)
        assert bring_up_to_date(pipeline, evening, end).failures == ()
        before = file_names(pipeline, "landed_tuples", "fct_flows", "top_ports_daily")
        # What Azure appends at night is of the evening before. Only the night is looked at again.
        late = [flow(night + half, port=2), flow(evening + half, port=3)]
        put_flows(logs, *late, hour=night)
        assert bring_up_to_date(pipeline, night, end).failures == ()

        hours = "select date, hour, dst_port from fct_flows order by all"
        day, next_day = evening.date(), night.date()
        assert ask(pipeline, hours) == [
            (day, 22, 1), (day, 22, 3), (next_day, 1, 2)
        ]  # fmt: skip
        days = "select date, port, flows from top_ports_daily where port is not null order by all"
        assert ask(pipeline, days) == [(day, 1, 1), (day, 3, 1), (next_day, 2, 1)]
        landed = "select date, hour, dst_port from flow_records where written_hour = 1 order by all"
        assert ask(pipeline, landed) == [(day, 22, 3), (next_day, 1, 2)]
        after = file_names(pipeline, "landed_tuples", "fct_flows", "top_ports_daily")
        rebuilt = {name for name in after if after[name] != before.get(name)}
        assert rebuilt == {
            "landed_tuples/written_date=2025-11-02/written_hour=1",
            "fct_flows/date=2025-11-01/hour=22",
            "fct_flows/date=2025-11-02/hour=1",
            "top_ports_daily/date=2025-11-01",
            "top_ports_daily/date=2025-11-02",
        }


class TestListing:
    RESOURCES, HOURS, NICS = 4, 24, 6

    def test_an_hour_of_many_costs_a_request_a_resource(
        self, account: Azurite, source: BlobSource, requests: RequestLog
    ) -> None:
        day = HOUR.replace(hour=0)
        names = [
            blob_name(day + timedelta(hours=hour), f"{nic:012}").replace(
                "WESTEUROPE_F/", f"WESTEUROPE_F{resource}/"
            )
            for resource in range(self.RESOURCES)
            for hour in range(self.HOURS)
            for nic in range(self.NICS)
        ]
        container = account.service.get_container_client(VNET_CONTAINER)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: container.upload_blob(name.partition("/")[2], b"{}"), names))
        requests.requests.clear()
        found = list(source.list_hour(HOUR))
        assert len(found) == self.RESOURCES * self.NICS
        assert {blob.written_hour for blob in found} == {HOUR}
        prefix = "flowLogResourceID=/S_NETWORKWATCHERRG/"
        resources = [f"{prefix}NETWORKWATCHER_WESTEUROPE_F{n}/" for n in range(self.RESOURCES)]
        of_hour = sorted(f"{resource}y=2026/m=11/d=01/h=05/" for resource in resources)
        # Once a run: the three levels above the resources, and each resource's years.
        above = ["", "flowLogResourceID=/", prefix]
        assert sorted(requests.listed_prefixes()) == sorted([*above, *resources, *of_hour])
        requests.requests.clear()
        assert len(list(source.list_hour(HOUR + timedelta(hours=1)))) == len(found)
        assert len(requests.requests) == self.RESOURCES
