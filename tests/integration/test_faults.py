"""Faults of the network and the service: made up for where that helps, failed clearly where not.

Every test lands an hour of which the lake has a part, by way of a proxy that disturbs it. The hour
then either is what an undisturbed landing gives, row for row, or the lake is as it was before, and
the next landing gives that.
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
import requests
from azure.storage.blob import ContainerClient

from flow_pipeline.errors import (
    BlobChanged,
    BlobGone,
    BlobUnreadable,
    ContainerMissing,
    SourceDenied,
    SourceError,
    SourceUnreachable,
)
from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import connect
from flow_pipeline.landed_file import LANDED_TUPLES, read_landing
from flow_pipeline.landing import land_hour
from flow_pipeline.partitions import written_partition
from tests.integration.accounts import Account, Azurite
from tests.integration.fault_proxy import (
    Exchange,
    Fault,
    FaultProxy,
    Response,
    Which,
    change,
    close_early,
    fault_proxy,
    flip,
    is_block_list,
    is_content,
    is_listing,
    is_next_page,
    meanwhile,
    of,
    reset,
    shorten,
    stall,
    status,
)
from tests.unit.blobs import HOUR, MINUTE, blob_name, flow, record

pytestmark = [
    pytest.mark.integration,
    # requests leaves a connection whose body broke off to the garbage collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket"),
]

# Two that the lake has, of which one grows; two that are new, of which one needs two requests.
OLD, GROWING, NEW, LARGE = "A0", "B1", "C2", "D3"
CHUNK = 4 * 1024 * 1024
is_of_growing = of(GROWING)
is_of_new = of(NEW)
is_of_large = of(LARGE)


def records_of(*counts: int, hour: datetime = HOUR) -> list[bytes]:
    """Records of so many tuples, one a minute, every tuple another."""
    return [
        json.dumps(
            record(
                [flow(hour + minute * MINUTE, src=f"198.51.{minute}.{no}") for no in range(count)],
                hour + minute * MINUTE,
            )
        ).encode()
        for minute, count in enumerate(counts, start=1)
    ]


def large() -> list[bytes]:
    """Two records, the second of which is in the second chunk."""
    first, second = records_of(13, 17)
    padding = b'{"of a later version": "' + b"x" * (CHUNK + CHUNK // 4) + b'", '
    return [first.replace(b"{", padding, 1), second]


@dataclass(frozen=True)
class Landed:
    """What a lake holds of an hour, but for the moments at which it was looked at."""

    rows: list[tuple[Any, ...]]
    blobs: list[tuple[Any, ...]]
    landing_ids: list[str]


@dataclass
class Scene:
    """An account behind a proxy, and a lake that has a part of it."""

    account: Account
    proxy: FaultProxy
    lake: Lake
    whole: Landed

    def land(self, hour: datetime = HOUR) -> Landed:
        return landed(self.account, self.lake, hour)


def landed(account: Account, lake: Lake, hour: datetime) -> Landed:
    """Land an hour a while after it ended, and read it back."""
    source = account.open(VNET_CONTAINER)
    try:
        land_hour(lake, [source], hour, lambda: hour + timedelta(hours=2))
    finally:
        source.close()
    return held_by(lake, hour)


def held_by(lake: Lake, hour: datetime) -> Landed:
    written = f"written_date = '{hour:%Y-%m-%d}' and written_hour = {hour.hour}"
    with connect(lake) as connection:
        rows = connection.execute(
            f"select * from landed_tuples where {written} "
            "order by source, blob, record_no, flow_no, group_no, tuple_no"
        ).fetchall()
        blobs = connection.execute(
            f"select * exclude (landed_at, listed_at) from landed_blobs where {written} "
            "order by source, blob"
        ).fetchall()
    files = lake.existing(LANDED_TUPLES).files_of(written_partition(hour))
    return Landed(rows, blobs, [read_landing(file).manifest.landing_id for file in files])


def on_disk(lake: Lake) -> dict[str, bytes]:
    """Every file of a lake, staged ones and the logs included."""
    return {str(p): p.read_bytes() for p in sorted(lake.root.rglob("*")) if p.is_file()}


def copy_of(lake: Lake, directory: Path) -> Lake:
    return Lake.open(Path(shutil.copytree(lake.root, directory / "lake")))


def whole_text(failure: BaseException) -> str:
    """What a log would show of a failure: its message, its causes and their stack traces."""
    return "".join(traceback.format_exception(failure))


@pytest.fixture(autouse=True)
def no_socket_left_to_other_tests() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(scope="module")
def disturbed(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The scene, made once; each test gets a lake of its own from it."""
    azurite.service.create_container(VNET_CONTAINER)
    with fault_proxy(azurite.endpoint) as (proxy, endpoint):
        account = Account(azurite, endpoint)
        account.put(blob_name(mac=OLD), records_of(3))
        account.put(blob_name(mac=GROWING), records_of(5))
        lake = Lake.open(tmp_path_factory.mktemp("before") / "lake")
        landed(account, lake, HOUR)
        account.put(blob_name(mac=GROWING), records_of(5, 7))
        account.put(blob_name(mac=NEW), records_of(11))
        account.put(blob_name(mac=LARGE), large())
        twin = copy_of(lake, tmp_path_factory.mktemp("twin"))
        whole = landed(account, twin, HOUR)
        # 3, 5 + 7, 11 and 13 + 17 tuples.
        assert len(whole.rows) == 56
        assert len(whole.blobs) == 4
        yield Scene(account, proxy, lake, whole)
    azurite.service.delete_container(VNET_CONTAINER)


@pytest.fixture
def scene(disturbed: Scene, tmp_path: Path) -> Scene:
    disturbed.proxy.calm()
    disturbed.proxy.page_size = None
    return replace(disturbed, lake=copy_of(disturbed.lake, tmp_path))


# ------------------------------------------------------------------------------ faults that pass


def with_other_etag(response: Response) -> Response:
    return response.with_header("ETag", '"0x8DEADBEEFDEAD"')


def without_a_range(response: Response) -> Response:
    return replace(response.without_header("Content-Range"), status=200)


def with_a_strange_range(response: Response) -> Response:
    return response.with_header("Content-Range", "bytes all")


def without_a_message(response: Response) -> Response:
    body = b"<?xml version='1.0'?><Error><Code>InvalidRange</Code></Error>"
    return replace(response.with_body(body), status=416).with_header(
        "Content-Type", "application/xml"
    )


def as_a_web_page(response: Response) -> Response:
    page = b"<!doctype html><title>Sign in to the network</title><p>Welcome<br>"
    return replace(response.with_body(page), status=200).with_header("Content-Type", "text/html")


PASSING: dict[str, tuple[Fault, Which, int]] = {
    "reset before a listing": (reset(-1), is_listing, 2),
    "reset within a listing": (reset(100), is_listing, 2),
    "a listing that is shorter than it says": (close_early(100), is_listing, 2),
    "a listing that stalls": (stall(100), is_listing, 2),
    "a busy service while listing": (status(503, "ServerBusy"), is_listing, 2),
    "too many requests while listing": (status(429, "TooManyRequests"), is_listing, 2),
    "reset before a block list": (reset(-1), is_block_list, 1),
    "reset within a block list": (reset(20), is_block_list, 1),
    "a busy service asked for a block list": (status(503, "ServerBusy"), is_block_list, 1),
    "another ETag of a block list": (change(with_other_etag), is_block_list, 1),
    "reset before the content": (reset(-1), is_of_new, 1),
    "reset within the content": (reset(50), is_of_new, 1),
    "reset within what is new of a blob": (reset(50), is_of_growing, 1),
    "reset within the first chunk": (reset(CHUNK // 2), is_of_large, 1),
    "reset within the second chunk": (reset(CHUNK // 8), is_of_large, 2),
    "a chunk that is shorter than it says": (close_early(CHUNK // 8), is_of_large, 2),
    "content that stalls before it begins": (stall(-1), is_of_new, 1),
    "content that stalls": (stall(50), is_of_new, 1),
    "a second chunk that stalls": (stall(CHUNK // 8), is_of_large, 2),
    "a first chunk that ends early": (shorten(CHUNK // 2), is_of_large, 1),
    "a second chunk that ends early": (shorten(CHUNK // 8), is_of_large, 2),
    "content that ends early": (shorten(50), is_of_new, 1),
    "what is new ends early": (shorten(50), is_of_growing, 1),
    "no content at all": (shorten(0), is_of_new, 1),
    "a bit that is another": (flip(-100), is_of_new, 1),
    "a bit of what is new that is another": (flip(-100), is_of_growing, 1),
    "a bit of the second chunk that is another": (flip(-100), is_of_large, 2),
    "another ETag": (change(with_other_etag), is_of_new, 1),
    "another ETag of the second chunk": (change(with_other_etag), is_of_large, 2),
    "an answer that names no range": (change(without_a_range), is_of_new, 1),
    "an answer that names a strange range": (change(with_a_strange_range), is_of_large, 2),
    "a web page in place of content": (change(as_a_web_page), is_of_new, 1),
    "an error without a message": (change(without_a_message), is_of_new, 1),
    "time-out of the service": (status(408, "OperationTimedOut"), is_of_new, 1),
    "too many requests": (status(429, "TooManyRequests"), is_of_new, 1),
    "an error of the service": (status(500, "InternalError"), is_of_new, 1),
    "a bad gateway": (status(502, "BadGateway"), is_of_new, 1),
    "a busy service": (status(503, "ServerBusy"), is_of_large, 2),
    "a Retry-After that is no time": (status(503, "ServerBusy", Retry_After="soon"), is_of_new, 1),
    "changed, it says": (status(412, "ConditionNotMet"), is_of_new, 1),
    "gone, it says": (status(404, "BlobNotFound"), is_of_new, 1),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_leaves_no_trace(scene: Scene, name: str) -> None:
    fault, on, first = PASSING[name]
    scene.proxy.script(fault, on=on, first=first)
    assert scene.land() == scene.whole
    assert scene.proxy.faults_met == 1


@pytest.mark.parametrize("on", [is_listing, is_of_new], ids=["listing", "content"])
def test_a_network_that_is_away_for_a_moment(scene: Scene, on: Which) -> None:
    timers = []

    def go_away(exchange: Exchange) -> None:
        # The second try comes at once and is refused, the third and fourth after 0.1 and 0.2 more.
        timers.append(scene.proxy.down_for(0.15))
        exchange.reset()

    scene.proxy.script(go_away, on=on)
    assert scene.land() == scene.whole
    assert scene.proxy.faults_met == 1
    timers[0].join()


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("on", [is_listing, is_of_new], ids=["listing", "content"])
@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_the_service_is_left_alone_for_as_long_as_it_asks(
    scene: Scene, on: Which, code: int, as_date: bool
) -> None:
    def busy(exchange: Exchange) -> None:
        # A date has whole seconds: of three asked for at least two are left.
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
        status(code, "ServerBusy", Retry_After=later if as_date else "2")(exchange)

    scene.proxy.script(busy, on=on)
    assert scene.land() == scene.whole
    first, second, *_ = [request.at for request in scene.proxy.asked(on)]
    assert second - first > 1.9


def test_many_faults_one_after_the_other(scene: Scene) -> None:
    scene.proxy.script(status(503, "ServerBusy"), on=is_listing, first=1, times=2)
    scene.proxy.script(reset(60), on=is_of_new)
    scene.proxy.script(status(412, "ConditionNotMet"), on=is_of_growing)
    scene.proxy.script(reset(-1), on=is_of_large)
    scene.proxy.script(shorten(CHUNK // 8), on=is_of_large, first=3)
    assert scene.land() == scene.whole
    assert scene.proxy.faults_met == 6


# ------------------------------------------------------------------------- faults that do not pass

Failing = tuple[Fault, Which, type[SourceError], str]
FAILING: dict[str, Failing] = {
    "listings are refused": (
        status(403, "AuthorizationFailure"),
        is_listing,
        SourceDenied,
        "network rules",
    ),
    "the credential has expired": (
        status(403, "AuthenticationFailed"),
        is_of_large,
        SourceDenied,
        "has not expired",
    ),
    "reading is not allowed": (
        status(403, "AuthorizationPermissionMismatch"),
        is_content,
        SourceDenied,
        "AuthorizationPermissionMismatch",
    ),
    "nobody is signed in": (
        status(401, "NoAuthenticationInformation"),
        is_content,
        SourceDenied,
        "",
    ),
    "the container is deleted": (
        status(404, "ContainerNotFound"),
        is_listing,
        ContainerMissing,
        "no container",
    ),
    "listings are reset": (reset(100), is_listing, SourceUnreachable, "broke off"),
    "listings stall": (stall(100), is_listing, SourceUnreachable, "no answer in time"),
    "listings conflict": (status(409, "Conflict"), is_listing, SourceUnreachable, "Conflict"),
    "listings are too many": (
        status(429, "TooManyRequests"),
        is_listing,
        SourceUnreachable,
        "TooManyRequests",
    ),
    "listings end early": (shorten(200), is_listing, SourceUnreachable, "does not answer as"),
    "listings are empty": (shorten(0), is_listing, SourceUnreachable, "does not answer as"),
    "listings are web pages": (
        change(as_a_web_page),
        is_listing,
        SourceUnreachable,
        "does not answer as",
    ),
    "a block list is another's": (change(with_other_etag), is_block_list, BlobChanged, GROWING),
    "a block list ends early": (shorten(60), is_block_list, BlobUnreadable, GROWING),
    "a block list is a web page": (change(as_a_web_page), is_block_list, BlobUnreadable, GROWING),
    "reset before the content": (reset(-1), is_of_new, BlobUnreadable, NEW),
    "reset within the content": (reset(50), is_of_new, BlobUnreadable, "broke off"),
    "reset within the second chunk": (reset(CHUNK // 8), is_of_large, BlobUnreadable, LARGE),
    "content stalls": (stall(50), is_of_new, BlobUnreadable, "no answer in time"),
    "content is shorter than it says": (close_early(50), is_of_new, BlobUnreadable, NEW),
    "content ends early": (shorten(50), is_of_new, BlobUnreadable, "incomplete or damaged"),
    "there is no content": (shorten(0), is_of_new, BlobUnreadable, NEW),
    "content is damaged": (flip(-100), is_of_new, BlobUnreadable, "incomplete or damaged"),
    "what is new is damaged": (flip(-100), is_of_growing, BlobUnreadable, GROWING),
    "content has another ETag": (change(with_other_etag), is_of_new, BlobChanged, NEW),
    "answers name no range": (change(without_a_range), is_of_new, BlobUnreadable, NEW),
    "answers are web pages": (change(as_a_web_page), is_of_new, BlobUnreadable, NEW),
    "errors have no message": (change(without_a_message), is_of_new, BlobUnreadable, NEW),
    "always gone": (status(404, "BlobNotFound"), is_of_new, BlobGone, "is gone"),
    "archived": (status(409, "BlobArchived"), is_of_new, BlobUnreadable, "BlobArchived"),
    "always changed": (status(412, "ConditionNotMet"), is_of_new, BlobChanged, "changed after"),
    "always busy": (status(503, "ServerBusy"), is_of_new, BlobUnreadable, "ServerBusy"),
    "too many requests": (status(429, "TooManyRequests"), is_of_new, BlobUnreadable, NEW),
    "asked to come back tomorrow": (
        status(503, "ServerBusy", Retry_After="86400"),
        is_of_new,
        BlobUnreadable,
        "ServerBusy",
    ),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_does_not_pass_fails_clearly_and_changes_nothing(
    scene: Scene, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault, on, expected, told = FAILING[name]
    # The first listing is the one that opens the source.
    scene.proxy.script(fault, on=on, first=2 if on is is_listing else 1, times=None)
    before = on_disk(scene.lake)
    with caplog.at_level(logging.INFO), pytest.raises(SourceError) as caught:
        scene.land()
    assert scene.proxy.faults_met
    assert type(caught.value) is expected
    assert told in str(caught.value)
    assert_names_culprit_and_way_out(scene, caught.value, caplog.text)
    assert on_disk(scene.lake) == before
    scene.proxy.calm()
    assert scene.land() == scene.whole


def assert_names_culprit_and_way_out(scene: Scene, failure: SourceError, logged: str) -> None:
    named = (scene.account.endpoint, VNET_CONTAINER)
    assert all(name in failure.culprit for name in named)
    assert failure.expected.startswith("Expected ")
    assert failure.remedy
    signature = parse_qs(scene.account.sas)["sig"][0]
    shown = unquote(whole_text(failure) + logged)
    assert "sig=" not in whole_text(failure)
    assert signature not in shown
    assert scene.account.azurite.key not in shown


def test_a_network_that_is_away(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    before = on_disk(scene.lake)
    scene.proxy.down()
    try:
        with caplog.at_level(logging.INFO), pytest.raises(SourceUnreachable) as caught:
            scene.land()
    finally:
        scene.proxy.up()
    assert "Connection refused" in str(caught.value)
    assert_names_culprit_and_way_out(scene, caught.value, caplog.text)
    assert on_disk(scene.lake) == before
    assert scene.land() == scene.whole


def test_a_service_that_asks_for_a_day_is_not_waited_for(scene: Scene) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    for wait in ("86400", later):
        scene.proxy.calm()
        scene.proxy.script(status(429, "TooManyRequests", Retry_After=wait), on=is_of_new)
        started = time.monotonic()
        with pytest.raises(BlobUnreadable):
            scene.land()
        assert time.monotonic() - started < 20
        assert len(scene.proxy.asked(is_of_new)) == 1


# ------------------------------------------------------------------------------- pages of a listing


def test_a_listing_of_several_pages_is_whole(scene: Scene) -> None:
    scene.proxy.page_size = 1
    assert scene.land() == scene.whole
    assert len(scene.proxy.asked(is_next_page)) >= 3


@pytest.mark.parametrize(
    "fault",
    [reset(-1), reset(100), status(503, "ServerBusy"), close_early(10)],
    ids=["reset", "reset within", "busy", "short"],
)
def test_a_page_that_fails_once(scene: Scene, fault: Fault) -> None:
    scene.proxy.page_size = 1
    scene.proxy.script(fault, on=is_next_page, first=2)
    assert scene.land() == scene.whole
    assert scene.proxy.faults_met == 1


@pytest.mark.parametrize(
    "fault",
    [reset(-1), status(503, "ServerBusy"), status(400, "InvalidQueryParameterValue"), shorten(200)],
    ids=["reset", "busy", "refused", "short"],
)
def test_a_page_that_always_fails_is_no_end_of_the_listing(scene: Scene, fault: Fault) -> None:
    scene.proxy.page_size = 1
    scene.proxy.script(fault, on=is_next_page, first=2, times=None)
    before = on_disk(scene.lake)
    with pytest.raises(SourceUnreachable):
        scene.land()
    assert on_disk(scene.lake) == before
    scene.proxy.calm()
    assert scene.land() == scene.whole


# ---------------------------------------------------- blobs that change between listing and reading

# Each test has hours of its own, for what it changes stays changed.
_hours = iter(HOUR + timedelta(hours=n) for n in range(100, 200))


@dataclass
class Restless:
    """An hour of a blob that the lake has and one that it has not, and a lake to compare with."""

    scene: Scene
    twin: Lake
    hour: datetime

    def name(self, mac: str) -> str:
        return blob_name(self.hour, mac)

    def put(self, mac: str, *counts: int) -> None:
        self.scene.account.put(self.name(mac), records_of(*counts, hour=self.hour))

    def land(self) -> Landed:
        return self.scene.land(self.hour)

    def undisturbed(self) -> Landed:
        """What a landing gives now that all is quiet."""
        self.scene.proxy.calm()
        return landed(self.scene.account, self.twin, self.hour)


@pytest.fixture
def restless(scene: Scene, tmp_path: Path) -> Restless:
    found = Restless(scene, scene.lake, next(_hours))
    found.put(OLD, 3, 4)
    found.put(GROWING, 5, 6)
    found.land()
    found.twin = copy_of(scene.lake, tmp_path / "twin")
    found.put(GROWING, 5, 6, 7)
    found.put(NEW, 8, 9)
    scene.proxy.calm()
    return found


Change = Callable[[Restless], object]


def grow_new(it: Restless) -> None:
    it.put(NEW, 8, 9, 10)


def grow_known(it: Restless) -> None:
    it.put(GROWING, 5, 6, 7, 10)


def shrink_new(it: Restless) -> None:
    it.put(NEW, 8)


def shrink_known(it: Restless) -> None:
    it.put(GROWING, 5)


def rewrite_new(it: Restless) -> None:
    it.put(NEW, 9, 8)


def rewrite_known(it: Restless) -> None:
    it.put(GROWING, 6, 5, 7)


def copy_known(it: Restless) -> None:
    content = b'{"records":[' + b",".join(records_of(5, 6, 7, 8, hour=it.hour)) + b"]}"
    it.scene.account.put_at_once(it.name(GROWING), content)


def delete_new(it: Restless) -> None:
    it.scene.account.delete(it.name(NEW))


def delete_known(it: Restless) -> None:
    it.scene.account.delete(it.name(GROWING))


CHANGES: dict[str, tuple[Change, Which]] = {
    "a new blob grows": (grow_new, is_of_new),
    "a new blob shrinks": (shrink_new, is_of_new),
    "a new blob is rewritten": (rewrite_new, is_of_new),
    "a new blob vanishes": (delete_new, is_of_new),
    "a known blob grows before its blocks are asked for": (grow_known, is_block_list),
    "a known blob grows before it is read on": (grow_known, is_of_growing),
    "a known blob shrinks before its blocks are asked for": (shrink_known, is_block_list),
    "a known blob shrinks before it is read on": (shrink_known, is_of_growing),
    "a known blob is rewritten before its blocks are asked for": (rewrite_known, is_block_list),
    "a known blob is rewritten before it is read on": (rewrite_known, is_of_growing),
    "a known blob is put at once before its blocks are asked for": (copy_known, is_block_list),
    "a known blob is put at once before it is read on": (copy_known, is_of_growing),
    "a known blob vanishes before its blocks are asked for": (delete_known, is_block_list),
    "a known blob vanishes before it is read on": (delete_known, is_of_growing),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_blob_that_changes_after_it_was_listed_is_landed_as_it_is_then(
    restless: Restless, name: str
) -> None:
    action, on = CHANGES[name]
    restless.scene.proxy.script(meanwhile(lambda: action(restless)), on=on)
    found = restless.land()
    assert restless.scene.proxy.faults_met == 1
    assert found == restless.undisturbed()


def test_a_known_blob_that_vanishes_keeps_its_rows(restless: Restless) -> None:
    restless.scene.proxy.script(meanwhile(lambda: delete_known(restless)), on=is_of_growing)
    restless.land()
    with connect(restless.scene.lake) as connection:
        found = connection.execute(
            "select blob, tuples, gone_at from landed_blobs where blob in (?, ?) order by blob",
            [restless.name(GROWING), restless.name(NEW)],
        ).fetchall()
    # 5 + 6 tuples are what the lake had; 8 + 9 are new.
    gone_at = restless.hour + timedelta(hours=2)
    assert found == [(restless.name(GROWING), 11, gone_at), (restless.name(NEW), 17, None)]


def test_a_large_blob_that_changes_between_its_chunks(restless: Restless) -> None:
    restless.scene.account.put(restless.name(LARGE), large())

    def rewrite() -> None:
        restless.scene.account.put(restless.name(LARGE), [*large(), *records_of(2)])

    restless.scene.proxy.script(meanwhile(rewrite), on=is_of_large, first=2)
    found = restless.land()
    assert restless.scene.proxy.faults_met == 1
    assert found == restless.undisturbed()


def test_a_blob_that_never_rests(restless: Restless) -> None:
    counts = iter(range(1, 1000))
    restless.scene.proxy.script(
        meanwhile(lambda: restless.put(NEW, next(counts) % 200)), on=is_of_new, times=None
    )
    before = on_disk(restless.scene.lake)
    with pytest.raises(BlobChanged) as caught:
        restless.land()
    assert_names_culprit_and_way_out(restless.scene, caught.value, "")
    assert on_disk(restless.scene.lake) == before
    undisturbed = restless.undisturbed()
    assert restless.land() == undisturbed


# ------------------------------------------------- what the client does by itself (decision 0010)


def by_the_client(scene: Scene, **options: Any) -> bytes:
    """The large blob, as the client downloads it."""
    url = f"{scene.account.endpoint}/{VNET_CONTAINER}?{scene.account.sas}"
    path = blob_name(mac=LARGE).removeprefix(f"{VNET_CONTAINER}/")
    sizes: dict[str, Any] = {"max_single_get_size": CHUNK, "max_chunk_get_size": CHUNK}
    with ContainerClient.from_container_url(url, **sizes) as client:
        return b"".join(client.download_blob(path, **options).chunks())


def test_the_client_takes_a_short_range_for_whole(scene: Scene) -> None:
    whole = by_the_client(scene)
    scene.proxy.script(shorten(1000), on=is_of_large, first=2)
    assert len(by_the_client(scene)) == CHUNK + 1000 < len(whole)


def test_the_client_does_not_try_again_what_breaks_while_it_validates(scene: Scene) -> None:
    scene.proxy.script(reset(1000), on=is_of_large)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        by_the_client(scene, validate_content=True)
