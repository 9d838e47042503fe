"""The allow-list's file: what it says, and what is said of its bad lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_pipeline.enrichment.allow_list import AllowedPrefix, read_allow_list
from flow_pipeline.errors import SettingError


def listed(path: Path, *lines: str) -> Path:
    path = path / "allowed.csv"
    path.write_text("\n".join(["prefix,reason", *lines]), encoding="utf-8")
    return path


def test_prefixes_and_reasons_in_canonical_text(tmp_path: Path) -> None:
    path = listed(
        tmp_path,
        "198.51.100.7,our own scanner",
        "",
        "# commented out,x",
        ' 10.0.0.0/8 , "site A, and B" ',
        "2001:DB8:0::/48,site",
        "192.0.2.1/32,monitor",
    )
    assert read_allow_list(path) == (
        AllowedPrefix("198.51.100.7", "our own scanner"),
        AllowedPrefix("10.0.0.0/8", "site A, and B"),
        AllowedPrefix("2001:db8::/48", "site"),
        AllowedPrefix("192.0.2.1", "monitor"),
    )


def test_a_list_without_lines_allows_nobody(tmp_path: Path) -> None:
    assert read_allow_list(listed(tmp_path)) == ()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("300.0.0.1,x", "line 3: '300.0.0.1' is no address or prefix"),
        ("10.0.0.0/33,x", "line 3: '10.0.0.0/33' is no address or prefix"),
        ("10.0.0.5/24,x", r"line 3: .* 10\.0\.0\.0/24 is meant, or 10\.0\.0\.5"),
        ("0.0.0.0/0,x", r"line 3: 0\.0\.0\.0/0 is everything"),
        ("::/0,x", "line 3: ::/0 is everything"),
        ("::ffff:1.2.3.4,x", "line 3: .* write it as IPv4"),
        ("10.0.0.1,", r"line 3: 10\.0\.0\.1 has no reason"),
        ("10.0.0.1", "line 3: 1 values instead of two"),
        ("10.0.0.1,a,b", "line 3: 3 values instead of two .*quotes"),
        ("192.0.2.0/32,x", r"line 3: 192\.0\.2\.0 stands in line 2 already"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_reason(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(SettingError, match=told) as caught:
        read_allow_list(listed(tmp_path, "192.0.2.0,fine", line, "192.0.2.1,fine"))
    assert caught.value.name == "FLOW_ALLOW_LIST"


def test_all_bad_lines_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"line 2: .*; line 4: ") as caught:
        read_allow_list(listed(tmp_path, "x,y", "192.0.2.1,fine", "z,y"))
    assert "line 3" not in str(caught.value)
    with pytest.raises(SettingError, match=r"line 11: .*; and 5 more"):
        read_allow_list(listed(tmp_path, *["x,y"] * 15))


@pytest.mark.parametrize("content", ["", "10.0.0.0/8,mine\n", "reason,prefix\n", "<html>"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "allowed.csv"
    path.write_text(content)
    with pytest.raises(SettingError, match="prefix,reason"):
        read_allow_list(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="No such file"):
        read_allow_list(tmp_path / "nothing.csv")
    (tmp_path / "allowed.csv").write_bytes(b"prefix,reason\n10.0.0.1,\xff\n")
    with pytest.raises(SettingError, match="not UTF-8"):
        read_allow_list(tmp_path / "allowed.csv")
