"""However the work is cut up, repeated or interrupted: the same tables of all complete hours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from flow_pipeline.lake import TableSpec
from flow_pipeline.modelling import model_range
from flow_pipeline.partitions import HOUR
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.sample import SampleBlob, sample_blobs
from tests.integration.lakes import (
    COVERAGE,
    DAYS,
    DERIVED,
    HOURS,
    Update,
    ask,
    bring_up_to_date,
    failures_of,
    file_names,
    pipeline_over,
    tables_of,
    write_blobs,
)
from tests.integration.plain_count import flows_in
from tests.torture.parts import SHORT, kills, races
from tests.unit.blobs import HOUR as HOUR_OF_BLOBS
from tests.unit.blobs import flow, put_flows

pytestmark = pytest.mark.integration

START = datetime(2025, 11, 1)
END = START + 4 * HOUR
# An analyst asks the same thing again and again over one connection.
ANALYST = """
import sys
from pathlib import Path
import duckdb

database, begun, stop = map(Path, sys.argv[1:])
with duckdb.connect(str(database), read_only=True) as connection:
    counts = []
    while not stop.exists():
        counts += connection.execute("select count(*), sum(hour) from fct_flows").fetchall()
        begun.touch()
    print(len(counts), set(counts))
"""
NEWCOMER = """
import sys
import duckdb

with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print(*connection.execute("select count(*) from fct_flows").fetchone())
"""


OTHER_RUNS = """
import sys
from datetime import timedelta
from pathlib import Path
from tests.integration.lakes import bring_up_to_date, pipeline_over
from tests.unit.blobs import HOUR, flow, put_flows

lake, logs = map(Path, sys.argv[1:])
put_flows(logs, *[flow(HOUR)] * 3)
bring_up_to_date(pipeline_over(lake, logs), HOUR, HOUR + timedelta(hours=1))
put_flows(logs, *[flow(HOUR)] * 4)
pipeline = pipeline_over(lake, logs)
pipeline.land([HOUR])
pipeline.look_up([HOUR])
pipeline.model_hours([HOUR])
"""


@pytest.fixture(scope="module")
def blobs() -> list[SampleBlob]:
    return [b for b in sample_blobs(date(2025, 11, 1), 4_000) if b.written_hour < END]


@pytest.fixture(scope="module")
def logs(blobs: list[SampleBlob], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    write_blobs(folder, blobs)
    return folder


@pytest.fixture(scope="module")
def at_once(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """All hours in one range: what the others are held against."""
    pipeline = pipeline_over(tmp_path_factory.mktemp("at-once") / "lake", logs)
    assert bring_up_to_date(pipeline, START, END).failures == ()
    assert ask(pipeline, "select count(*) from fct_flows") == [(len(flows_in(logs)),)]
    assert ask(pipeline, "select distinct complete_through from top_ports_daily") == [(END,)]
    return pipeline


def test_hour_by_hour_and_in_pieces_gives_what_a_range_gives(
    logs: Path, at_once: Pipeline, tmp_path: Path
) -> None:
    pieces = pipeline_over(tmp_path / "lake", logs)
    # The later hours first, as in a backfill of what was missed, then hour by hour.
    for first, end in ((START + 2 * HOUR, END), (START, START + HOUR), (START + HOUR, END)):
        assert bring_up_to_date(pieces, first, end).failures == ()
    assert tables_of(pieces) == tables_of(at_once)


# --------------------------------------------------------------- late blobs, and an open session


@dataclass(frozen=True)
class CaughtUp:
    """A lake before and after late blobs came, while an analyst had `flows.duckdb` open."""

    pipeline: Pipeline
    before: dict[str, list[str]]
    after: dict[str, list[str]]
    update: Update
    tuples_before: int
    analyst: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def caught_up(blobs: list[SampleBlob], tmp_path_factory: pytest.TempPathFactory) -> CaughtUp:
    folder = tmp_path_factory.mktemp("late")
    logs = folder / "logs"
    *earlier, grows = [blob for blob in blobs if blob is not late_blob(blobs)]
    write_blobs(logs, earlier)
    begun = SampleBlob(grows.container, grows.name, grows.written_hour, grows.blocks[:20])
    write_blobs(logs, [begun])
    pipeline = pipeline_over(folder / "lake", logs)
    assert bring_up_to_date(pipeline, START, END).failures == ()
    before = file_names(pipeline, "landed_tuples", "ip_lookup", *DERIVED)
    tuples_before = len(flows_in(logs))

    analyst = subprocess.Popen(
        [
            sys.executable,
            "-c",
            ANALYST,
            str(pipeline.lake.root / "flows.duckdb"),
            str(folder / "begun"),
            str(folder / "stop"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((folder / "begun").exists, analyst)
    write_blobs(logs, [late_blob(blobs), grows])
    update = bring_up_to_date(pipeline, START, END)
    (folder / "stop").touch()
    output, errors = analyst.communicate(timeout=60)
    return CaughtUp(
        pipeline=pipeline,
        before=before,
        after=file_names(pipeline, "landed_tuples", "ip_lookup", *DERIVED),
        update=update,
        tuples_before=tuples_before,
        analyst=subprocess.CompletedProcess((), analyst.returncode, output, errors),
    )


def late_blob(blobs: list[SampleBlob]) -> SampleBlob:
    return next(blob for blob in blobs if blob.written_hour.hour == 2)


def test_late_blobs_bring_the_lake_to_where_it_would_have_been(
    caught_up: CaughtUp, at_once: Pipeline
) -> None:
    assert caught_up.update.failures == ()
    assert tables_of(caught_up.pipeline) == tables_of(at_once)


def test_late_blobs_rebuild_what_they_touch_and_nothing_else(caught_up: CaughtUp) -> None:
    touched = {name for name, files in caught_up.after.items() if files != caught_up.before[name]}
    assert caught_up.before.keys() == caught_up.after.keys()
    # A blob of the written hour 2 and one of 3: with the flows of the minute before each.
    assert touched == {
        *(f"landed_tuples/written_date=2025-11-01/written_hour={hour}" for hour in (2, 3)),
        *(f"ip_lookup/written_date=2025-11-01/written_hour={hour}" for hour in (2, 3)),
        *(f"{name}/date=2025-11-01/hour={hour}" for name in HOURS for hour in (1, 2, 3)),
        # What was open at the end of 3 o'clock is another, too.
        "session_states/date=2025-11-01/hour=4",
        *(f"{name}/date=2025-11-01" for name in DAYS),
        *(f"{name}/written_date=2025-11-01" for name in COVERAGE),
    }
    changed = [p.when for p in caught_up.update.hours.partitions["fct_flows"] if p.changed]
    assert changed == [START + n * HOUR for n in (1, 2, 3)]


def test_an_open_session_keeps_its_snapshot_and_disturbs_nobody(
    caught_up: CaughtUp, at_once: Pipeline
) -> None:
    assert caught_up.analyst.stderr == ""
    assert caught_up.analyst.returncode == 0
    asked, answers = caught_up.analyst.stdout.split(maxsplit=1)
    assert int(asked) > 10
    # One answer all the time: the tuples that were there when the session was opened.
    assert answers.count("(") == 1
    assert answers.startswith(f"{{({caught_up.tuples_before}, ")
    # Whoever connects now sees the newest.
    newest = subprocess.run(
        [
            sys.executable,
            "-c",
            NEWCOMER,
            str(caught_up.pipeline.lake.root / "flows.duckdb"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [(int(newest.stdout),)] == ask(at_once, "select count(*) from fct_flows")


def test_flows_that_another_run_has_landed_are_not_judged_before_they_are_looked_up(
    tmp_path: Path,
) -> None:
    feed = tmp_path / "feed.txt"
    feed.write_text("203.0.113.9\n")
    put_flows(tmp_path / "logs", flow(HOUR_OF_BLOBS, src="198.51.100.7"))
    pipeline = pipeline_over(tmp_path / "lake", tmp_path / "logs", threat_feeds=(str(feed),))
    bring_up_to_date(pipeline, HOUR_OF_BLOBS, HOUR_OF_BLOBS + HOUR)
    # The other run is as far as landing what has grown, and will look it up in a moment.
    grown = [flow(HOUR_OF_BLOBS, src=address) for address in ("198.51.100.7", "203.0.113.9")]
    put_flows(tmp_path / "logs", *grown)
    pipeline.land([HOUR_OF_BLOBS])
    assert failures_of(pipeline.model_hours([HOUR_OF_BLOBS])) == ()
    judged = ask(pipeline, "select src_ip, is_malicious from fct_flows order by all")
    assert judged == [("198.51.100.7", False), ("203.0.113.9", True)]


def test_tables_that_an_older_version_wrote_with_other_columns_are_made_anew(
    tmp_path: Path,
) -> None:
    put_flows(tmp_path / "logs", flow(HOUR_OF_BLOBS))
    pipeline = pipeline_over(tmp_path / "lake", tmp_path / "logs")
    bring_up_to_date(pipeline, HOUR_OF_BLOBS, HOUR_OF_BLOBS + HOUR)
    before = tables_of(pipeline)
    for name, column in (("fct_flows", "is_attempt"), ("top_ports_daily", "counted")):
        snapshot = pipeline.lake.snapshot(name)
        assert snapshot is not None
        shutil.rmtree(tmp_path / "lake" / name)
        older = pa.schema(field for field in snapshot.spec.schema if field.name != column)
        pipeline.lake.ensure_table(TableSpec(name, older, snapshot.spec.partition_by))
    update = bring_up_to_date(pipeline, HOUR_OF_BLOBS, HOUR_OF_BLOBS + HOUR)
    assert update.failures == ()
    assert tables_of(pipeline) == before


def test_the_tests_of_a_summary_see_what_it_was_made_of_and_not_what_others_made_since(
    tmp_path: Path, project_dir: Path
) -> None:
    lake, logs = tmp_path / "lake", tmp_path / "logs"
    put_flows(logs, flow(HOUR_OF_BLOBS))
    pipeline = pipeline_over(lake, logs)
    bring_up_to_date(pipeline, HOUR_OF_BLOBS, HOUR_OF_BLOBS + HOUR)
    put_flows(logs, *[flow(HOUR_OF_BLOBS)] * 2)
    pipeline.land([HOUR_OF_BLOBS])
    pipeline.look_up([HOUR_OF_BLOBS])
    pipeline.model_hours([HOUR_OF_BLOBS])
    others: list[str] = []

    def overtaken(name: str, _when: object) -> None:
        # One run brings all up to date, so that the next summary of ours is refused; a further one
        # is as far as the facts then. By that time one of our summaries stands, made of neither.
        others.append(name)
        if len(others) == 1:
            command = [sys.executable, "-c", OTHER_RUNS, lake, logs]
            environment = {**os.environ, "PYTHONPATH": str(project_dir)}
            subprocess.run(command, check=True, env=environment)

    modelled = model_range(pipeline.planner, "day", [HOUR_OF_BLOBS.date()], overtaken)
    assert failures_of(modelled) == ()
    assert sorted(others) == sorted([*DAYS, *COVERAGE])
    # What was refused was made anew, of what there is now.
    assert ask(pipeline, "select sum(tuples) from top_sources_daily") == [(4,)]


# -------------------------------------------------------------- runs at once, and runs killed


@pytest.mark.timeout(900)  # many whole runs, one after the other
def test_runs_that_are_killed_are_made_up_for_by_the_next(tmp_path: Path) -> None:
    # The short form of `make torture`, which raises what differs.
    assert kills(tmp_path, 7, SHORT, say=lambda _line: None).done.startswith("4 kills")


@pytest.mark.timeout(900)  # many whole runs, one after the other
def test_runs_at_once_give_what_one_after_the_other_gives(tmp_path: Path) -> None:
    assert races(tmp_path, 7, SHORT, say=lambda _line: None).done.startswith("2 races")


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "it ended before it came so far"
        assert time.monotonic() < deadline, "it did not come so far in two minutes"
        time.sleep(0.002)
