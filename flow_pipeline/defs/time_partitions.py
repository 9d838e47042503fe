"""Hours and days as Dagster's partitions.

Belongs here: the partitions definitions, mappings, and the way between Dagster's keys and windows
and our naive UTC hours and days.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

import dagster as dg

from flow_pipeline.errors import LakeError
from flow_pipeline.lake import Lake
from flow_pipeline.partitions import DAY, HOUR, day_start, hours_between, utc_now
from flow_pipeline.settings import load_settings

# Set on a run of hours whose caller runs their days itself.
DAYS_FOLLOW = "flow_pipeline/days_follow"
HOUR_FORMAT = "%Y-%m-%d-%H:%M"


def _first_day() -> datetime:
    """Midnight of the day that holds the first written hour minus one; needs no network.

    The hour before is there because a blob's first records tell of the hour before it.
    """
    settings = load_settings()
    try:
        start = Lake.open_to_read(settings.lake_dir).start
    except LakeError:
        start = None  # no lake yet: the first run makes it and records where it begins
    start = start or settings.start
    return day_start(((start or utc_now()) - HOUR).date())


# `end_offset=1`: the hour and the day that are running can be materialised so far.
HOURS = dg.HourlyPartitionsDefinition(
    start_date=_first_day().strftime(HOUR_FORMAT), end_offset=1, timezone="UTC"
)
DAYS = dg.DailyPartitionsDefinition(
    start_date=_first_day().strftime("%Y-%m-%d"), end_offset=1, timezone="UTC"
)
# Flows of an event hour are in the written hours H and H+1.
FROM_WRITTEN_HOURS = dg.TimeWindowPartitionMapping(
    end_offset=1, allow_nonexistent_upstream_partitions=True
)
# Event hours of a day, and written hours of a day.
FROM_HOURS_OF_DAY = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def hours_in(context: dg.AssetExecutionContext) -> list[datetime]:
    """The hours that a run is about."""
    window = context.partition_time_window
    return list(hours_between(_naive(window.start), _naive(window.end)))


def days_in(context: dg.AssetExecutionContext) -> list[date]:
    """The days that a run is about."""
    window = context.partition_time_window
    count = (_naive(window.end) - _naive(window.start)) // DAY
    return [(_naive(window.start) + n * DAY).date() for n in range(count)]


def key_of(when: datetime | date) -> str:
    """Dagster's key of an hour or a day."""
    return when.strftime(HOUR_FORMAT if isinstance(when, datetime) else "%Y-%m-%d")


def hours_of_tags(tags: Mapping[str, str]) -> list[datetime]:
    """The hours that a run's tags name: one partition or a range."""
    only = tags.get("dagster/partition")
    first = only or tags.get("dagster/asset_partition_range_start")
    last = only or tags.get("dagster/asset_partition_range_end")
    if first is None or last is None:
        return []
    start, end = (datetime.strptime(key, HOUR_FORMAT) for key in (first, last))
    return list(hours_between(start, end + HOUR))


def range_tags(whens: Sequence[datetime] | Sequence[date]) -> dict[str, str]:
    """Tags that make one run of all partitions from the first to the last."""
    return {
        "dagster/asset_partition_range_start": key_of(whens[0]),
        "dagster/asset_partition_range_end": key_of(whens[-1]),
    }


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
