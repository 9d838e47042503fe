"""The history of feeds: what was listed when, kept whatever becomes of the feed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flow_pipeline.errors import ReferenceDataError, SettingError
from flow_pipeline.lake import Lake
from flow_pipeline.threat_history import THREAT_ENTRIES, read_history, refresh_feeds

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
