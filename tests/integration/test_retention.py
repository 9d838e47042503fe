"""Blobs that Azure's retention deleted before their hour is landed again: history is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flow_pipeline.errors import ContainerMissing
from flow_pipeline.flowlog.blob_source import BlobSource
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import connect
from flow_pipeline.landing import LandedHour, land_hour
from flow_pipeline.partitions import HOUR as AN_HOUR
from tests.integration.accounts import Account, Azurite
from tests.integration.lakes import ask, bring_up_to_date, file_names, pipeline_over, tables_of
from tests.unit.blobs import blob_name, document, flow, put, record

pytestmark = pytest.mark.integration

HOUR = datetime(2025, 11, 1, 5)
FIRST = HOUR + timedelta(hours=2)
SECOND = HOUR + timedelta(days=30)
THIRD = HOUR + timedelta(days=31)
A, B = (blob_name(HOUR, mac) for mac in "AB")


def content_of(count: int) -> bytes:
    return document(record([flow(HOUR, src=f"198.51.100.{n}") for n in range(count)], HOUR))


class Store:
    """Blobs in a folder or in an account, put and deleted in the same way."""

    def __init__(self, folder: Path | None, account: Account | None) -> None:
        self._folder = folder
        self._account = account

    def put(self, mac: str, count: int) -> None:
        if self._folder is not None:
            put(self._folder, content_of(count), HOUR, mac)
        else:
            assert self._account is not None
            self._account.put_at_once(blob_name(HOUR, mac), content_of(count))

    def delete(self, blob: str) -> None:
        if self._folder is not None:
            (self._folder / blob).unlink()
        else:
            assert self._account is not None
            self._account.delete(blob)

    def open(self) -> BlobSource:
        if self._folder is not None:
            return FolderSource(self._folder)
        assert self._account is not None
        return self._account.open(VNET_CONTAINER)


@pytest.fixture(params=["folder", "account"])
def store(request: pytest.FixtureRequest, azurite: Azurite, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        (tmp_path / "logs" / VNET_CONTAINER).mkdir(parents=True)
        yield Store(tmp_path / "logs", None)
        return
    azurite.service.create_container(VNET_CONTAINER)
    yield Store(None, Account(azurite, azurite.endpoint))
    azurite.service.delete_container(VNET_CONTAINER)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


def land(lake: Lake, store: Store, at: datetime) -> LandedHour:
    source = store.open()
    try:
        return land_hour(lake, [source], HOUR, lambda: at)
    finally:
        source.close()


def blobs(lake: Lake) -> list[tuple[Any, ...]]:
    with connect(lake) as connection:
        return connection.execute(
            "select blob, tuples, gone_at from landed_blobs order by blob"
        ).fetchall()


def rows(lake: Lake) -> list[tuple[Any, ...]]:
    with connect(lake) as connection:
        return connection.execute(
            "select * from landed_tuples order by blob, record_no, flow_no, group_no, tuple_no"
        ).fetchall()


def test_a_deleted_blob_keeps_its_rows_and_the_time_it_was_missed_first(
    lake: Lake, store: Store
) -> None:
    store.put("A", 3)
    store.put("B", 5)
    land(lake, store, FIRST)
    before = rows(lake)
    assert blobs(lake) == [(A, 3, None), (B, 5, None)]

    store.delete(A)
    landed = land(lake, store, SECOND)
    # What rests on the rows is not to be built again: they are the same.
    assert not landed.changed
    assert (landed.blobs, landed.blobs_read, landed.tuples) == (2, 0, 8)
    assert rows(lake) == before
    assert blobs(lake) == [(A, 3, SECOND), (B, 5, None)]

    land(lake, store, THIRD)
    assert blobs(lake) == [(A, 3, SECOND), (B, 5, None)]

    store.delete(B)
    land(lake, store, THIRD)
    assert rows(lake) == before
    assert blobs(lake) == [(A, 3, SECOND), (B, 5, THIRD)]


def test_a_blob_that_comes_back_is_not_gone(lake: Lake, store: Store) -> None:
    store.put("A", 3)
    store.put("B", 5)
    land(lake, store, FIRST)
    before = rows(lake)
    store.delete(A)
    land(lake, store, SECOND)
    store.put("A", 3)
    land(lake, store, THIRD)
    assert blobs(lake) == [(A, 3, None), (B, 5, None)]
    assert rows(lake) == before


def test_a_blob_that_comes_back_as_another_replaces_its_rows(lake: Lake, store: Store) -> None:
    store.put("A", 3)
    land(lake, store, FIRST)
    store.delete(A)
    land(lake, store, SECOND)
    store.put("A", 4)
    assert land(lake, store, THIRD).changed
    assert blobs(lake) == [(A, 4, None)]
    assert len(rows(lake)) == 4


def test_a_new_blob_does_not_bring_back_a_deleted_one(lake: Lake, store: Store) -> None:
    store.put("A", 3)
    land(lake, store, FIRST)
    store.delete(A)
    store.put("B", 5)
    land(lake, store, SECOND)
    assert blobs(lake) == [(A, 3, SECOND), (B, 5, None)]
    assert len(rows(lake)) == 8


def test_a_deleted_container_deletes_no_history(azurite: Azurite, lake: Lake) -> None:
    azurite.service.create_container(VNET_CONTAINER)
    store = Store(None, Account(azurite, azurite.endpoint))
    try:
        store.put("A", 3)
        land(lake, store, FIRST)
    finally:
        azurite.service.delete_container(VNET_CONTAINER)
    before = blobs(lake)
    with pytest.raises(ContainerMissing):
        land(lake, store, SECOND)
    assert blobs(lake) == before
    assert len(rows(lake)) == 3


def test_nothing_that_rests_on_deleted_blobs_is_built_again(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    put(logs, content_of(3), HOUR, "A")
    put(logs, content_of(5), HOUR, "B")
    pipeline = pipeline_over(tmp_path / "lake", logs)
    bring_up_to_date(pipeline, HOUR, HOUR + AN_HOUR)
    before = tables_of(pipeline)
    files = file_names(pipeline, "ip_lookup", "fct_flows", "top_ports_daily")
    (logs / A).unlink()
    bring_up_to_date(pipeline, HOUR, HOUR + AN_HOUR)
    assert tables_of(pipeline) == before
    assert file_names(pipeline, "ip_lookup", "fct_flows", "top_ports_daily") == files
    [[gone]] = ask(pipeline, "select count(*) from landed_blobs where gone_at is not null")
    assert gone == 1
