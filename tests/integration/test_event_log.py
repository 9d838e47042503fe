"""How Dagster's events reach the disk: what stands there is Dagster's, what it costs is ours."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Engine, event

from flow_pipeline.event_log import EventLog
from flow_pipeline.orchestration import dagster_instance

pytestmark = pytest.mark.integration

RUN = "5e5d4fbd-8f2a-4a86-9f7e-b3d8a0b7a5c1"
OTHER_RUN = "0d1f9f5e-52f3-4c55-8a53-6b0b5a9b3a77"
# Every column of what a run leaves, but the moments at which rows were written.
STORED = {
    "event_logs": "id, run_id, event, dagster_event_type, timestamp, step_key, asset_key, "
    "partition",
    "asset_keys": "id, asset_key, last_materialization, last_run_id, "
    "last_materialization_timestamp",
    "asset_event_tags": 'id, event_id, asset_key, "key", value, event_timestamp',
    "asset_check_executions": "id, asset_key, check_name, partition, run_id, execution_status, "
    "evaluation_event, evaluation_event_timestamp, evaluation_event_storage_id, "
    "materialization_event_storage_id",
}
# Stores what is stored of a run, but ends in the middle of the second half.
KILLED = """
import os, signal, sys
from flow_pipeline.event_log import EventLog

class Deadly(list):
    def __iter__(self):
        yield from super().__iter__()
        os.kill(os.getpid(), signal.SIGKILL)

origin, directory, run_id = sys.argv[1:]
entries = EventLog(origin).get_logs_for_run(run_id)
log = EventLog(directory)
half = len(entries) // 2
log.store_event_batch(entries[:half])
log.store_event_batch(Deadly(entries[half:]))
"""


@dg.asset(
    partitions_def=dg.HourlyPartitionsDefinition("2025-11-01-00:00", end_date="2025-11-03-00:00"),
    check_specs=[dg.AssetCheckSpec("sound", asset="numbers")],
)
def numbers(context: dg.AssetExecutionContext):
    """A number for each hour of a range, and a check of them all."""
    for number, key in enumerate(context.partition_keys):
        context.add_asset_metadata({"number": number}, partition_key=key)
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the events of a Dagster home are that is not there yet."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home/history/runs"


def ran_until(last: str) -> str:
    """The id of a run of the hours up to one."""
    tags = {
        "dagster/asset_partition_range_start": "2025-11-01-00:00",
        "dagster/asset_partition_range_end": last,
    }
    with dagster_instance() as instance:
        return dg.materialize([numbers], instance=instance, tags=tags).run_id


@contextmanager
def opened(kind: type[SqliteEventLogStorage], directory: Path) -> Generator[SqliteEventLogStorage]:
    log = kind(str(directory))
    try:
        yield log
    finally:
        log.dispose()


def said(text: str, run_id: str = RUN) -> dg.EventLogEntry:
    """An event that is nothing but a text."""
    return dg.EventLogEntry(
        error_info=None,
        level="info",
        user_message=text,
        run_id=run_id,
        timestamp=0.0,
        step_key=None,
        job_name="job",
        dagster_event=None,
    )


def texts(log: SqliteEventLogStorage, run_id: str = RUN) -> list[str]:
    return [entry.user_message for entry in log.get_logs_for_run(run_id)]


def stored(directory: Path, run_id: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the files hold of a run and in the index."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for name in (run_id, "index"):
        with closing(sqlite3.connect(directory / f"{name}.db")) as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
            for table, columns in STORED.items():
                rows = connection.execute(f"select {columns} from {table} order by id")
                found[f"{name}: {table}"] = rows.fetchall()
    return found


def test_the_files_hold_what_dagster_itself_would_have_stored(events: Path, tmp_path: Path) -> None:
    run_id = ran_until("2025-11-02-12:00")
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "100"
    with (
        opened(EventLog, events) as ours,
        opened(SqliteEventLogStorage, tmp_path / "stock") as stock,
    ):
        for entry in ours.get_logs_for_run(run_id):
            stock.store_event(entry)
    found = stored(events, run_id)
    assert found == stored(tmp_path / "stock", run_id)
    # 37 hours were planned and made; the check was planned and made; a run begins and ends.
    assert len(found["index: event_logs"]) == 2 * 37 + 2 + 2
    assert len(found[f"{run_id}: event_logs"]) > 2 * 37 + 2 + 2
    assert len(found["index: asset_keys"]) == 1


def test_a_check_of_a_range_is_one_check(events: Path) -> None:
    run_id = ran_until("2025-11-02-12:00")
    [(_, asset, check, partition, run, status, *_)] = stored(events, run_id)[
        "index: asset_check_executions"
    ]
    assert (asset, check, partition) == ('["numbers"]', "sound", None)
    assert (run, status) == (run_id, "SUCCEEDED")


def test_what_dagsters_own_event_log_has_stored_is_still_there(events: Path) -> None:
    with opened(SqliteEventLogStorage, events) as stock:
        stock.store_event(said("before"))
    with dagster_instance() as instance:
        log = instance.event_log_storage
        assert isinstance(log, EventLog)
        log.store_event(said("after"))
    with opened(SqliteEventLogStorage, events) as stock:
        assert texts(stock) == ["before", "after"]


def test_connections_do_not_grow_with_what_is_stored(events: Path) -> None:
    ran_until("2025-11-01-00:00")
    made: list[object] = []

    def connected(connection: object, _record: object) -> None:
        made.append(connection)

    def connections_of_run(last: str) -> int:
        made.clear()
        ran_until(last)
        return len(made)

    event.listen(Engine, "connect", connected)
    try:
        one, many = (connections_of_run(f"2025-11-{last}:00") for last in ("01-00", "02-12"))
    finally:
        event.remove(Engine, "connect", connected)
    assert many == one


def test_a_batch_of_a_process_that_is_killed_is_not_there_and_all_else_is(
    events: Path, tmp_path: Path, project_dir: Path
) -> None:
    run_id = ran_until("2025-11-02-12:00")
    directory = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, events, directory, run_id],
        env={**os.environ, "PYTHONPATH": str(project_dir)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with opened(EventLog, events) as log:
        entries = log.get_logs_for_run(run_id)
    half = len(entries) // 2
    whole, left = stored(events, run_id), stored(directory, run_id)
    of_run = f"{run_id}: event_logs"
    assert left[of_run] == whole[of_run][:half]
    in_half = {event for _, _, event, *_ in left[of_run]}
    assert left["index: event_logs"] == [
        row for row in whole["index: event_logs"] if row[2] in in_half
    ]
    # Nothing stands in the way of those who come after it.
    with opened(EventLog, directory) as log:
        log.store_event_batch(entries[half:])
    assert stored(directory, run_id) == whole


def test_a_batch_that_cannot_be_stored_leaves_nothing_of_itself(tmp_path: Path) -> None:
    not_an_event: Any = None
    with opened(EventLog, tmp_path) as log:
        log.store_event(said("before"))
        with pytest.raises(AttributeError):
            log.store_event_batch([said("in it"), not_an_event])
        log.store_event(said("after"))
        assert texts(log) == ["before", "after"]


@pytest.mark.parametrize("kind", [EventLog, SqliteEventLogStorage])
def test_whoever_watches_a_run_is_told_of_each_event_at_once(
    kind: type[SqliteEventLogStorage], tmp_path: Path
) -> None:
    told: Queue[str] = Queue()
    with opened(EventLog, tmp_path) as log, opened(kind, tmp_path) as another:
        log.store_event(said("begun"))
        another.watch(RUN, None, lambda entry, _cursor: told.put(entry.user_message))
        expected = ["begun"]
        for number in range(5):
            log.store_event(said(f"event {number}"))
            expected.append(f"event {number}")
            while expected:
                assert told.get(timeout=10) == expected.pop(0)


def test_threads_store_and_read_side_by_side(tmp_path: Path) -> None:
    runs = [RUN, OTHER_RUN]
    with opened(EventLog, tmp_path) as log, ThreadPoolExecutor(4) as pool:

        def store(number: int) -> int:
            run_id = runs[number % 2]
            log.store_event_batch([said(f"{number} a", run_id), said(f"{number} b", run_id)])
            return len(texts(log, run_id))

        seen = list(pool.map(store, range(40)))
        assert all(count >= 2 and count % 2 == 0 for count in seen)
        for which, run_id in enumerate(runs):
            found = texts(log, run_id)
            assert sorted(found) == sorted(f"{n} {x}" for n in range(which, 40, 2) for x in "ab")
            # Those of a batch stand together.
            assert found[1::2] == [text.replace("a", "b") for text in found[::2]]


def test_a_thread_that_reads_sees_a_batch_whole_or_not_at_all(tmp_path: Path) -> None:
    with opened(EventLog, tmp_path) as log, ThreadPoolExecutor(1) as pool:
        readers: list[Future[list[str]]] = []

        class ReadMeanwhile(list[dg.EventLogEntry]):
            def __iter__(self) -> Iterator[dg.EventLogEntry]:
                yield from super().__iter__()
                readers.append(pool.submit(texts, log))
                with pytest.raises(TimeoutError):
                    readers[0].result(timeout=0.3)

        log.store_event_batch(ReadMeanwhile([said("a"), said("b")]))
        assert readers[0].result(timeout=10) == ["a", "b"]


def test_looking_at_many_runs_keeps_few_files_open(tmp_path: Path) -> None:
    run_ids = [f"{number:08}{RUN[8:]}" for number in range(12)]
    with opened(EventLog, tmp_path) as log:
        for run_id in run_ids:
            log.store_event(said(run_id, run_id))
        for run_id in run_ids:
            assert texts(log, run_id) == [run_id]
        held = {path.name.split(".")[0] for path in open_files(tmp_path)}
        assert held <= {"index", run_ids[-1]}
    assert open_files(tmp_path) == []


def open_files(directory: Path) -> list[Path]:
    """Files of a directory that this process has open."""
    found: list[Path] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(descriptor.readlink())
        except FileNotFoundError:  # it was that of the listing itself
            continue
    return [path for path in found if directory in path.parents]


def test_events_can_be_deleted_and_stored_anew(events: Path) -> None:
    run_id = ran_until("2025-11-01-00:00")
    with dagster_instance() as instance:
        assert instance.all_logs(run_id) != []
        instance.wipe()
        assert not (events / f"{run_id}.db").exists()
        assert instance.all_logs(run_id) == []
        assert instance.fetch_materializations(dg.AssetKey("numbers"), limit=1).records == []
    again = ran_until("2025-11-01-01:00")
    with dagster_instance() as instance:
        made = instance.fetch_materializations(dg.AssetKey("numbers"), limit=9).records
    assert [record.run_id for record in made] == [again, again]
