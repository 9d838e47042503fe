"""What the doctor finds in folders, in the lake and in the settings, and that it touches nothing.

Accounts are examined against a real endpoint in integration/test_doctor.py.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flow_pipeline import doctor
from flow_pipeline.cli import app
from flow_pipeline.doctor import Answer, Diagnosis, Severity, examine
from flow_pipeline.flowlog import survey
from flow_pipeline.flowlog.blob_path import PathShape, shape_of
from flow_pipeline.flowlog.schema import NSG_CONTAINER, VNET_CONTAINER
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.settings import read_settings
from tests.unit.blobs import HOUR, MINUTE, document, flow, put_flows

NOW = HOUR + timedelta(hours=1, minutes=20)
H = timedelta(hours=1)
SUBSCRIPTION = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS"
NSG = f"{NSG_CONTAINER}/resourceId={SUBSCRIPTION}/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/WEB"
FULL = (
    f"{VNET_CONTAINER}/flowLogResourceID={SUBSCRIPTION}/MICROSOFT.NETWORK/NETWORKWATCHERS"
    "/NETWORKWATCHER_WESTEUROPE/FLOWLOGS/VNET-WEB"
)
SHORT = f"{VNET_CONTAINER}/flowLogResourceID=/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_F"
VAULT = f"{VNET_CONTAINER}/resourceId={SUBSCRIPTION}/MICROSOFT.KEYVAULT/VAULTS/KEYS"


def put_at(
    folder: Path, resource: str, hour: datetime, mac: str = "000D3AF87856", content: bytes = b""
) -> None:
    path = folder / resource / f"{hour:y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={mac}/PT1H.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def nsg_document(version: int, *tuples: str) -> bytes:
    flows = [{"rule": "UserRule_rdp", "flows": [{"mac": "000D3AF87856", "flowTuples": tuples}]}]
    record = {
        "time": "2026-11-01T05:01:00.0000000Z",
        "macAddress": "000D3AF87856",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": "/subscriptions/s/nsg",
        "properties": {"Version": version, "flows": flows},
    }
    return document(record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both containers, as yet empty."""
    for name in (VNET_CONTAINER, NSG_CONTAINER):
        (tmp_path / "logs" / name).mkdir(parents=True)
    return tmp_path / "logs"


def examined(
    monkeypatch: pytest.MonkeyPatch,
    *sources: Path | str,
    now: datetime = NOW,
    **settings: object,
) -> Diagnosis:
    monkeypatch.setenv("FLOW_SOURCES", " ".join(map(str, sources)))
    for name, value in settings.items():
        monkeypatch.setenv(f"FLOW_{name.upper()}", str(value))
    return examine(read_settings(), now)


def told(diagnosis: Diagnosis, severity: Severity) -> list[str]:
    return [
        f"{it.culprit}. {it.expected}. {it.remedy}."
        for it in diagnosis.findings
        if it.severity is severity
    ]


def problems(diagnosis: Diagnosis) -> list[str]:
    return told(diagnosis, Severity.PROBLEM)


def warnings(diagnosis: Diagnosis) -> list[str]:
    return told(diagnosis, Severity.WARNING)


def everything_below(directory: Path) -> Sequence[tuple[str, int, int]]:
    return sorted(
        (str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in directory.rglob("*")
    )


# --- what is there -------------------------------------------------------------------------------


def test_what_a_healthy_folder_holds(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    # Two NICs in the hours 2 to 5, a third in the hour 1 only; the hour 5 runs until 06:00.
    for back in range(4):
        for mac in ("000D3AF87856", "000D3A000002"):
            put_flows(folder, flow(HOUR - back * H + MINUTE), hour=HOUR - back * H, mac=mac)
    put_flows(folder, flow(HOUR - 4 * H), hour=HOUR - 4 * H, mac="000D3A000003")
    one_size = (folder / SHORT).rglob("h=04/**/PT1H.json").__next__().stat().st_size
    found = examined(monkeypatch, folder)
    assert found.would_run
    assert found.findings == []
    [source] = found.sources
    assert (source.name, source.answer, source.credential) == (str(folder), Answer.OPEN, None)
    assert source.missing_containers == ()
    # The other container is there and empty: a warning would be of no use where one has logs.
    [vnet, nsg] = source.containers
    assert (vnet.survey.container, nsg.survey.container) == (VNET_CONTAINER, NSG_CONTAINER)
    assert nsg.survey.resources == ()
    assert vnet.survey.shapes() == {PathShape.VNET_SHORT: 1}
    assert (vnet.survey.first_hour, vnet.survey.last_hour) == (HOUR - 4 * H, HOUR)
    assert vnet.survey.nics == {"000D3AF87856", "000D3A000002"}
    # The newest and the oldest blob, one tuple each.
    assert [blob.records for blob in vnet.peeked] == [1, 1]
    assert vnet.versions == {4: 2}
    # The hour 5 ended 20 minutes ago and is left out as the newest; 2, 3 and 4 have two each.
    assert [(hour.hour, hour.blobs) for hour in vnet.whole_hours(NOW)] == [
        (HOUR - back * H, 2) for back in (1, 2, 3)
    ]
    assert vnet.bytes_an_hour(NOW) == 2 * one_size
    assert vnet.lag(NOW) == timedelta(minutes=20)
    assert vnet.lag(HOUR + 5 * MINUTE) == timedelta(0)
    # Written hours 1 to 6, the last of which has just begun; of 1 to 5 there are blobs.
    plan = found.plan
    assert plan is not None
    assert (plan.start, plan.end) == (HOUR - 4 * H, HOUR + H)
    assert (plan.written_hours, plan.new_hours) == (6, 5)
    assert plan.blob_bytes == 5 * 2 * one_size
    assert found.bytes_read == sum(blob.bytes_read for blob in vnet.peeked) > 0


def test_nothing_is_written(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    put_flows(folder, flow(HOUR))
    before = everything_below(tmp_path)
    found = examined(monkeypatch, folder, lake=tmp_path / "new" / "lake")
    assert found.would_run
    assert found.lake.version is None
    assert found.lake.free_bytes
    assert everything_below(tmp_path) == before


def test_paths_have_shapes() -> None:
    below = {
        f"{NSG}/": PathShape.NSG,
        f"{NSG.replace('resourceId', 'resourceid').lower()}/": PathShape.NSG,
        f"{FULL}/": PathShape.VNET,
        f"{SHORT}/": PathShape.VNET_SHORT,
        f"{VAULT}/": PathShape.FOREIGN,
        f"{VNET_CONTAINER}/": PathShape.UNKNOWN,
        f"{VNET_CONTAINER}/old/copy/": PathShape.UNKNOWN,
        f"{VNET_CONTAINER}/flowLogResourceID=/S/WEB/": PathShape.UNKNOWN,
        f"{NSG}/more/": PathShape.FOREIGN,
    }
    for prefix, shape in below.items():
        assert shape_of(prefix.partition("/")[2]) is shape, prefix


def test_every_shape_is_looked_into_and_counted(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    put_at(folder, f"{FULL}-2", HOUR, content=document())
    put_at(folder, FULL, HOUR, content=document())
    put_flows(folder, flow(HOUR))
    put_at(folder, NSG, HOUR, content=nsg_document(1, "1793509261,192.0.2.1,10.0.0.4,1,22,T,I,D"))
    found = examined(monkeypatch, folder)
    vnet, nsg = found.sources[0].containers
    assert vnet.survey.shapes() == {PathShape.VNET: 2, PathShape.VNET_SHORT: 1}
    assert nsg.survey.shapes() == {PathShape.NSG: 1}
    assert (vnet.versions, nsg.versions) == ({4: 1}, {1: 1})
    assert len(vnet.peeked) == 3


def test_only_the_beginning_of_a_blob_is_read(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    put_flows(folder, flow(HOUR))
    whole = document(*({"category": "FlowLogFlowEvent"} for _ in range(20_000)))
    put_at(folder, FULL, HOUR, content=whole)
    assert len(whole) > survey.PEEK_BYTES
    found = examined(monkeypatch, folder)
    sizes = {blob.bytes_read for blob in found.sources[0].containers[0].peeked}
    assert max(sizes) == survey.PEEK_BYTES


def test_a_blob_that_we_cut_off_is_no_broken_one(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    put_flows(folder, *(flow(HOUR, port=number) for number in range(1000)))
    path = next(folder.rglob("PT1H.json"))
    content = path.read_bytes()
    with monkeypatch.context() as smaller:
        smaller.setattr(survey, "PEEK_BYTES", len(content) // 2)
        assert examined(monkeypatch, folder).findings == []
    path.write_bytes(content[: len(content) // 2])
    [warning] = warnings(examined(monkeypatch, folder))
    assert "cut_off" in warning


def test_a_container_with_more_than_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    for number in range(30):
        put_at(folder, f"{FULL}-{number:02}", HOUR, content=document())
    monkeypatch.setattr(doctor, "FINDING_CALLS", 100)
    monkeypatch.setattr(doctor, "HOUR_CALLS", 4)
    found = examined(monkeypatch, folder)
    container = found.sources[0].containers[0]
    # Eight levels to the flow logs, then eleven calls for each.
    assert len(container.survey.resources) == (100 - 8) // 11
    assert not container.survey.is_whole
    # Four for the newest hours, six for blobs to look into, one or two for the empty container.
    assert 100 + 4 + 6 < found.list_calls <= 100 + 4 + 6 + 2
    assert not container.survey.hours[0].is_whole
    [warning] = warnings(found)
    assert "more resources than were looked at (8)" in warning
    assert found.would_run


# --- broken sources ------------------------------------------------------------------------------


def test_a_folder_that_is_missing_does_not_hide_the_next(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    found = examined(monkeypatch, tmp_path / "nowhere", folder)
    assert [source.answer for source in found.sources] == [Answer.NOT_ASKED, Answer.OPEN]
    assert found.sources[1].containers[0].survey.last_hour == HOUR
    [problem] = problems(found)
    assert "nowhere is no folder" in problem
    assert "Correct the path" in problem
    assert not found.would_run


def test_a_secret_in_the_wrong_place_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    put_flows(folder, flow(HOUR))
    found = examined(monkeypatch, "AccountName=a;AccountKey=c2VjcmV0", folder)
    assert found.sources[0].name == "FLOW_SOURCES, entry 1"
    assert "c2VjcmV0" not in repr(found)
    assert len(problems(found)) == 1


def test_a_folder_without_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [problem] = problems(examined(monkeypatch, tmp_path))
    assert "holds no flow logs" in problem
    assert "Point FLOW_SOURCES at the folder above" in problem


def test_one_container_of_two(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    put_flows(folder, flow(HOUR))
    (folder / NSG_CONTAINER).rmdir()
    found = examined(monkeypatch, folder)
    assert found.sources[0].missing_containers == (NSG_CONTAINER,)
    assert found.findings == []
    assert examined(monkeypatch, folder / VNET_CONTAINER).sources[0].missing_containers == ()


def test_a_source_named_twice(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    put_flows(folder, flow(HOUR))
    found = examined(monkeypatch, folder, folder)
    [warning] = warnings(found)
    assert "named twice" in warning
    assert found.would_run
    assert found.plan is not None
    assert found.plan.new_hours == 1


def test_containers_without_a_blob_stop_a_run_that_has_no_start(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    found = examined(monkeypatch, folder)
    [problem] = problems(found)
    assert "no flow log was found in any source" in problem
    assert "set FLOW_START" in problem
    assert [text for text in warnings(found) if "is empty" in text]
    found = examined(monkeypatch, folder, start="2026-11-01T00")
    assert found.would_run
    assert found.plan is not None
    assert (found.plan.start, found.plan.new_hours) == (datetime(2026, 11, 1), 0)


def test_blobs_of_other_services(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    metric = document({"time": "2026-11-01T05:00:00Z", "metricName": "hits", "category": "Audit"})
    put_at(folder, VAULT, HOUR, content=metric)
    found = examined(monkeypatch, folder)
    texts = warnings(found)
    assert any("1 of 1 paths belong to other services" in text for text in texts)
    assert any("MICROSOFT.KEYVAULT/VAULTS/KEYS" in text for text in texts)
    assert any("foreign_category" in text for text in texts)
    assert all("correct FLOW_SOURCES" in text for text in texts if "paths belong" in text)
    assert found.sources[0].containers[0].versions == {}
    put_flows(folder, flow(HOUR))
    assert any(
        "1 of 2 paths belong" in text and "Nothing has to be done" in text
        for text in warnings(examined(monkeypatch, folder))
    )


def test_blobs_without_an_hour_in_their_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / VNET_CONTAINER / "copied" / "PT1H.json"
    path.parent.mkdir()
    path.write_bytes(document())
    texts = warnings(examined(monkeypatch, folder))
    [text] = [text for text in texts if "nothing with a written hour" in text]
    assert "copied/PT1H.json" in text
    assert "keep the whole path" in text


@pytest.fixture
def no_privileges() -> Iterator[None]:
    """Have root held to the permissions of files, as everybody is (capabilities(7))."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Twice effective, permitted and inheritable.
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    before = held[0]
    # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
    held[0] = before & ~0b110
    assert libc.capset(header, held) == 0
    yield
    held[0] = before
    assert libc.capset(header, held) == 0


@pytest.mark.usefixtures("no_privileges")
def test_what_may_not_be_read(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    put_flows(folder, flow(HOUR))
    blob = next(folder.rglob("PT1H.json"))
    blob.chmod(0)
    [problem] = problems(examined(monkeypatch, folder))
    assert "could not be read: Permission denied" in problem
    blob.chmod(0o600)
    blob.parent.chmod(0)
    found = examined(monkeypatch, folder)
    blob.parent.chmod(0o700)
    # Not that there were no flow logs: nobody could see.
    [problem] = problems(found)
    assert "may not be read" in problem
    assert found.list_calls > 0


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "is_late"), [(179, False), (181, True)])
def test_silence_of_more_than_two_hours(
    monkeypatch: pytest.MonkeyPatch, folder: Path, minutes: int, is_late: bool
) -> None:
    put_flows(folder, flow(HOUR))
    found = examined(monkeypatch, folder, now=HOUR + minutes * MINUTE)
    assert found.would_run
    assert [text for text in warnings(found) if "switched off" in text] == warnings(found)
    assert bool(warnings(found)) is is_late


def test_both_kinds_of_flow_logs_for_one_nic(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for back in range(3):
        put_flows(folder, flow(HOUR), hour=HOUR - back * H, mac="000D3AF87856")
        put_at(folder, NSG, HOUR - (back + 1) * H, "000d3af87856", nsg_document(2))
        put_at(folder, NSG, HOUR - (back + 1) * H, "000D3A000009", nsg_document(2))
    found = examined(monkeypatch, folder)
    [overlap] = found.overlaps
    # VNet has the hours 3 to 5, NSG 2 to 4: both have 3 and 4.
    assert (overlap.start, overlap.end) == (HOUR - 2 * H, HOUR)
    assert overlap.nics == {"000D3AF87856"}
    [warning] = warnings(found)
    assert "counted twice" in warning
    assert "Switch one of the two off" in warning


def test_a_migration_without_overlap(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    put_flows(folder, flow(HOUR))
    put_at(folder, NSG, HOUR - H, content=nsg_document(2))
    put_at(folder, NSG, HOUR, "000D3A000009", nsg_document(2))
    assert examined(monkeypatch, folder).overlaps == ()


# --- the lake ------------------------------------------------------------------------------------


def test_a_lake_that_holds_some_hours(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    for back in range(3):
        put_flows(folder, flow(HOUR), flow(HOUR), hour=HOUR - back * H)
    monkeypatch.setenv("FLOW_SOURCES", str(folder))
    monkeypatch.setenv("FLOW_LAKE", str(tmp_path / "lake"))
    pipeline = Pipeline.open(read_settings())
    pipeline.ensure_start()
    pipeline.land([HOUR - 2 * H, HOUR - H])
    before = everything_below(tmp_path)
    found = examined(monkeypatch, folder)
    assert found.would_run
    assert (found.lake.version, found.lake.hours, found.lake.tuples) == (1, 2, 4)
    assert (found.lake.first_hour, found.lake.last_hour) == (HOUR - 2 * H, HOUR - H)
    assert found.plan is not None
    # Nothing was built of what was landed, so a run begins at the start.
    assert (found.plan.start, found.plan.new_hours) == (HOUR - 2 * H, 1)
    assert everything_below(tmp_path) == before


def test_a_lake_of_the_sample(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "lake.json").write_text(json.dumps({"version": 1, "is_sample": True, "start": None}))
    [problem] = problems(examined(monkeypatch, folder, lake=lake))
    assert "holds generated data" in problem
    assert "Set FLOW_LAKE to another directory" in problem


def test_a_lake_of_another_version(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "lake.json").write_text('{"version": 99, "is_sample": false, "start": null}')
    found = examined(monkeypatch, folder, lake=lake)
    [problem] = problems(found)
    assert "has layout 99" in problem
    assert found.plan is None
    # The sources were examined all the same.
    assert found.sources[0].containers[0].survey.last_hour == HOUR


def test_a_file_where_the_lake_should_be(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    (tmp_path / "file").write_text("")
    for lake in (tmp_path / "file", tmp_path / "file" / "lake"):
        [problem] = problems(examined(monkeypatch, folder, lake=lake))
        assert "The lake cannot be used" in problem
        assert "FLOW_LAKE" in problem


@pytest.mark.parametrize("is_there", [True, False])
def test_a_lake_that_may_not_be_written(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path, is_there: bool
) -> None:
    put_flows(folder, flow(HOUR))
    parent = tmp_path / "parent"
    parent.mkdir()
    if is_there:
        (parent / "lake.json").write_text('{"version": 1, "is_sample": false, "start": null}')
    lake = parent if is_there else parent / "some" / "lake"
    # As the operating system answers for a file system that is mounted to be read only.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != parent or not mode & os.W_OK)
    [problem] = problems(examined(monkeypatch, folder, lake=lake))
    assert f"{parent} is no directory that this user may write to" in problem


def test_a_disk_that_is_too_small(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_at(folder, SHORT, HOUR - H, content=document())
    # Seven hours of 3 GB that take no room: 21 GB of blobs, of which two fifths are 8.4 GB.
    for back in range(7):
        put_at(folder, SHORT, HOUR - back * H)
        path = next((folder / SHORT).rglob(f"h={(HOUR - back * H):%H}/**/PT1H.json"))
        os.truncate(path, 3_000_000_000)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=8_000_000_000))
    [problem] = problems(examined(monkeypatch, folder))
    assert "has 8.0 GB free; what a run would land needs about 8.4 GB" in problem
    assert "Make room" in problem
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=9_000_000_000))
    assert problems(examined(monkeypatch, folder)) == []


# --- reference data and settings -----------------------------------------------------------------


def test_reference_data_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    feed = tmp_path / "feed.txt"
    feed.write_text("198.51.100.7\n203.0.113.0/24\n")
    found = examined(
        monkeypatch,
        folder,
        country_db=feed,
        threat_feeds=f"{feed} {tmp_path / 'none.txt'} https://203.0.113.9/list.txt?key=c2VjcmV0",
    )
    assert [problem.split(":")[0] for problem in problems(found)] == [
        f"The country database {feed} is no whole .mmdb file",
        f"The threat feed {tmp_path / 'none.txt'} cannot be read",
    ]
    # The address is reserved for documentation, and the tests' network is blocked: it is not asked.
    assert [(each.name, each.is_url, each.entries) for each in found.reference.feeds] == [
        ("feed.txt", False, 2),
        ("none.txt", False, None),
        ("203.0.113.9/list.txt", True, None),
    ]
    assert "c2VjcmV0" not in repr(found)


def test_a_feed_that_is_kept_is_no_reason_to_stop(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    feed = tmp_path / "feed.txt"
    feed.write_text("198.51.100.7\n")
    monkeypatch.setenv("FLOW_SOURCES", str(folder))
    monkeypatch.setenv("FLOW_THREAT_FEEDS", str(feed))
    Pipeline.open(read_settings()).refresh_feeds()
    feed.unlink()
    found = examined(monkeypatch, folder)
    assert found.would_run
    assert any("feed.txt cannot be read" in text for text in warnings(found))


def test_two_feeds_of_one_name(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    feeds = f"{tmp_path / 'a' / 'feed.txt'} {tmp_path / 'b' / 'feed.txt'}"
    [problem] = problems(examined(monkeypatch, folder, threat_feeds=feeds))
    assert "two feeds are called feed.txt" in problem


# --- the command ---------------------------------------------------------------------------------


def printed(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_names_out_of_paths_reach_the_terminal_as_text(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    hostile = "[red]x[/red] \x1b]0;owned\x07\x1b[2J"
    put_at(folder, f"{VNET_CONTAINER}/{hostile}", HOUR, mac=hostile)
    put_at(folder, NSG, HOUR, mac=hostile, content=nsg_document(2))
    put_at(folder, f"{FULL}{hostile}", HOUR, mac=hostile, content=document(f"{hostile}"))
    monkeypatch.setenv("FLOW_SOURCES", str(folder))
    status, output = printed()
    assert status == 0
    assert "[red]x[/red]" in output
    assert "owned" in output
    assert {c for c in output if not c.isprintable()} == {"\n"}


def test_the_exit_status_tells_whether_a_run_would_start(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    put_flows(folder, flow(HOUR))
    monkeypatch.setenv("FLOW_SOURCES", str(folder))
    status, output = printed()
    assert status == 0
    assert "a run can start" in output
    monkeypatch.setenv("FLOW_SOURCES", f"{folder} {tmp_path / 'nowhere'}")
    status, output = printed()
    assert status == 1
    assert "Problems: 1" in output
    assert "nowhere is no folder" in output
    assert VNET_CONTAINER in output


def test_the_sample_before_it_is_generated(tmp_path: Path) -> None:
    status, output = printed("--sample")
    assert status == 0
    assert "not generated yet" in output
    assert list(Path.cwd().iterdir()) == []


def test_the_limits_are_what_the_documentation_says() -> None:
    text = (Path(doctor.__file__).parents[1] / "docs/how-to/ask-the-doctor.md").read_text("utf-8")
    for limit in (
        f"{survey.FINDING_CALLS + survey.HOUR_CALLS:,} list calls",
        f"{survey.PEEKED_BLOBS} blobs",
        f"{survey.PEEK_BYTES // 1024} KiB",
    ):
        assert limit in text, limit
