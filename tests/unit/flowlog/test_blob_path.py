"""Paths taken apart: every shape that Azure writes, and what only looks like one."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.flowlog.blob_path import (
    BlobPath,
    hour_prefix,
    is_year_prefix,
    parse_blob_path,
)
from flow_pipeline.flowlog.schema import NSG_CONTAINER, VNET_CONTAINER

NSG_ID = (
    "/SUBSCRIPTIONS/5F1E/RESOURCEGROUPS/RG-WEB/PROVIDERS/MICROSOFT.NETWORK"
    "/NETWORKSECURITYGROUPS/NSG-WEB"
)
FLOW_LOG_ID = (
    "/SUBSCRIPTIONS/5F1E/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK"
    "/NETWORKWATCHERS/NETWORKWATCHER_WESTEUROPE/FLOWLOGS/VNET-WEB"
)
SHORT_ID = "/5F1E_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_VNET-WEB"
at = datetime.fromisoformat
HOUR = at("2026-11-01T05")
TAIL = "y=2026/m=11/d=01/h=05/m=00/macAddress=000D3AF87856/PT1H.json"


@pytest.mark.parametrize(
    ("blob", "container", "resource_id"),
    [
        (f"{NSG_CONTAINER}/resourceId={NSG_ID}/{TAIL}", NSG_CONTAINER, NSG_ID),
        (f"{VNET_CONTAINER}/flowLogResourceID={FLOW_LOG_ID}/{TAIL}", VNET_CONTAINER, FLOW_LOG_ID),
        (f"{VNET_CONTAINER}/flowLogResourceID={SHORT_ID}/{TAIL}", VNET_CONTAINER, SHORT_ID),
        (f"{NSG_CONTAINER}/RESOURCEID={NSG_ID}/{TAIL}", NSG_CONTAINER, NSG_ID),
        (f"{VNET_CONTAINER}/flowlogresourceid={SHORT_ID}/{TAIL}", VNET_CONTAINER, SHORT_ID),
    ],
)
def test_every_shape_gives_resource_hour_and_nic(
    blob: str, container: str, resource_id: str
) -> None:
    assert parse_blob_path(blob) == BlobPath(container, resource_id, HOUR, "000D3AF87856")


def test_the_second_m_is_the_minute_not_the_month() -> None:
    path = parse_blob_path(
        f"c/resourceId={NSG_ID}/y=2026/m=02/d=03/h=04/m=59/macAddress=A/PT1H.json"
    )
    assert path is not None
    assert path.written_hour == at("2026-02-03T04")


@pytest.mark.parametrize(
    ("tail", "mac"),
    [
        ("m=00/PT1H.json", None),
        ("PT1H.json", None),
        ("m=00/macaddress=AB/PT1H.json", "AB"),
        ("m=00/macAddress=/PT1H.json", ""),
        ("m=00/something=new/macAddress=AB/deeper/PT1H.json", "AB"),
    ],
)
def test_what_follows_the_hour_may_differ(tail: str, mac: str | None) -> None:
    path = parse_blob_path(f"c/resourceId={NSG_ID}/y=2026/m=11/d=01/h=05/{tail}")
    assert path == BlobPath("c", NSG_ID, HOUR, mac)


def test_a_path_without_resource_is_taken_too() -> None:
    assert parse_blob_path(f"c/{TAIL}") == BlobPath("c", "", HOUR, "000D3AF87856")


@pytest.mark.parametrize(
    "blob",
    [
        "",
        "PT1H.json",
        f"{TAIL}",
        f"c/resourceId={NSG_ID}/PT1H.json",
        f"c/r/{TAIL}.bak",
        f"c/r/{TAIL}\n",
        "c/r/y=2026/m=11/d=01/h=05/m=00/macAddress=A/notPT1H.json",
        "c/r/y=2026/m=11/d=01/h=05/m=00/macAddress=A/other.json",
        "c/r/y=2026/m=13/d=01/h=05/m=00/PT1H.json",
        "c/r/y=2026/m=02/d=30/h=05/m=00/PT1H.json",
        "c/r/y=2026/m=02/d=03/h=24/m=00/PT1H.json",
        "c/r/y=0000/m=02/d=03/h=04/m=00/PT1H.json",
        "c/r/y=2026/m=2/d=3/h=4/m=00/PT1H.json",
        # Arabic-Indic digits are digits to \d, and no hour of Azure's.
        "c/r/y=٢٠٢٦/m=11/d=01/h=05/m=00/PT1H.json",
    ],
)
def test_what_is_no_flow_log_path_is_none(blob: str) -> None:
    assert parse_blob_path(blob) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_blob_path(text)
    parse_blob_path(f"c/{text}/{TAIL}")


names = st.text(min_size=1, max_size=20).filter(lambda text: "/" not in text and "=" not in text)
hours = st.datetimes(at("1990-01-01"), at("2199-12-31")).map(
    lambda time: time.replace(minute=0, second=0, microsecond=0)
)


@given(resource=names, hour=hours, mac=names)
def test_an_hour_is_found_below_its_own_prefix(resource: str, hour: datetime, mac: str) -> None:
    blob = f"c/{hour_prefix(f'resourceId=/{resource}/', hour)}m=00/macAddress={mac}/PT1H.json"
    assert parse_blob_path(blob) == BlobPath("c", f"/{resource}", hour, mac)


@given(hour=hours)
def test_prefixes_sort_as_hours_do(hour: datetime) -> None:
    assert hour_prefix("r/", hour) < hour_prefix("r/", hour + timedelta(hours=1))


@pytest.mark.parametrize(
    ("prefix", "is_year"),
    [
        ("y=2026/", True),
        ("resourceId=/SUB/NSG/y=2026/", True),
        ("a\nb/y=2026/", True),
        ("resourceId=/SUB/NSG/y=2026/m=11/", False),
        ("resourceId=/any=2026/", False),
        ("resourceId=/y=26/", False),
        ("", False),
    ],
)
def test_only_a_last_level_of_a_year_is_one(prefix: str, is_year: bool) -> None:
    assert is_year_prefix(prefix) is is_year
