"""Hours and days as naive UTC, and how they name partitions."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.partitions import (
    UNPARTITIONED,
    day_partition,
    day_start,
    floor_hour,
    hour_partition,
    hours_between,
    hours_of,
    partition_day,
    partition_hour,
    settled_at,
    utc_now,
    written_partition,
)

at = datetime.fromisoformat
times = st.datetimes(min_value=datetime(2010, 1, 1), max_value=datetime(2100, 1, 1))


def test_paths_are_unpadded() -> None:
    # A padded hour comes back from SQL as text.
    assert written_partition(at("2026-03-01T05")).path == "written_date=2026-03-01/written_hour=5"
    assert hour_partition(at("2026-03-01T05")).path == "date=2026-03-01/hour=5"
    assert day_partition(date(2026, 3, 1)).path == "date=2026-03-01"
    assert UNPARTITIONED.path == ""


def test_values_are_text_for_the_log() -> None:
    assert hour_partition(at("2026-03-01T23")).as_dict() == {"date": "2026-03-01", "hour": "23"}
    assert UNPARTITIONED.as_dict() == {}


@given(times)
def test_a_partition_stands_for_its_hour_and_day(time: datetime) -> None:
    hour = floor_hour(time)
    assert hour <= time < hour + timedelta(hours=1)
    assert partition_hour(hour_partition(hour)) == hour
    assert partition_hour(written_partition(hour)) == hour
    assert partition_day(day_partition(time.date())) == time.date()


def test_hours_begin_with_the_first_and_leave_out_the_last() -> None:
    assert list(hours_between(at("2026-02-28T23"), at("2026-03-01T01"))) == [
        at("2026-02-28T23"),
        at("2026-03-01T00"),
    ]
    assert list(hours_between(at("2026-03-01T00"), at("2026-03-01T00"))) == []
    assert list(hours_between(at("2026-03-01T01"), at("2026-03-01T00"))) == []


def test_a_day_has_24_hours_whatever_clocks_do_elsewhere() -> None:
    # Clocks in Europe are put forward on this day.
    hours = hours_of(date(2026, 3, 29))
    assert len(hours) == 24
    assert hours[0] == day_start(date(2026, 3, 29)) == at("2026-03-29T00")
    assert hours[-1] == at("2026-03-29T23")


def test_an_hour_settles_ten_minutes_after_its_end() -> None:
    assert settled_at(at("2026-03-01T23")) == at("2026-03-02T00:10")


def test_now_is_naive_and_utc() -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    now = utc_now()
    assert now.tzinfo is None
    assert before <= now <= before + timedelta(seconds=30)
