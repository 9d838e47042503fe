"""The CSV of times at which machines came online: what it may say, and what is refused."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from flow_pipeline.errors import SettingError
from flow_pipeline.online_times import read_online_times


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "online.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_spelling_of_a_nic_and_of_a_time(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeffnic, online_at\n00-0d-3a-4b-17-c2,2026-03-01T01:01:12.5+01:00\n\n"
        "00:0D:3A:4B:1E:90,2026-03-01 00:02\n10.0.0.5,2026-03-01\n2001:DB8:0::1,2026-03-01T05Z\n",
    )
    assert read_online_times(path) == {
        "000D3A4B17C2": datetime(2026, 3, 1, 0, 1, 12, 500_000),
        "000D3A4B1E90": datetime(2026, 3, 1, 0, 2),
        "10.0.0.5": datetime(2026, 3, 1),
        "2001:db8::1": datetime(2026, 3, 1, 5),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the columns are []"),
        ("mac,time\n", "line 1: the columns are ['mac', 'time']"),
        ("nic,online_at\n10.0.0.5,2026-03-01\n10.0.0.5,2026-03-02\n", "line 3: 10.0.0.5 stands"),
        ("nic,online_at\nvm-1,2026-03-01\n", "line 2: 'vm-1' is neither"),
        ("nic,online_at\n10.0.0.5,yesterday\n", "line 2: 'yesterday' is no time"),
        ("nic,online_at\n10.0.0.5,0001-01-01T00:00+14:00\n", "is no time"),
        ("nic,online_at\n10.0.0.5\n", "line 2: it has 1 columns"),
        ('nic,online_at\n"10.0.0.5,2026-03-01\n', "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingError) as caught:
        read_online_times(path)
    assert caught.value.culprit.startswith("FLOW_ONLINE_TIMES")
    assert told in caught.value.culprit
    assert str(path) in caught.value.culprit


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"nic,online_at\n\xe4,2026-03-01\n")
    for path in (tmp_path / "missing.csv", tmp_path, tmp_path / "latin.csv"):
        with pytest.raises(SettingError, match="cannot be read"):
            read_online_times(path)
