"""The jobs run by Dagster in this process: what stands in its history, and what stops them."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from flow_pipeline.lake import Lake
from flow_pipeline.orchestration import RunOutcome, dagster_instance, run_days, run_hours
from flow_pipeline.partitions import HOUR, written_partition
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.sample import sample_blobs
from flow_pipeline.settings import load_settings
from tests.definitions.code_location import load_definitions
from tests.integration.lakes import COVERAGE, DAYS, DERIVED, file_names, write_blobs
from tests.integration.plain_count import LoggedFlow, flows_in
from tests.unit.blobs import flow, put_flows

pytestmark = pytest.mark.integration

DAY = date(2025, 11, 1)
START = datetime(2025, 11, 1)
HOURS = [START + n * HOUR for n in range(4)]
FLOW_RECORDS = dg.AssetKey(["flow_logs", "flow_records"])
IP_LOOKUP = dg.AssetKey(["flow_logs", "ip_lookup"])
FCT_FLOWS = dg.AssetKey("fct_flows")
TABLES = ("landed_tuples", "ip_lookup", *DERIVED)


@dataclass(frozen=True)
class Ran:
    """A lake after the hours and the day were run, and Dagster's history of it."""

    defs: dg.Definitions
    logs: Path
    hours: RunOutcome
    days: RunOutcome
    logged: list[LoggedFlow]

    def pipeline(self) -> Pipeline:
        return Pipeline.open(load_settings())


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    directory = tmp_path_factory.mktemp("dagster")
    logs = directory / "logs"
    write_blobs(logs, (b for b in sample_blobs(DAY, 2_000) if b.written_hour < HOURS[-1]))
    with pytest.MonkeyPatch.context() as environment:
        # The settings of this lake hold while the module's tests run; each test begins without any.
        variables = {
            "FLOW_SOURCES": str(logs),
            "FLOW_LAKE": str(directory / "lake"),
            "DAGSTER_HOME": str(directory / "home"),
        }
        for name, value in variables.items():
            environment.setenv(name, value)
        defs = load_definitions()
        Pipeline.open(load_settings()).ensure_start()
        hours = ran_hours(HOURS)
        days = ran_days([DAY])
        yield Ran(defs, logs, hours, days, flows_in(logs))


def ran_hours(hours: Sequence[datetime]) -> RunOutcome:
    """How a run of some hours ended."""
    with dagster_instance() as instance:
        return run_hours(instance, hours)


def ran_days(days: Sequence[date]) -> RunOutcome:
    """How a run of some days ended."""
    with dagster_instance() as instance:
        return run_days(instance, days)


@pytest.fixture(autouse=True)
def settings_of_the_lake(
    ran: Ran, no_settings_of_this_machine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put back what is taken away before each test."""
    directory = ran.logs.parent
    monkeypatch.setenv("FLOW_SOURCES", str(ran.logs))
    monkeypatch.setenv("FLOW_LAKE", str(directory / "lake"))
    monkeypatch.setenv("DAGSTER_HOME", str(directory / "home"))


def metadata_by_partition(key: dg.AssetKey, run_id: str) -> dict[str, dict[str, Any]]:
    """What a run recorded of each partition of an asset."""
    with dg.DagsterInstance.get() as instance:
        records = instance.fetch_materializations(key, limit=500).records
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        materialization = record.asset_materialization
        if record.run_id == run_id and materialization and materialization.partition:
            found[materialization.partition] = {
                name: value.value for name, value in materialization.metadata.items()
            }
    return found


def evaluations_of(run_id: str) -> dict[str, dg.AssetCheckEvaluation]:
    """What each check of a run found."""
    with dg.DagsterInstance.get() as instance:
        events = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    evaluations = [event.get_dagster_event().asset_check_evaluation_data for event in events]
    return {f"{e.asset_key.to_user_string()}: {e.check_name}": e for e in evaluations}


def reported(found: dg.AssetCheckEvaluation) -> list[str]:
    """The rows of the table that a check shows."""
    return str(found.metadata["report"].value).splitlines()[2:]


def checks_of(run_id: str) -> dict[str, bool]:
    return {name: evaluation.passed for name, evaluation in evaluations_of(run_id).items()}


def test_the_runs_stand_in_dagsters_history(ran: Ran) -> None:
    assert (ran.hours.succeeded, ran.hours.failures) == (True, ())
    assert (ran.days.succeeded, ran.days.failures) == (True, ())
    with dg.DagsterInstance.get() as instance:
        for outcome, job in ((ran.hours, "hours_job"), (ran.days, "days_job")):
            run = instance.get_run_by_id(outcome.run_id)
            assert run is not None
            assert (run.job_name, run.status) == (job, dg.DagsterRunStatus.SUCCESS)


def test_every_partition_of_a_range_has_its_own_rows(ran: Ran) -> None:
    written = Counter(flow.blob.split("/h=")[1][:2] for flow in ran.logged)
    event = Counter(flow.event_hour.hour for flow in ran.logged)
    keys = [f"{hour:%Y-%m-%d-%H}:00" for hour in HOURS]
    landed = metadata_by_partition(FLOW_RECORDS, ran.hours.run_id)
    facts = metadata_by_partition(FCT_FLOWS, ran.hours.run_id)
    assert sorted(landed) == sorted(facts) == keys
    assert {k: m["dagster/partition_row_count"] for k, m in landed.items()} == {
        key: written[f"{hour.hour:02}"] for key, hour in zip(keys, HOURS, strict=True)
    }
    assert {k: m["dagster/partition_row_count"] for k, m in facts.items()} == {
        key: event[hour.hour] for key, hour in zip(keys, HOURS, strict=True)
    }
    assert {m["changed"] for m in [*landed.values(), *facts.values()]} == {True}
    lookups = metadata_by_partition(IP_LOOKUP, ran.hours.run_id)
    assert {k: m["dagster/partition_row_count"] for k, m in lookups.items()} == {
        key: len(
            {ip for f in ran.logged if f"/h={hour:%H}/" in f.blob for ip in (f.src_ip, f.dst_ip)}
        )
        for key, hour in zip(keys, HOURS, strict=True)
    }


def test_a_day_shows_its_top_as_a_table(ran: Ran) -> None:
    [metadata] = metadata_by_partition(dg.AssetKey("top_ports_daily"), ran.days.run_id).values()
    head, rule, first, *_ = metadata["top"].splitlines()
    assert head.startswith("| rank | port | protocol | service | flows |")
    assert set(rule) == set("| -")
    counts = Counter((f.dst_port, f.protocol) for f in ran.logged if f.is_new)
    port, flows = min(
        ((port, count) for (port, _), count in counts.items()), key=lambda it: (-it[1], it[0])
    )
    assert first.startswith(f"| 1 | {port} | TCP |")
    assert f"| {flows:,} |" in first


def test_every_check_of_the_graph_was_made_and_passed(ran: Ran) -> None:
    made = checks_of(ran.hours.run_id) | checks_of(ran.days.run_id)
    graph = ran.defs.resolve_asset_graph()
    assert set(made) == {
        f"{key.asset_key.to_user_string()}: {key.name}" for key in graph.asset_check_keys
    }
    assert set(made.values()) == {True}


def test_a_check_says_what_it_held_against_what(ran: Ran) -> None:
    made = evaluations_of(ran.hours.run_id) | evaluations_of(ran.days.run_id)
    sizes = [path.stat().st_size for path in ran.logs.rglob("PT1H.json")]
    ledger = made["flow_logs/flow_records: ledger_balances"]
    size, rows = sum(sizes), len(ran.logged)
    assert ledger.description == (
        f"{len(sizes)} blobs: {size:,} of {size:,} bytes read; "
        f"{rows:,} tuples = {rows:,} rows decoded + 0 rejected"
    )
    told = {name: value.value for name, value in ledger.metadata.items()}
    assert (told["bytes_listed"], told["bytes_read"], told["blobs"]) == (size, size, len(sizes))
    assert (told["tuples"], told["decoded"], told["rejected"]) == (rows, rows, 0)
    # The four hours of the run, and the one before it that its first blobs have flows of, or not.
    hours = len({*HOURS, *(each.event_hour for each in ran.logged)})
    assert made["fct_flows: every_partition_current"].description == (
        f"{hours} partitions of fct_flows and {len(HOURS)} partitions of ip_lookup looked at, "
        "0 not current"
    )
    assert made["top_ports_daily: every_partition_current"].description == (
        "1 partitions of top_ports_daily looked at, 0 not current"
    )


def test_running_again_changes_nothing(ran: Ran) -> None:
    before = file_names(ran.pipeline(), *TABLES)
    hours, days = ran_hours(HOURS), ran_days([DAY])
    assert hours.succeeded
    assert days.succeeded
    assert file_names(ran.pipeline(), *TABLES) == before
    for key in (FLOW_RECORDS, IP_LOOKUP, FCT_FLOWS):
        again = metadata_by_partition(key, hours.run_id)
        assert len(again) == len(HOURS)
        assert {m["changed"] for m in again.values()} == {False}
    [day] = metadata_by_partition(dg.AssetKey("top_ports_daily"), days.run_id).values()
    assert day["changed"] is False


# ----------------------------------------------------------------------------- days after hours


def days_after(run: dg.DagsterRun) -> dg.RunRequest | dg.SkipReason:
    from flow_pipeline.defs.automation import days_after_hours

    with dg.DagsterInstance.get() as instance:
        [event] = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.PIPELINE_SUCCESS)
        context = dg.build_run_status_sensor_context(
            sensor_name="days_after_hours",
            dagster_event=event.get_dagster_event(),
            dagster_instance=instance,
            dagster_run=run,
        )
        answer: Any = days_after_hours(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def run_of(outcome: RunOutcome) -> dg.DagsterRun:
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(outcome.run_id)
    assert run is not None
    return run


def test_hours_that_the_schedule_ran_are_followed_by_their_days(ran: Ran) -> None:
    run = run_of(ran.hours)
    scheduled = run.with_tags(
        {name: value for name, value in run.tags.items() if name.startswith("dagster/asset_")}
    )
    request = days_after(scheduled)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == run.run_id
    assert request.tags == {
        "dagster/asset_partition_range_start": "2025-11-01",
        "dagster/asset_partition_range_end": "2025-11-01",
    }


def test_hours_whose_days_are_run_by_the_caller_are_not_followed(ran: Ran) -> None:
    assert isinstance(days_after(run_of(ran.hours)), dg.SkipReason)


def test_days_are_not_followed_by_days(ran: Ran) -> None:
    assert isinstance(days_after(run_of(ran.days)), dg.SkipReason)


# --------------------------------------------------------------- what changes the lake comes last


def test_a_late_flow_is_told_of_the_hour_that_it_changed(ran: Ran) -> None:
    late = START + HOUR + timedelta(minutes=5)
    put_flows(ran.logs, flow(late), hour=HOURS[-1], mac="LATE")
    outcome = ran_hours(HOURS[-1:])
    assert outcome.failures == ()
    facts = metadata_by_partition(FCT_FLOWS, outcome.run_id)
    # The hour of the run, and the one outside its range that the flow belongs to.
    assert sorted(facts) == ["2025-11-01-01:00", "2025-11-01-03:00"]
    in_hour = sum(flow.event_hour == HOURS[1] for flow in ran.logged)
    assert facts["2025-11-01-01:00"]["dagster/partition_row_count"] == in_hour + 1


def test_a_check_that_blocks_stops_what_comes_after_it(ran: Ran) -> None:
    # A landed file loses a row, as on a failing disk: the manifest in its footer tells.
    snapshot = Lake.open_to_read(ran.logs.parent / "lake").snapshot("landed_tuples")
    assert snapshot is not None
    [file] = snapshot.files_of(written_partition(HOURS[0]))
    footer = pq.read_metadata(file.path).metadata
    rows = pq.read_table(file.path, partitioning=None)
    pq.write_table(rows.slice(1).replace_schema_metadata(footer), file.path)
    before = file_names(ran.pipeline(), "ip_lookup", *DERIVED)

    outcome = ran_hours(HOURS)
    assert not outcome.succeeded
    assert checks_of(outcome.run_id)["flow_logs/flow_records: ledger_balances"] is False
    # Nothing was looked up or built from it, and no days follow a run that failed.
    assert file_names(ran.pipeline(), "ip_lookup", *DERIVED) == before
    assert metadata_by_partition(FCT_FLOWS, outcome.run_id) == {}
    [failure] = outcome.failures
    assert failure.startswith("flow_logs/flow_records: the check ledger_balances failed: ")
    assert f"{rows['blob'][0]}: " in failure
    assert "Traceback" not in failure
    assert 'File "' not in failure


def test_checks_warn_of_what_is_new_in_the_logs_and_of_what_is_not_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    monkeypatch.setenv("FLOW_SOURCES", str(logs))
    monkeypatch.setenv("FLOW_LAKE", str(tmp_path / "lake"))
    second = START + timedelta(days=1)
    put_flows(logs, flow(START), hour=START)
    put_flows(logs, flow(second).replace(",NX,", ",NX_QUANTUM,"), hour=second)
    nothing_new = "schema_daily: nothing_new_in_the_logs"
    assert ran_hours([START]).succeeded
    first_day = ran_days([DAY])
    assert evaluations_of(first_day.run_id)[nothing_new].passed

    assert ran_hours([second]).succeeded
    second_day = ran_days([second.date()])
    assert (second_day.succeeded, second_day.failures) == (True, ())
    made = evaluations_of(second_day.run_id)
    assert {name for name, found in made.items() if not found.passed} == {nothing_new}
    found = made[nothing_new]
    assert (found.severity, found.blocking) == (dg.AssetCheckSeverity.WARN, False)
    assert found.description == "1 forms of the logs that had never been seen before"
    assert reported(found) == ["| `encryption` | `NX_QUANTUM` | `2025-11-02-00:00` | `1` |"]

    # An hour of the first day changes and is built, the day is not: that shows from the second.
    put_flows(logs, flow(START), flow(START), hour=START)
    assert ran_hours([START]).succeeded
    outcome = ran_days([second.date()])
    assert (outcome.succeeded, outcome.failures) == (True, ())
    made = evaluations_of(outcome.run_id)
    warned = {name for name, found in made.items() if not found.passed} - {nothing_new}
    assert warned == {f"{name}: every_partition_current" for name in (*DAYS, *COVERAGE)}
    found = made["top_ports_daily: every_partition_current"]
    assert (found.severity, found.blocking) == (dg.AssetCheckSeverity.WARN, False)
    assert found.description == "2 partitions of top_ports_daily looked at, 1 not current"
    assert reported(found) == [
        "| `top_ports_daily` | `2025-11-01` | `merged_flows date=2025-11-01/hour=0 is newer` |"
    ]
    [row] = reported(made["lag_daily: every_partition_current"])
    assert (
        row
        == f"| `lag_daily` | `2025-11-01` | `the landing of 2025-11-01T00 from {logs} is newer` |"
    )


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
def test_a_run_whose_process_was_killed_is_ended_however_far_it_was(
    status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with subprocess.Popen(["true"]) as killed:
        pass
    tag = "flow_pipeline/process"
    with dagster_instance() as instance:
        runs = {
            process: instance.create_run_for_job(
                dg.GraphDefinition("nothing").to_job(),
                tags=tags,
                status=dg.DagsterRunStatus[status],
            ).run_id
            for process, tags in {
                "killed": {tag: str(killed.pid)},
                "alive": {tag: str(os.getpid())},
                "a daemon's": {},
            }.items()
        }
    with dagster_instance() as instance:
        ended = {process: instance.get_run_by_id(run_id) for process, run_id in runs.items()}
    statuses = {process: run.status.value for process, run in ended.items() if run}
    assert statuses == {"killed": "FAILURE", "alive": status, "a daemon's": status}
