"""When machines came online, as the user knows it: a CSV of network interfaces and times.

Belongs here: reading and checking that file. What follows from it is told by the dbt models.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from flow_pipeline.errors import SettingError

COLUMNS = ("nic", "online_at")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]?){5}[0-9A-Fa-f]{2}")
_SETTING = "FLOW_ONLINE_TIMES"


def read_online_times(path: Path) -> dict[str, datetime]:
    """MAC address (capitals, no separators) or IP address -> when it came online, naive UTC.

    Raises SettingError for the first line that makes no sense: a machine left out in silence would
    be judged by its first outbound flow.
    """
    times: dict[str, datetime] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            head = next(rows, [])
            if tuple(cell.strip().lower() for cell in head) != COLUMNS:
                raise _wrong(path, 1, f"the columns are {head}")
            for row in rows:
                if not any(cell.strip() for cell in row):
                    continue
                if len(row) != len(COLUMNS):
                    raise _wrong(path, rows.line_num, f"it has {len(row)} columns")
                nic, online_at = _nic(row[0]), _time(row[1])
                if nic is None:
                    told = f"{row[0]!r} is neither a MAC nor an IP address"
                    raise _wrong(path, rows.line_num, told)
                if online_at is None:
                    raise _wrong(path, rows.line_num, f"{row[1]!r} is no time")
                if nic in times:
                    raise _wrong(path, rows.line_num, f"{nic} stands there twice")
                times[nic] = online_at
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(
            _SETTING,
            f"{path} cannot be read: {error}",
            f"a CSV in UTF-8 with the columns {','.join(COLUMNS)}",
            "Correct the file or its path",
        ) from None
    return times


def _nic(text: str) -> str | None:
    text = text.strip()
    if _MAC.fullmatch(text):
        return re.sub("[:-]", "", text).upper()
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip())
        return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _wrong(path: Path, line: int, told: str) -> SettingError:
    return SettingError(
        _SETTING,
        f"{path}, line {line}: {told}",
        f"the columns {','.join(COLUMNS)}: a MAC or IP address, and a time like "
        "2026-03-01T00:01:12Z (UTC where it names no zone)",
        "Correct the line",
    )
