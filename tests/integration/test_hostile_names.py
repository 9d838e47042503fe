"""Names that strangers choose: kept as they are, shown harmlessly, and obeyed by nobody.

Resource ids, rules, MAC addresses and blob paths that try to climb out of the lake, or to end a
string of SQL, a cell of Markdown, a line of a terminal.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import connect
from flow_pipeline.landing import land_hour
from flow_pipeline.ledger import verify_hours
from tests.integration.accounts import Account, Azurite
from tests.integration.fault_proxy import fault_proxy
from tests.unit.blobs import document, flow, record

pytestmark = pytest.mark.integration

HOUR = datetime(2025, 11, 1, 5)
NAMES = {
    "climbs": "../../../../var/climbed",
    "climbs as encoded": "..%2F..%2F..%2Ftmp%2Fclimbed",
    "climbs as a partition": "written_date=2025-11-01/written_hour=6/x",
    "ends a string": "'; drop table fct_flows; --",
    "ends an identifier": '"; drop table fct_flows; --',
    "is a macro": "{{ env_var('HOME') }}{% raw %}",
    "is a variable": "$HOME$(touch climbed)`touch climbed`",
    "is markup": "[red]x[/red][link=file:///etc/passwd]y[/link]",
    "is Markdown": "`|**x**|`\n| a | b |\n![x](http://198.51.100.1/x.png)",
    "is HTML": "<script>alert(1)</script><img src=http://198.51.100.1/>",
    "is a terminal's": "\x1b[2J\x1b]0;title\x07\x9b31m",
    "has lines": "one\r\ntwo\nthree\u2028four",
    "goes backwards": "\u202egnp.exe",
    "has a NUL": "before\x00behind",
    "is a formula": '=HYPERLINK("http://198.51.100.1")',
    "is a glob": "*?[a-z]{x,y}",
    "has backslashes": "C:\\x\\..\\y\\n\\u0000",
    "is long": "x" * 1024,
    "is empty": "",
    "is of all the world": "é中文 🦊 ﷽",
}
# What a file system or a blob service takes as a part of a path, and XML as a text.
IN_PATHS = {
    key: name.replace("/", "%2F")
    for key, name in NAMES.items()
    if name and len(name) < 200 and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u202e\\]", name)
}


def path_with(name: str, hour: datetime = HOUR) -> str:
    """A blob whose resource and NIC have a name."""
    return (
        f"{VNET_CONTAINER}/flowLogResourceID=/{name}/{hour:y=%Y/m=%m/d=%d/h=%H}/m=00/"
        f"macAddress={name}/PT1H.json"
    )


def named_record(name: str) -> dict[str, Any]:
    """A record in which everything that can be named is named so, and one tuple is its name."""
    found = record([flow(HOUR), name], HOUR, rule=name, acl_id=name)
    return found | {
        "macAddress": name,
        "flowLogGUID": name,
        "flowLogResourceID": name,
        "targetResourceID": name,
    }


def all_names() -> bytes:
    return document(*map(named_record, NAMES.values()))


def files_below(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*")}


IN_A_LAKE = re.compile(
    r"(lake\.json|views(_of_days)?\.json|flows\.duckdb"
    r"|\w+(/_delta_log(/\d+\.json)?|(/(written_)?date=2025-11-0\d(/(written_)?hour=\d+)?)?"
    r"(/[0-9a-f]{32}\.parquet)?))"
)


def assert_lake_holds_only_its_own(root: Path) -> None:
    strange = {path for path in files_below(root) if not IN_A_LAKE.fullmatch(path)}
    assert strange == set()


# --------------------------------------------------------------------------------- the whole way


@dataclass(frozen=True)
class Done:
    """A run over hostile names in a folder."""

    directory: Path
    variables: Mapping[str, str]
    run: subprocess.CompletedProcess[str]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("flow-pipeline")), *arguments],
            cwd=self.directory,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    directory = tmp_path_factory.mktemp("hostile") / "home"
    directory.mkdir()
    variables = {"FLOW_SOURCES": "logs", "FLOW_LAKE": "lake"}
    for name in IN_PATHS.values():
        path = directory / "logs" / path_with(name)
        path.parent.mkdir(parents=True)
        path.write_bytes(document(named_record(name)))
    put_all_names(directory, all_names())
    found = Done(directory, variables, subprocess.CompletedProcess([], 0))
    hours = ("run", "--from", "2025-11-01T05", "--to", "2025-11-01T06")
    first = found.call(*hours)
    assert first.returncode == 0, first.stderr
    # Again, with one blob that is another: the rows of all others are carried over.
    put_all_names(directory, document(*map(named_record, [*NAMES.values(), "added"])))
    return Done(directory, variables, found.call(*hours))


def put_all_names(directory: Path, content: bytes) -> None:
    path = directory / "logs" / path_with("ALL")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def names_in(lake: Lake, table: str, column: str) -> list[Any]:
    with connect(lake) as connection:
        found = connection.execute(
            f"select {column} from {table} where blob = ?", [path_with("ALL")]
        )
        return sorted(row[0] or "" for row in found.fetchall())


@pytest.mark.parametrize("column", ["rule", "acl_id", "mac", "flow_log_id", "target_resource_id"])
@pytest.mark.parametrize("table", ["flow_records", "rejected_tuples", "fct_flows"])
def test_names_are_kept_as_they_are(done: Done, table: str, column: str) -> None:
    lake = Lake.open_to_read(done.directory / "lake")
    assert names_in(lake, table, column) == sorted([*NAMES.values(), "added"])


def test_texts_that_are_no_tuples_are_kept_as_they_are(done: Done) -> None:
    lake = Lake.open_to_read(done.directory / "lake")
    assert names_in(lake, "rejected_tuples", "raw") == sorted([*NAMES.values(), "added"])


@pytest.mark.parametrize("table", ["landed_blobs", "fct_flows", "rejected_tuples"])
def test_paths_are_kept_as_they_are(done: Done, table: str) -> None:
    lake = Lake.open_to_read(done.directory / "lake")
    with connect(lake) as connection:
        found = connection.execute(f"select distinct blob from {table}").fetchall()
    assert {blob for (blob,) in found} == {path_with(n) for n in [*IN_PATHS.values(), "ALL"]}


def test_nothing_is_written_but_the_lake_and_the_history(done: Done) -> None:
    assert {path.name for path in done.directory.iterdir()} == {"logs", "lake", ".dagster"}
    assert [path.name for path in done.directory.parent.iterdir()] == ["home"]
    assert_lake_holds_only_its_own(done.directory / "lake")
    assert not Path("/var/climbed").exists()
    lake = Lake.open_to_read(done.directory / "lake")
    assert {"landed_tuples", "ip_lookup", "fct_flows"} <= set(lake.table_names())
    assert verify_hours(lake, [HOUR]).faults == []


def test_a_run_shows_names_and_obeys_none(done: Done) -> None:
    assert done.run.returncode == 0, done.run.stderr
    shown = done.run.stdout + done.run.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", shown)
    assert "Not everything could be decoded" in shown
    # Rich would have taken it for a colour.
    assert "[red]" in done.call("sql", "select rule from fct_flows").stdout


def test_a_table_of_names_keeps_its_shape(done: Done) -> None:
    query = "select rule, mac, acl_id from fct_flows where blob like '%=ALL/%' and len(rule) < 99"
    shown = done.call("sql", query)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert all(line[0] in "┏┃┡│└" and line[-1] in "┓┃┩│┘" for line in shown.stdout.splitlines())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", shown.stdout)


def test_csv_gives_every_name_exactly(done: Done) -> None:
    query = "select rule from fct_flows where blob like '%=ALL/%'"
    found = subprocess.run(
        [str(Path(sys.executable).with_name("flow-pipeline")), "sql", "--csv", query],
        cwd=done.directory,
        env={**os.environ, **done.variables},
        capture_output=True,
        check=True,
        timeout=240,
    )
    _, *rows = csv.reader(io.StringIO(found.stdout.decode(), newline=""))
    # A quote is put before what a spreadsheet would run.
    texts = [(row[0] if row else "").removeprefix("'=") for row in rows]
    expected = [name.removeprefix("=") for name in [*NAMES.values(), "added"]]
    assert sorted(texts) == sorted(expected)


def test_dagster_is_shown_names_as_code(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(done.directory / ".dagster"))
    with dg.DagsterInstance.get() as instance:
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(["flow_logs", "flow_records"]),
                asset_partitions=["2025-11-01-05:00"],
            ),
            limit=1,
        ).records
    assert found[0].asset_materialization is not None
    report = str(found[0].asset_materialization.metadata["report"].value)
    for line in report.splitlines():
        assert line.startswith("- `")
        assert line.count("`") == 4
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", report)


def test_the_closing_answers_show_names_of_machines_harmlessly(tmp_path: Path) -> None:
    """Three machines that were probed before their first packet, so that sentences name them."""
    names = [NAMES["is markup"], NAMES["is a terminal's"], NAMES["has lines"]]
    begin, probe, alive = (HOUR + timedelta(minutes=n) for n in (1, 10, 20))
    records = [record([flow(begin, dst="10.0.0.99")], begin)]
    for number, name in enumerate(names):
        ip = f"10.0.0.{number + 4}"
        sent = flow(alive, src=ip, dst="198.51.100.9").replace(",I,", ",O,")
        seen = (record([flow(probe, dst=ip)], probe), record([sent], alive))
        records += [each | {"macAddress": name} for each in seen]
    path = tmp_path / "logs" / path_with("machines")
    path.parent.mkdir(parents=True)
    path.write_bytes(document(*records))
    done = Done(
        tmp_path,
        {"FLOW_SOURCES": "logs", "FLOW_LAKE": "lake", "COLUMNS": "400"},
        subprocess.CompletedProcess([], 0),
    )
    run = done.call("run", "--from", "2025-11-01T05", "--to", "2025-11-01T06")
    assert run.returncode == 0, run.stderr
    told = [line.strip() for line in run.stdout.splitlines() if "was first probed" in line]
    assert sorted(told) == sorted(
        f"{shown} ({ip}) was first probed 10 min 0 s before its first own packet; until then it "
        "saw 1 probe from 1 source."
        for shown, ip in (
            (names[0].upper(), "10.0.0.4"),
            ("�[2J�]0;TITLE��31M", "10.0.0.5"),
            ("ONE��TWO�THREE�FOUR", "10.0.0.6"),
        )
    )
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", run.stdout + run.stderr)


# ------------------------------------------------------------------------------ from an account


@pytest.fixture
def account(azurite: Azurite) -> Iterator[Account]:
    azurite.service.create_container(VNET_CONTAINER)
    # The proxy holds every request to reading.
    with fault_proxy(azurite.endpoint) as (_, endpoint):
        yield Account(azurite, endpoint)
    azurite.service.delete_container(VNET_CONTAINER)


def test_hostile_paths_of_an_account_are_landed_carried_over_and_read_on(
    account: Account, tmp_path: Path
) -> None:
    lake = Lake.open(tmp_path / "lake")
    for name in IN_PATHS.values():
        account.put(path_with(name), [json.dumps(named_record(name)).encode()])
    for now in (HOUR + timedelta(minutes=30), HOUR + timedelta(hours=2)):
        source = account.open(VNET_CONTAINER)
        land_hour(lake, [source], HOUR, lambda now=now: now)
        source.close()
        with connect(lake) as connection:
            found = connection.execute(
                "select blob, rule, mac, count(*) from flow_records group by all order by all"
            ).fetchall()
        grown = IN_PATHS["ends a string"]
        counts = dict.fromkeys(IN_PATHS.values(), 1)
        if now > HOUR + timedelta(hours=1):
            counts[grown] = 2
        assert found == sorted((path_with(n), n, n, count) for n, count in counts.items())
        assert verify_hours(lake, [HOUR]).faults == []
        added = [json.dumps(named_record(grown)).encode()] * 2
        account.put(path_with(grown), added)
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
    assert_lake_holds_only_its_own(lake.root)
