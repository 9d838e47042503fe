"""Hours and days: how they are counted, and how they name a partition of the lake.

Belongs here: arithmetic on naive UTC hours and days. Nothing here reads or writes.

Written hour: the hour in a blob's path. Event hour: when a flow happened. A day is a UTC day.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# The last block of an hour comes a minute or two after it; ten minutes is the practical rule.
SETTLING = timedelta(minutes=10)


@dataclass(frozen=True, order=True)
class Partition:
    """One partition of a table: its columns and their values as they stand in a path."""

    values: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        """`written_date=2026-03-01/written_hour=5`, the empty string for a table without any."""
        return "/".join(f"{name}={value}" for name, value in self.values)

    def as_dict(self) -> dict[str, str | None]:
        """Column name to value, as the transaction log wants it."""
        values: dict[str, str | None] = {}
        values.update(self.values)
        return values


UNPARTITIONED = Partition(())


def written_partition(hour: datetime) -> Partition:
    """The partition of a written hour. Values are unpadded: a padded one is read back as text."""
    return Partition((("written_date", hour.date().isoformat()), ("written_hour", str(hour.hour))))


def hour_partition(hour: datetime) -> Partition:
    """The partition of an event hour."""
    return Partition((("date", hour.date().isoformat()), ("hour", str(hour.hour))))


def day_partition(day: date) -> Partition:
    """The partition of a day."""
    return Partition((("date", day.isoformat()),))


def written_day_partition(day: date) -> Partition:
    """The partition of a day of written hours."""
    return Partition((("written_date", day.isoformat()),))


def partition_hour(partition: Partition) -> datetime:
    """The hour that an hourly partition, written or event, stands for."""
    (_, day), (_, hour) = partition.values
    return datetime.fromisoformat(day) + int(hour) * HOUR


def partition_day(partition: Partition) -> date:
    """The day that a daily partition stands for."""
    ((_, day),) = partition.values
    return date.fromisoformat(day)


def utc_now() -> datetime:
    """Now, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def floor_hour(time: datetime) -> datetime:
    """The hour that holds an instant."""
    return time.replace(minute=0, second=0, microsecond=0)


def day_start(day: date) -> datetime:
    """Midnight UTC at which a day begins."""
    return datetime(day.year, day.month, day.day)


def hours_between(start: datetime, end: datetime) -> Iterator[datetime]:
    """The hours of [start, end)."""
    hour = start
    while hour < end:
        yield hour
        hour += HOUR


def hours_of(day: date) -> list[datetime]:
    """The 24 hours of a day."""
    start = day_start(day)
    return list(hours_between(start, start + DAY))


def settled_at(written_hour: datetime) -> datetime:
    """From when on a listing of a written hour finds all that belongs to it."""
    return written_hour + HOUR + SETTLING
