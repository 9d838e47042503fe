"""The command line as a person meets it: each call is a process of its own."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from flow_pipeline.flowlog.schema import NSG_CONTAINER, VNET_CONTAINER
from tests.unit.blobs import blob_name, document, flow, put, record

pytestmark = pytest.mark.integration

HOUR = datetime(2025, 11, 1, 5)
AT = HOUR + timedelta(minutes=10)
# What strangers can write into a name: markup, tables, terminals, spreadsheets, SQL.
HOSTILE_RULE = "=HYPERLINK(\"x\")|`<script>alert('1')</script>`\n| a | b |\x1b[31mred\x1b]0;t\x07"
HOSTILE_ACL = "'; drop table fct_flows; --"
HOSTILE_MAC = "<b>|`'\"\x1b[31m"


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


def flow_pipeline(directory: Path, *arguments: str, **variables: str) -> Ended:
    """Call the command in a directory, with these settings and no others."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("flow-pipeline")), *arguments],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ended.text
    # CSV is for programs and gives texts as they are; nothing else may hold what a terminal obeys.
    assert "\x1b" not in (ended.err if "--csv" in arguments else ended.text)
    return ended


# ------------------------------------------------------------------------------------- bad input


@dataclass(frozen=True)
class BadDay:
    """A run over every kind of bad input."""

    directory: Path
    variables: Mapping[str, str]
    run: Ended
    blobs: Mapping[str, str]

    def csv(self, query: str) -> list[list[str]]:
        done = flow_pipeline(self.directory, "sql", "--csv", query, **self.variables)
        assert (done.code, done.err) == (0, "")
        return list(csv.reader(io.StringIO(done.out)))


GOOD = flow(AT, "203.0.113.1", port=22, state="D")
_BAD_VNET: dict[str, str] = {
    "": "empty",
    "1,2": "too_few_fields",
    GOOD + ",1": "too_many_fields",
    GOOD.replace("203.0.113.1", "203.0.113.256"): "address_unreadable",
    GOOD.replace(",22,", ",65536,"): "port_unreadable",
    GOOD.replace(",6,I", ",tcp,I"): "protocol_unreadable",
    GOOD.replace(",I,", ",X,"): "direction_unknown",
    GOOD.replace(",D,", ",Q,"): "state_unknown",
    GOOD.replace(",NX,0,", ",NX,-1,"): "counter_unreadable",
    GOOD.replace(",NX,0,0,", ",NX,0,many,"): "counter_unreadable",
    "soon" + GOOD[13:]: "flow_time_unreadable",
    flow(HOUR + timedelta(hours=3)): "flow_time_implausible",
    flow(datetime(2009, 12, 31)): "flow_time_implausible",
}
GOOD_NSG = "1761973800,192.0.2.1,10.0.0.4,1,22,T,I,D,B,,,,"
_BAD_NSG = {
    "1762,192.0.2.1,10.0.0.4,1,22,T,I,A,B,,,,": "flow_time_implausible",
    "1761973800,192.0.2.1,10.0.0.4,1,22,T,I,Q,B,,,,": "decision_unknown",
}


@pytest.fixture(scope="module")
def bad_day(tmp_path_factory: pytest.TempPathFactory) -> BadDay:
    directory = tmp_path_factory.mktemp("bad-day")
    logs = directory / "logs"
    good = record([GOOD], AT)
    whole = document(good, good)
    contents = {
        "GOOD": whole,
        "TEXT": b"this is no JSON",
        "OTHERJSON": b'{"metrics": [1, 2, 3]}',
        "FOREIGN": document({**good, "category": "NetworkSecurityGroupEvent"}),
        "CUTOFF": whole[:-120],
        "EMPTY": b"",
        "NEWFIELDS": document({**good, "brandNew": {"deep": [1, {"er": None}]}}),
        "VERSION9": document({**good, "flowLogVersion": 9}),
        "BADTUPLES": document(record([GOOD, *_BAD_VNET, 17, None], AT)),
        HOSTILE_MAC: document(record([GOOD, "bad"], AT, HOSTILE_RULE, HOSTILE_ACL)),
    }
    blobs = {mac: put(logs, content, HOUR, mac) for mac, content in contents.items()}
    blobs["NSG"] = blob_name(HOUR, "NSG").replace(VNET_CONTAINER, NSG_CONTAINER)
    (logs / blobs["NSG"]).parent.mkdir(parents=True)
    (logs / blobs["NSG"]).write_bytes(document(nsg_record([GOOD_NSG, *_BAD_NSG])))
    variables = {"FLOW_SOURCES": str(logs), "FLOW_LAKE": "lake"}
    run = flow_pipeline(
        directory, "run", "--from", "2025-11-01T05", "--to", "2025-11-01T06", **variables
    )
    return BadDay(directory, variables, run, blobs)


def test_bad_input_is_no_failure_of_the_run(bad_day: BadDay) -> None:
    assert bad_day.run.code == 0, bad_day.run.text
    assert "Not everything could be decoded" in bad_day.run.out
    # By name and reason; the first ten, and how many more there are.
    assert f"{bad_day.blobs['BADTUPLES']}: 1 x empty" in bad_day.run.out
    assert "… and" in bad_day.run.out


def test_each_bad_tuple_is_kept_with_its_reason(bad_day: BadDay) -> None:
    head, *rows = bad_day.csv("select blob, raw, reject_reason, rule from rejected_tuples")
    assert head == ["blob", "raw", "reject_reason", "rule"]
    found = {(blob, unescaped(raw)): reason for blob, raw, reason, _ in rows}
    expected = {(bad_day.blobs["BADTUPLES"], raw): reason for raw, reason in _BAD_VNET.items()}
    expected |= {(bad_day.blobs["NSG"], raw): reason for raw, reason in _BAD_NSG.items()}
    expected[bad_day.blobs["BADTUPLES"], "17"] = "not_text"
    expected[bad_day.blobs["BADTUPLES"], "null"] = "not_text"
    expected[bad_day.blobs[HOSTILE_MAC], "bad"] = "too_few_fields"
    assert found == expected


def test_the_rest_of_bad_blobs_is_landed(bad_day: BadDay) -> None:
    _, *rows = bad_day.csv("select blob, count(*) from fct_flows group by all")
    landed = {blob: int(count) for blob, count in rows}
    names = {mac: landed.get(blob, 0) for mac, blob in bad_day.blobs.items()}
    assert names == {
        "GOOD": 2,
        "TEXT": 0,
        "OTHERJSON": 0,
        "FOREIGN": 0,
        "CUTOFF": 1,
        "EMPTY": 0,
        "NEWFIELDS": 1,
        # The layout is told by the tuple; that the version is unknown is reported.
        "VERSION9": 1,
        "BADTUPLES": 1,
        HOSTILE_MAC: 1,
        "NSG": 1,
    }


def test_each_bad_blob_is_reported_by_name(bad_day: BadDay) -> None:
    _, *rows = bad_day.csv(
        "select blob, p ->> 'code' from (select blob, unnest(cast(problem_details as json[])) as p "
        "from landed_blobs)"
    )
    codes = {(blob, code) for blob, code in rows}
    assert codes == {
        (bad_day.blobs["TEXT"], "not_a_flow_log"),
        (bad_day.blobs["OTHERJSON"], "not_a_flow_log"),
        (bad_day.blobs["FOREIGN"], "foreign_category"),
        (bad_day.blobs["CUTOFF"], "cut_off"),
        (bad_day.blobs["EMPTY"], "cut_off"),
        (bad_day.blobs["VERSION9"], "unknown_version"),
    }


def test_hostile_names_are_shown_and_obeyed_nowhere(bad_day: BadDay) -> None:
    query = "select rule, acl_id from fct_flows where rule like '=%'"
    _, row = bad_day.csv(query)
    # CSV gives the text exactly, but for the quote that keeps a spreadsheet from running it.
    assert row == ["'" + HOSTILE_RULE, HOSTILE_ACL]
    shown = flow_pipeline(bad_day.directory, "sql", query, **bad_day.variables)
    assert shown.code == 0
    assert "drop table" in " ".join(shown.out.split())
    # A line of the table for each line of the screen: nothing broke out of its cell.
    assert all(line[0] in "┏┃┡│└" and line[-1] in "┓┃┩│┘" for line in shown.out.splitlines())


def test_a_report_in_markdown_holds_names_as_code(
    bad_day: BadDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(bad_day.directory / ".dagster"))
    with dg.DagsterInstance.get() as instance:
        [record] = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(["flow_logs", "flow_records"]),
                asset_partitions=["2025-11-01-05:00"],
            ),
            limit=1,
        ).records
    assert record.asset_materialization is not None
    metadata = record.asset_materialization.metadata
    assert metadata["rejected"].value == len(_BAD_VNET) + len(_BAD_NSG) + 3
    report = str(metadata["report"].value)
    # Every line is a list item whose names are code; a backtick of theirs does not end it.
    for line in report.splitlines():
        assert line.startswith("- `")
        assert line.count("`") == 4
    assert "\x1b" not in report
    assert "cut_off" in report


def test_a_run_stands_in_dagster_as_any_other(
    bad_day: BadDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(bad_day.directory / ".dagster"))
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
    assert {(run.job_name, run.status) for run in runs} == {
        ("hours_job", dg.DagsterRunStatus.SUCCESS),
        ("days_job", dg.DagsterRunStatus.SUCCESS),
    }


# ------------------------------------------------------------------------------------------- sql


def test_wrong_sql_is_a_message(bad_day: BadDay) -> None:
    done = flow_pipeline(
        bad_day.directory, "sql", "select wrong from fct_flows", **bad_day.variables
    )
    assert (done.code, done.out) == (1, "")
    assert "wrong" in done.err
    assert "show tables" in done.err


def test_csv_is_all_there_is_on_standard_output(bad_day: BadDay) -> None:
    assert bad_day.csv("select 1 as a, null as b, 'x,y' as c") == [
        ["a", "b", "c"],
        ["1", "", "x,y"],
    ]


def test_sql_needs_a_lake(tmp_path: Path) -> None:
    done = flow_pipeline(tmp_path, "sql", "select 1", FLOW_LAKE="nowhere")
    assert (done.code, done.out) == (1, "")
    assert "flow-pipeline run" in done.err
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------- settings and sources that make no sense


@pytest.mark.parametrize(
    ("arguments", "variables", "culprit"),
    [
        ((), {"FLOW_SOURCES": "missing"}, "FLOW_SOURCES"),
        ((), {"FLOW_SOURCES": "logs https://example.org/what/ever/else"}, "FLOW_SOURCES"),
        ((), {"FLOW_START": "yesterday"}, "FLOW_START"),
        ((), {"FLOW_TOP_N": "0"}, "FLOW_TOP_N"),
        ((), {"FLOW_TOP_EXCLUDED_PORTS": "70000"}, "FLOW_TOP_EXCLUDED_PORTS"),
        ((), {"FLOW_COUNTRY_DB": "missing.mmdb"}, "FLOW_COUNTRY_DB"),
        (("--from", "2025-11-02", "--to", "2025-11-01"), {}, "--to"),
        (("--from", "2025-11-01T00:30"), {}, "--from"),
        (("--from", "tomorrow"), {}, "--from"),
        (("--from", "2999-01-01"), {}, "--from"),
        (("--bogus",), {}, "--bogus"),
    ],
)
def test_what_makes_no_sense_stops_before_anything_is_read(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], culprit: str
) -> None:
    put(tmp_path / "logs", document(record([GOOD], AT)), HOUR)
    done = flow_pipeline(tmp_path, "run", *arguments, **{"FLOW_SOURCES": "logs", **variables})
    assert (done.code, done.out) == (2, "")
    assert culprit in done.err
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_source_without_a_single_blob_is_told_apart_from_an_empty_hour(tmp_path: Path) -> None:
    (tmp_path / "logs" / VNET_CONTAINER).mkdir(parents=True)
    done = flow_pipeline(tmp_path, "run", FLOW_SOURCES="logs")
    assert (done.code, done.out) == (2, "")
    assert "no flow log was found" in done.err
    assert "FLOW_START" in done.err


def test_an_account_that_does_not_answer_is_named(tmp_path: Path, unused_port: int) -> None:
    endpoint = f"http://127.0.0.1:{unused_port}/devstoreaccount1"
    done = flow_pipeline(
        tmp_path,
        "run",
        "--from",
        "2025-11-01T05",
        "--to",
        "2025-11-01T06",
        FLOW_SOURCES=endpoint,
        FLOW_CREDENTIAL_DEVSTOREACCOUNT1="c2VjcmV0",
    )
    assert done.code == 1
    assert endpoint in done.err
    assert "c2VjcmV0" not in done.text


def nsg_record(tuples: list[str]) -> dict[str, Any]:
    """A record of an NSG flow log of version 2."""
    nic = {"mac": "000D3A000001", "flowTuples": tuples}
    return {
        "time": f"{AT:%Y-%m-%dT%H:%M:%S}.0000000Z",
        "systemId": "8d1f0c5e-0000-4000-8000-000000000001",
        "macAddress": "000D3A000001",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": "/SUBSCRIPTIONS/S/NETWORKSECURITYGROUPS/N",
        "operationName": "NetworkSecurityGroupFlowEvents",
        "properties": {"Version": 2, "flows": [{"rule": "UserRule_any", "flows": [nic]}]},
    }


def unescaped(cell: str) -> str:
    return cell.removeprefix("'")


def feeds_shown(at: Path, settings: dict[str, str]) -> str:
    return flow_pipeline(at, "feeds", **settings).out


def test_a_feed_that_breaks_is_told_and_a_small_one_is_taken_on_purpose(tmp_path: Path) -> None:
    put(tmp_path / "logs", document(record([flow(AT)], AT)), HOUR)
    entries = [f"203.0.113.{no}" for no in range(30)]
    (tmp_path / "feed.txt").write_text("\n".join(["198.51.100.7", *entries]))
    settings = {"FLOW_SOURCES": "logs", "FLOW_THREAT_FEEDS": "feed.txt"}
    hours = ("--from", f"{HOUR:%Y-%m-%dT%H}", "--to", f"{HOUR + timedelta(hours=1):%Y-%m-%dT%H}")
    assert "threat feed" not in flow_pipeline(tmp_path, "run", *hours, **settings).out
    # A file has no time at which it was asked last.
    assert re.search(r"feed\.txt +31 +\S+ \S+ +by each run", feeds_shown(tmp_path, settings))

    (tmp_path / "feed.txt").write_text("203.0.113.1\n")
    ended = flow_pipeline(tmp_path, "run", *hours, **settings)
    assert ended.code == 0
    assert "Not every threat feed could be read" in ended.out
    assert "feed.txt lists 1 entries, where it listed 31 before" in ended.out
    assert "lists 1 entries" in feeds_shown(tmp_path, settings)

    wrong = flow_pipeline(tmp_path, "feeds", "--accept", "other.txt", **settings)
    assert wrong.code == 2
    assert "one of feed.txt" in wrong.err
    assert (
        "feed.txt: 1 entries taken"
        in flow_pipeline(tmp_path, "feeds", "--accept", "feed.txt", **settings).out
    )
    assert "threat feed" not in feeds_shown(tmp_path, settings)
    listed = "select is_listed_now from threat_matches where ip = '198.51.100.7'"
    assert flow_pipeline(tmp_path, "sql", "--csv", listed, **settings).out.split() == [
        "is_listed_now",
        "False",
    ]


def test_a_bad_line_of_the_allow_list_stops_everything_before_it_runs(tmp_path: Path) -> None:
    put(tmp_path / "logs", document(record([flow(AT)], AT)), HOUR)
    (tmp_path / "allowed.csv").write_text("prefix,reason\n10.0.0.0/33,x\n")
    settings = {"FLOW_SOURCES": "logs", "FLOW_ALLOW_LIST": "allowed.csv"}
    ended = flow_pipeline(tmp_path, "run", **settings)
    assert ended.code == 2
    assert "allowed.csv line 2: '10.0.0.0/33' is no address or prefix" in ended.err
    assert not (tmp_path / "lake").exists()
    assert "allowed.csv line 2" in flow_pipeline(tmp_path, "doctor", **settings).out
