"""A folder as a source: what is found, in which order, and what is said when it is not."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from flow_pipeline.errors import (
    BlobChanged,
    BlobGone,
    BlobUnreadable,
    ContainerMissing,
    SourceUnreachable,
)
from flow_pipeline.flowlog.blob_source import BlobSource, ListedBlob, open_sources
from flow_pipeline.flowlog.schema import NSG_CONTAINER, VNET_CONTAINER
from flow_pipeline.settings import FolderLocation

at = datetime.fromisoformat
HOUR = at("2026-11-01T05")
NSG = f"{NSG_CONTAINER}/resourceId=/SUBSCRIPTIONS/S/NETWORKSECURITYGROUPS/NSG"
VNET = f"{VNET_CONTAINER}/flowLogResourceID=/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_V"
AT_FIVE = "y=2026/m=11/d=01/h=05/m=00/macAddress=000D3AF87856/PT1H.json"
AT_SIX = "y=2026/m=11/d=01/h=06/m=00/macAddress=000D3AF87856/PT1H.json"


def put(folder: Path, blob: str, content: bytes = b"{}") -> Path:
    path = folder / blob
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def open_folder(folder: Path) -> BlobSource:
    [source] = open_sources([FolderLocation(folder)])
    return source


def names(source: BlobSource, hour: datetime = HOUR) -> list[str]:
    return [blob.blob for blob in source.list_hour(hour)]


def test_both_containers_are_listed_by_the_hour(tmp_path: Path) -> None:
    for blob in (f"{NSG}/{AT_FIVE}", f"{NSG}/{AT_SIX}", f"{VNET}/{AT_FIVE}"):
        put(tmp_path, blob)
    source = open_folder(tmp_path)
    assert source.name == str(tmp_path)
    assert names(source) == [f"{VNET}/{AT_FIVE}", f"{NSG}/{AT_FIVE}"]
    assert names(source, at("2026-11-01T06")) == [f"{NSG}/{AT_SIX}"]
    assert names(source, at("2026-11-01T07")) == []


def test_a_listed_file_tells_size_time_and_hour(tmp_path: Path) -> None:
    path = put(tmp_path, f"{NSG}/{AT_FIVE}", b"12345")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    assert list(open_folder(tmp_path).list_hour(HOUR)) == [
        ListedBlob(
            str(tmp_path), f"{NSG}/{AT_FIVE}", "5-1700000000123456789", 5, at("2026-11-01T05")
        )
    ]


def test_only_flow_logs_are_taken(tmp_path: Path) -> None:
    put(tmp_path, f"{NSG}/{AT_FIVE}")
    put(tmp_path, "insights-metrics-pt1h/resourceId=/X/" + AT_FIVE)
    put(tmp_path, f"{NSG}/{AT_FIVE}.part")
    put(tmp_path, f"{NSG}/y=2026/m=11/d=01/h=05/m=00/README.md")
    put(tmp_path, f"{NSG}/PT1H.json")
    put(tmp_path, "PT1H.json")
    (tmp_path / NSG / "y=2026/m=11/d=01/h=05/m=00/macAddress=B/PT1H.json").mkdir(parents=True)
    assert names(open_folder(tmp_path)) == [f"{NSG}/{AT_FIVE}"]


def test_names_come_sorted_as_whole_names(tmp_path: Path) -> None:
    # '.' sorts before '/': "A.B/…" comes before "A/…", although "A" comes before "A.B".
    for resource in ("A", "A.B", "A/Z", "a", "Ä", "A B", "A\nB"):
        put(tmp_path, f"{NSG_CONTAINER}/resourceId=/{resource}/{AT_FIVE}")
        put(tmp_path, f"{NSG_CONTAINER}/resourceId=/{resource}/{AT_FIVE}".replace("78", "9.9"))
    found = names(open_folder(tmp_path))
    assert len(found) == 14
    assert found == sorted(found)


def test_hostile_names_are_only_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hostile = ["%2e%2e", "a;rm -rf ~", "*", "[a-z]", "..a", "' or 1=1 --", "\x7f\x1b[31m", "😀"]
    for name in hostile:
        put(tmp_path, f"{NSG_CONTAINER}/resourceId=/{name}/{AT_FIVE}", name.encode())
    not_text = os.fsdecode(b"bad-\xff")
    put(tmp_path, f"{NSG_CONTAINER}/resourceId=/{not_text}/{AT_FIVE}")
    source = open_folder(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = list(source.list_hour(HOUR))
    assert sorted(b"".join(source.read(blob)).decode() for blob in found) == sorted(hostile)
    assert "not valid UTF-8" in caplog.text
    assert "\\udcff" in caplog.text


def test_a_linked_directory_is_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    put(folder, f"{NSG}/{AT_FIVE}")
    put(outside, f"other/{AT_FIVE}")
    (folder / NSG_CONTAINER / "linked").symlink_to(outside, target_is_directory=True)
    (folder / NSG / "y=2026/m=11/d=01/h=05/loop").symlink_to(folder, target_is_directory=True)
    (folder / VNET_CONTAINER).symlink_to(outside, target_is_directory=True)
    source = open_folder(folder)
    assert names(source) == [f"{NSG}/{AT_FIVE}"]
    assert source.earliest_hour() == HOUR


def test_links_in_place_of_files(tmp_path: Path) -> None:
    elsewhere = put(tmp_path, "elsewhere", b"12345")
    leads_to = {
        "A": elsewhere,
        "B": Path("PT1H.json"),
        "C": Path("nowhere"),
        "D": tmp_path,
        # Of what is below a file there is nothing.
        "E": elsewhere / "PT1H.json",
    }
    for mac, target in leads_to.items():
        path = tmp_path / "logs" / f"{NSG}/{AT_FIVE}".replace("000D3AF87856", mac)
        path.parent.mkdir(parents=True)
        path.symlink_to(target)
    source = open_folder(tmp_path / "logs")
    [blob] = source.list_hour(HOUR)
    assert "macAddress=A/" in blob.blob
    assert blob.size == 5
    assert source.earliest_hour() == HOUR


def test_a_link_that_cannot_be_followed(tmp_path: Path) -> None:
    path = tmp_path / NSG / AT_FIVE
    path.parent.mkdir(parents=True)
    # One name longer than any file system has.
    path.symlink_to("x" * 300)
    with pytest.raises(
        SourceUnreachable, match=r"PT1H\.json could not be looked at: File name too"
    ):
        names(open_folder(tmp_path))


def test_a_folder_named_like_a_container_is_that_container(tmp_path: Path) -> None:
    put(tmp_path, f"{NSG}/{AT_FIVE}", b"nsg")
    put(tmp_path, f"{VNET}/{AT_FIVE}", b"vnet")
    source = open_folder(tmp_path / NSG_CONTAINER)
    assert source.name == str(tmp_path / NSG_CONTAINER)
    [blob] = source.list_hour(HOUR)
    assert blob.blob == f"{NSG}/{AT_FIVE}"
    assert b"".join(source.read(blob)) == b"nsg"


def test_a_folder_named_twice_is_one_source(tmp_path: Path) -> None:
    put(tmp_path, f"{NSG}/{AT_FIVE}")
    assert len(open_sources([FolderLocation(tmp_path), FolderLocation(tmp_path)])) == 1


def test_a_folder_without_containers_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ContainerMissing) as caught:
        open_sources([FolderLocation(tmp_path)])
    message = str(caught.value)
    assert str(tmp_path) in message
    assert NSG_CONTAINER in message
    assert VNET_CONTAINER in message
    assert "FLOW_SOURCES" in message
    assert "flow-pipeline generate" in message


def test_no_folder_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="nowhere is no folder"):
        open_sources([FolderLocation(tmp_path / "nowhere")])


def test_a_folder_that_went_away_does_not_pass_for_an_empty_one(tmp_path: Path) -> None:
    put(tmp_path, f"{NSG}/{AT_FIVE}")
    source = open_folder(tmp_path)
    assert len(names(source)) == 1
    (tmp_path / NSG_CONTAINER).rename(tmp_path / "elsewhere")
    with pytest.raises(SourceUnreachable, match="is no folder"):
        names(source)
    with pytest.raises(SourceUnreachable, match="is no folder"):
        source.earliest_hour()


def test_the_earliest_hour_is_the_first_of_all_resources(tmp_path: Path) -> None:
    put(tmp_path, f"{NSG}/y=2026/m=02/d=10/h=00/m=00/macAddress=A/PT1H.json")
    put(tmp_path, f"{NSG}-2/y=2025/m=12/d=31/h=23/m=00/macAddress=A/PT1H.json")
    put(tmp_path, f"{NSG}-2/y=2026/m=01/d=01/h=00/m=00/macAddress=A/PT1H.json")
    put(tmp_path, f"{VNET}/y=2026/m=01/d=01/h=07/m=00/macAddress=A/PT1H.json")
    assert open_folder(tmp_path).earliest_hour() == at("2025-12-31T23")


def test_empty_levels_have_no_earliest_hour(tmp_path: Path) -> None:
    (tmp_path / NSG / "y=2024").mkdir(parents=True)
    (tmp_path / NSG / "y=2025/m=01/d=01/h=00/m=00").mkdir(parents=True)
    source = open_folder(tmp_path)
    assert source.earliest_hour() is None
    put(tmp_path, f"{NSG}/{AT_SIX}")
    assert source.earliest_hour() == at("2026-11-01T06")


def test_a_resource_that_is_new_is_found_by_the_next_run(tmp_path: Path) -> None:
    put(tmp_path, f"{NSG}/{AT_FIVE}")
    source = open_folder(tmp_path)
    assert len(names(source)) == 1
    put(tmp_path, f"{NSG}-NEW/{AT_FIVE}")
    assert len(names(source)) == 1
    assert len(names(open_folder(tmp_path))) == 2


def test_a_large_file_comes_in_chunks(tmp_path: Path) -> None:
    content = os.urandom(9 * 1024 * 1024)
    put(tmp_path, f"{NSG}/{AT_FIVE}", content)
    source = open_folder(tmp_path)
    [blob] = source.list_hour(HOUR)
    chunks = list(source.read(blob))
    # 9 MiB in chunks of 4 MiB: 4 + 4 + 1.
    assert [len(chunk) // 1024 // 1024 for chunk in chunks] == [4, 4, 1]
    assert b"".join(chunks) == content


def test_a_file_that_changed_before_reading(tmp_path: Path) -> None:
    path = put(tmp_path, f"{NSG}/{AT_FIVE}", b"before")
    source = open_folder(tmp_path)
    [blob] = source.list_hour(HOUR)
    path.write_bytes(b"after, and longer")
    with pytest.raises(BlobChanged, match="changed while it was read"):
        list(source.read(blob))


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = put(tmp_path, f"{NSG}/{AT_FIVE}", bytes(5 * 1024 * 1024))
    source = open_folder(tmp_path)
    [blob] = source.list_hour(HOUR)
    chunks = source.read(blob)
    next(chunks)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(BlobChanged, match="changed while it was read"):
        list(chunks)


def test_a_file_that_was_deleted(tmp_path: Path) -> None:
    path = put(tmp_path, f"{NSG}/{AT_FIVE}")
    source = open_folder(tmp_path)
    [blob] = source.list_hour(HOUR)
    path.unlink()
    with pytest.raises(BlobGone, match="is gone"):
        list(source.read(blob))


def test_a_file_that_became_something_else_is_unreadable(tmp_path: Path) -> None:
    path = put(tmp_path, f"{NSG}/{AT_FIVE}")
    source = open_folder(tmp_path)
    [blob] = source.list_hour(HOUR)
    path.unlink()
    path.mkdir()
    with pytest.raises(BlobUnreadable, match="could not be read"):
        list(source.read(blob))


def test_a_folder_needs_no_azure_sdk() -> None:
    program = (
        "import sys, flow_pipeline.flowlog.blob_source;"
        "sys.exit(any(name.split('.')[0] == 'azure' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
