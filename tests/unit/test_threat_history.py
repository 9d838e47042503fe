"""The history of feeds: what was listed when, kept whatever becomes of the feed."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flow_pipeline.errors import ReferenceDataError, SettingError
from flow_pipeline.lake import Lake
from flow_pipeline.threat_history import (
    THREAT_ENTRIES,
    FeedState,
    feed_states,
    read_history,
    refresh_feeds,
)
from tests.unit.list_server import ListServer, list_server

LONG_AGO = datetime(2020, 1, 1)
Listed = tuple[str, str, datetime | None, datetime | None]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


def feed(path: Path, *entries: str) -> str:
    path.write_text("\n".join(["# a list", *entries]))
    return str(path)


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def entries(lake: Lake) -> list[Listed]:
    found = [
        (row["feed"], row["entry"], row["listed_from"], row["listed_to"])
        for file in lake.existing(THREAT_ENTRIES).files
        for row in pq.read_table(file.path).to_pylist()
    ]
    return sorted(found, key=lambda row: (row[0], row[1], row[2] or LONG_AGO))


def test_the_first_snapshot_is_listed_since_always(lake: Lake, tmp_path: Path) -> None:
    location = feed(tmp_path / "a.txt", "198.51.100.7", "203.0.113.0/24", "not an address")
    [state] = refresh_feeds(lake, [location])
    assert (state.feed, state.entries, state.ignored) == ("a.txt", 2, 1)
    assert state.changed
    assert state.failure is None
    assert entries(lake) == [
        ("a.txt", "198.51.100.7", None, None),
        ("a.txt", "203.0.113.0/24", None, None),
    ]


def test_an_unchanged_feed_is_not_written_again(lake: Lake, tmp_path: Path) -> None:
    location = feed(tmp_path / "a.txt", "198.51.100.7", "198.51.100.8")
    refresh_feeds(lake, [location])
    feed(tmp_path / "a.txt", "198.51.100.8  # another comment, another order", "198.51.100.7")
    [state] = refresh_feeds(lake, [location])
    assert (state.entries, state.changed) == (2, False)
    assert lake.existing(THREAT_ENTRIES).version == 1


def test_what_comes_and_goes_is_listed_for_its_time(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    location = feed(path, "198.51.100.7", "198.51.100.8")
    refresh_feeds(lake, [location])
    moments = [now()]
    for listed in (["198.51.100.8", "198.51.100.9"], ["198.51.100.7", "198.51.100.8"]):
        feed(path, *listed)
        [state] = refresh_feeds(lake, [location])
        assert state.changed
        moments.append(now())
    found = entries(lake)
    first = found[0][3]
    second = found[1][2]
    assert first is not None
    assert second is not None
    # Kept to the millisecond, cut.
    cut = timedelta(milliseconds=1)
    assert moments[0] - cut <= first <= moments[1] <= second + cut <= moments[2] + cut
    assert found == [
        ("a.txt", "198.51.100.7", None, first),
        ("a.txt", "198.51.100.7", second, None),
        ("a.txt", "198.51.100.8", None, None),
        ("a.txt", "198.51.100.9", first, second),
    ]


def test_a_feed_that_is_down_keeps_its_last_good_state(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    location = feed(path, "198.51.100.7", "bad line")
    refresh_feeds(lake, [location])
    before = entries(lake)
    path.unlink()
    [state] = refresh_feeds(lake, [location])
    assert (state.entries, state.ignored, state.changed) == (1, 1, False)
    assert state.failure is not None
    assert "a.txt" in state.failure
    path.write_text("<html>down for maintenance</html>")
    [state] = refresh_feeds(lake, [location])
    assert state.failure is not None
    assert entries(lake) == before
    assert read_history(lake, [location]).matcher.spans_of("198.51.100.7")


def test_a_feed_that_was_never_read_is_an_error(lake: Lake, tmp_path: Path) -> None:
    good = feed(tmp_path / "a.txt", "198.51.100.7")
    with pytest.raises(ReferenceDataError, match=r"b\.txt"):
        refresh_feeds(lake, [good, str(tmp_path / "b.txt")])


def test_two_feeds_do_not_touch_each_other(lake: Lake, tmp_path: Path) -> None:
    a = feed(tmp_path / "a.txt", "198.51.100.7")
    b = feed(tmp_path / "b.txt", "198.51.100.7", "198.51.100.8")
    refresh_feeds(lake, [a, b])
    feed(tmp_path / "b.txt", "198.51.100.8")
    states = refresh_feeds(lake, [a, b])
    assert [state.changed for state in states] == [False, True]
    assert [(row[0], row[1], row[3] is None) for row in entries(lake)] == [
        ("a.txt", "198.51.100.7", True),
        ("b.txt", "198.51.100.7", False),
        ("b.txt", "198.51.100.8", True),
    ]
    # Only feeds that are configured now count, the one named first before the other.
    for locations, named in (([a, b], "a.txt"), ([b, a], "b.txt"), ([b], "b.txt")):
        spans = read_history(lake, locations).matcher.spans_of("198.51.100.7")
        assert spans[0].feed == named
    assert read_history(lake, []).matcher.spans_of("198.51.100.8") == []


def test_two_feeds_of_one_name_are_refused(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    a = feed(tmp_path / "a.txt", "198.51.100.7")
    b = feed(tmp_path / "x/a.txt", "198.51.100.8")
    with pytest.raises(SettingError, match=r"FLOW_THREAT_FEEDS.*a\.txt"):
        refresh_feeds(lake, [a, b])


def test_a_lake_without_history_lists_nobody(lake: Lake, tmp_path: Path) -> None:
    history = read_history(lake, [str(tmp_path / "a.txt")])
    assert history.feeds == ("a.txt",)
    assert history.matcher.spans_of("198.51.100.7") == []
    assert history.version_at(None) == history.version_at(now())


def test_many_refreshes_at_once_lose_nothing(lake: Lake, tmp_path: Path) -> None:
    locations = [
        feed(tmp_path / f"{name}.txt", f"198.51.100.{no}") for no, name in enumerate("abcd")
    ]
    together = threading.Barrier(4)

    def refresh(no: int) -> None:
        together.wait()
        # Each feed is refreshed by two at once.
        refresh_feeds(lake, [locations[no], locations[(no + 1) % 4]])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refresh, range(4)))
    assert entries(lake) == [
        (f"{name}.txt", f"198.51.100.{no}", None, None) for no, name in enumerate("abcd")
    ]
    # Nothing that was refused is left lying there.
    files = {file.path for file in lake.existing(THREAT_ENTRIES).files}
    assert set(lake.root.rglob("*.parquet")) == files


class TestVersion:
    """The id by which a look-up knows that its feeds are what they were."""

    def test_it_changes_with_the_first_snapshot(self, lake: Lake, tmp_path: Path) -> None:
        location = feed(tmp_path / "a.txt", "198.51.100.7")
        before = read_history(lake, [location]).version_at(LONG_AGO)
        refresh_feeds(lake, [location])
        after = read_history(lake, [location])
        assert after.version_at(LONG_AGO) != before
        assert after.version_at(None) == after.version_at(LONG_AGO)

    def test_a_later_snapshot_counts_from_its_own_time_on(self, lake: Lake, tmp_path: Path) -> None:
        location = feed(tmp_path / "a.txt", "198.51.100.7")
        refresh_feeds(lake, [location])
        before = read_history(lake, [location])
        feed(tmp_path / "a.txt", "198.51.100.8")
        refresh_feeds(lake, [location])
        after = read_history(lake, [location])
        [changed_at] = {row[2] for row in entries(lake) if row[2] is not None}
        just_before = changed_at - timedelta(milliseconds=1)
        assert after.version_at(just_before) == before.version_at(just_before)
        # A listing holds from its very first millisecond.
        assert after.version_at(changed_at) != before.version_at(changed_at)
        assert after.matcher.spans_of("198.51.100.8")[0].listed_from == changed_at
        assert before.version_at(just_before) == before.version_at(changed_at)

    def test_it_knows_feeds_and_their_order(self, lake: Lake, tmp_path: Path) -> None:
        a = feed(tmp_path / "a.txt", "198.51.100.7")
        b = feed(tmp_path / "b.txt", "198.51.100.7")
        refresh_feeds(lake, [a, b])
        versions = {
            read_history(lake, each).version_at(None) for each in ([a], [b], [a, b], [b, a])
        }
        assert len(versions) == 4


@pytest.fixture
def server() -> Iterator[ListServer]:
    with list_server() as serving:
        yield serving


LISTED = [f"203.0.113.{no}" for no in range(20)]
MONDAY = "Mon, 02 Mar 2026 00:00:00 GMT"
START = datetime(2030, 1, 1)


def ask(lake: Lake, server: ListServer, minutes: float, *, accept: bool = False) -> FeedState:
    """Refresh the server's feed, some minutes after the beginning."""
    accepted = [server.feed] if accept else []
    [state] = refresh_feeds(
        lake, [server.url], accepted, now=lambda: START + timedelta(minutes=minutes)
    )
    return state


def open_entries(lake: Lake) -> list[str]:
    return [entry for _, entry, _, listed_to in entries(lake) if listed_to is None]


class TestConditionalRequests:
    def test_a_feed_that_did_not_change_is_not_sent_again(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(*LISTED, etag='"one"', modified=MONDAY)
        first = ask(lake, server, 0)
        assert (first.changed, first.is_url, first.asked_at) == (True, True, START)
        state = ask(lake, server, 60)
        assert (state.changed, state.failure, state.entries) == (False, None, 20)
        assert state.asked_at == START + timedelta(minutes=60)
        server.serve(*LISTED, "198.51.100.1", etag='"two"', modified=MONDAY)
        assert ask(lake, server, 120).entries == 21
        assert ask(lake, server, 180).entries == 21
        assert server.asked == [
            (None, None),
            ('"one"', MONDAY),
            ('"one"', MONDAY),
            ('"two"', MONDAY),
        ]

    def test_one_of_two_validators_is_enough(self, lake: Lake, server: ListServer) -> None:
        server.serve(*LISTED, modified=MONDAY)
        ask(lake, server, 0)
        ask(lake, server, 60)
        assert server.asked[1] == (None, MONDAY)

    def test_a_server_without_validators_is_read_each_time(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(*LISTED)
        ask(lake, server, 0)
        server.serve(*LISTED[:19])
        assert ask(lake, server, 60).entries == 19
        assert server.asked == [(None, None)] * 2

    def test_same_entries_with_another_etag_are_no_change(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(*LISTED, etag='"one"')
        ask(lake, server, 0)
        server.serve(*reversed(LISTED), etag='"two"')
        assert not ask(lake, server, 60).changed
        ask(lake, server, 120)
        assert [etag for etag, _ in server.asked] == [None, '"one"', '"two"']
        assert len(entries(lake)) == 20

    def test_a_feed_is_not_asked_more_often_than_is_sensible(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(*LISTED)
        for minutes in (0, 1, 49.9, 50, 60, 99.9, 100):
            ask(lake, server, minutes)
        assert len(server.asked) == 3

    def test_a_clock_that_was_set_back_silences_no_feed(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(*LISTED)
        ask(lake, server, 1000)
        ask(lake, server, 0)
        assert len(server.asked) == 2

    def test_another_query_is_another_question(self, lake: Lake, server: ListServer) -> None:
        server.serve(*LISTED, etag='"one"')
        for query in ("?key=a", "?key=a", "?key=b"):
            refresh_feeds(lake, [server.url + query], now=lambda: START)
        assert server.asked == [(None, None)] * 2
        # The footers name no secret.
        assert all("key" not in str(file.footer()) for file in lake.existing(THREAT_ENTRIES).files)

    def test_what_is_listed_until_a_time_is_asked_anew_then(
        self, lake: Lake, server: ListServer
    ) -> None:
        times = ["2030-01-01T00:30:00Z", None]
        objects = [
            {
                "type": "indicator",
                "pattern": f"[ipv4-addr:value = '203.0.113.{no}']",
                "valid_until": until,
            }
            for no, until in enumerate(times)
        ]
        server.serve(json.dumps({"type": "bundle", "objects": objects}), etag='"one"')
        ask(lake, server, 0)
        # Ours is the clock of the machine, so it lasts there: what is tested is that it is asked.
        ask(lake, server, 20)
        assert server.asked == [(None, None)]
        ask(lake, server, 30)
        assert server.asked == [(None, None)] * 2


class TestFeedThatBreaks:
    """Whatever a server says instead of its list, the flags stand, and the state says why."""

    @pytest.fixture(autouse=True)
    def list_that_was_good_once(self, lake: Lake, server: ListServer) -> None:
        server.serve(*LISTED, etag='"one"')
        ask(lake, server, 0)

    @pytest.mark.parametrize(
        ("status", "body", "told"),
        [
            (404, b"nothing here", r"does not exist \(HTTP 404\)"),
            (200, b"", "holds no public address"),
            (200, b"# nothing today\n", "holds no public address"),
            (200, b"<!doctype html><p>203.0.113.7 sign in", "is a web page"),
            (200, b"203.0.113.0\n203.0.113.1\n", "lists 2 entries, where it listed 20 before"),
            (200, b'[{"ip_address": "203.0.113.0"', "breaks off, or of an unknown kind"),
        ],
    )
    def test_it_keeps_its_last_good_state_and_says_why(
        self, lake: Lake, server: ListServer, status: int, body: bytes, told: str
    ) -> None:
        server.status, server.body, server.headers = status, body, {"ETag": '"broken"'}
        before = entries(lake)
        history = read_history(lake, [server.url]).version_at(START)
        for minutes in (60, 62, 120):
            state = ask(lake, server, minutes)
            assert re.search(told, state.failure or "")
            assert (state.entries, state.changed) == (20, False)
            [shown] = feed_states(lake, [server.url])
            assert shown.failure == state.failure
        assert entries(lake) == before
        assert read_history(lake, [server.url]).version_at(START) == history
        assert read_history(lake, [server.url]).matcher.spans_of("203.0.113.7")
        # Within five minutes it is not asked again; and always by the ETag of what stands.
        assert [etag for etag, _ in server.asked] == [None, '"one"', '"one"']
        server.serve(*LISTED, etag='"one"')
        assert ask(lake, server, 126).failure is None
        [shown] = feed_states(lake, [server.url])
        assert shown.failure is None

    def test_a_server_that_is_gone_is_one_of_them(self, lake: Lake) -> None:
        with list_server() as gone:
            gone.serve(*LISTED)
            ask(lake, gone, 0)
        state = ask(lake, gone, 60)
        assert "cannot be reached" in (state.failure or "")
        assert state.entries == 20

    def test_a_list_that_is_not_so_much_smaller_is_taken(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(*LISTED[:3])
        state = ask(lake, server, 60)
        assert (state.failure, state.entries) == (None, 3)

    def test_a_small_list_is_taken_where_somebody_says_so(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve(LISTED[0], etag='"small"')
        assert f"feeds --accept {server.feed}" in (ask(lake, server, 60).failure or "")
        # At once, and by no condition.
        state = ask(lake, server, 61, accept=True)
        assert (state.failure, state.entries, state.changed) == (None, 1, True)
        assert server.asked[-1] == (None, None)
        assert open_entries(lake) == [LISTED[0]]
        assert ask(lake, server, 120).failure is None

    def test_a_list_of_nothing_is_taken_where_somebody_says_so(
        self, lake: Lake, server: ListServer
    ) -> None:
        server.serve("[]")
        assert ask(lake, server, 60).failure
        assert ask(lake, server, 61, accept=True).entries == 0
        assert open_entries(lake) == []
        # It stays one, and what it lists again it lists from then on.
        assert ask(lake, server, 120).failure is None
        server.serve(LISTED[0])
        ask(lake, server, 180)
        assert [row[2] is None for row in entries(lake) if row[3] is None] == [False]

    def test_a_web_page_is_taken_from_nobody(self, lake: Lake, server: ListServer) -> None:
        server.serve("<html>")
        assert ask(lake, server, 60, accept=True).failure
        server.serve("not an address")
        assert ask(lake, server, 120, accept=True).failure
        assert len(open_entries(lake)) == 20


def test_what_a_feed_lists_after_it_was_empty_at_first_is_not_since_always(
    lake: Lake, tmp_path: Path
) -> None:
    location = feed(tmp_path / "a.txt")
    refresh_feeds(lake, [location], ["a.txt"])
    feed(tmp_path / "a.txt", "203.0.113.7")
    refresh_feeds(lake, [location])
    [(_, entry, listed_from, _)] = entries(lake)
    assert entry == "203.0.113.7"
    assert listed_from is not None
    history = read_history(lake, [location])
    assert history.version_at(LONG_AGO) != history.version_at(listed_from)


def test_a_file_that_shrinks_is_held_too(lake: Lake, tmp_path: Path) -> None:
    location = feed(tmp_path / "a.txt", *LISTED)
    refresh_feeds(lake, [location])
    feed(tmp_path / "a.txt", *LISTED[:2])
    for _ in range(2):
        [state] = refresh_feeds(lake, [location])
        assert "lists 2 entries" in (state.failure or "")
    # What it says each time is written once.
    assert lake.existing(THREAT_ENTRIES).version == 2
    feed(tmp_path / "a.txt", *LISTED)
    [state] = refresh_feeds(lake, [location])
    assert (state.failure, state.entries) == (None, 20)
    assert len(lake.existing(THREAT_ENTRIES).files) == 1


def test_two_runs_at_once_ask_once_where_one_is_through(lake: Lake, server: ListServer) -> None:
    server.serve(*LISTED, etag='"one"')
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: ask(lake, server, 0), range(4)))
    assert {state.entries for state in states} == {20}
    assert len(lake.existing(THREAT_ENTRIES).files) == 2
    assert len(entries(lake)) == 20
