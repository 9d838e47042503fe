"""A disk that is full at any point: a clear failure, the old state, and repair once there is room.

A file system of its own is filled until so many pages are left, from none on: so the disk runs full
at every write in turn, whichever library does it.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flow_pipeline.errors import FlowPipelineError, LakeError
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.lake import Lake
from flow_pipeline.landed_file import LANDED_TUPLES
from flow_pipeline.landing import land_hour
from flow_pipeline.modelling import ModelledRange, model_range
from flow_pipeline.partitions import HOUR as AN_HOUR
from flow_pipeline.pipeline import Pipeline
from tests.integration.lakes import ask, bring_up_to_date, failures_of, pipeline_over, tables_of
from tests.unit.blobs import MINUTE, flow, put_flows

pytestmark = pytest.mark.integration

PAGE = 4096
HOUR = datetime(2025, 11, 1, 5)
WRITER = Path(__file__).with_name("lake_writer.py")


@dataclass(frozen=True)
class SmallDisk:
    """A file system of a few megabytes."""

    path: Path

    def fill(self, pages_left: int) -> None:
        """Take all room but so many pages."""
        self.make_room()
        room = os.statvfs(self.path)
        taken = room.f_bavail * room.f_frsize - pages_left * PAGE
        with self._ballast.open("wb") as file:
            if taken > 0:
                os.posix_fallocate(file.fileno(), 0, taken)

    def make_room(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", path],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounting.returncode:
        told = f"a small file system cannot be mounted here: {mounting.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(told, pytrace=False)
        # Mounting takes root. A quota, which the last test sets, does not, and runs everywhere.
        pytest.skip(told)
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: what a failed test still holds open keeps it busy.
        subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    write_flows(folder, "A", 1000)
    return folder


def write_flows(folder: Path, mac: str, count: int) -> None:
    """A NIC's blob of so many flows in the hour, each from another address."""
    flows = [flow(HOUR + MINUTE, src=f"198.51.{n >> 8}.{n & 255}") for n in range(count)]
    put_flows(folder, *flows, hour=HOUR, mac=mac)


def land(lake: Lake, folder: Path) -> None:
    land_hour(lake, [FolderSource(folder)], HOUR, lambda: HOUR + timedelta(hours=2))


def on_disk(lake: Lake) -> dict[Path, bytes]:
    """Every file of a lake, staged ones and the logs included."""
    return {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}


def tell_the_disk(failure: str, disk: SmallDisk) -> None:
    """A failure names what is full, and where."""
    assert "No space left on device" in failure
    assert str(disk.path) in failure


def test_a_landing_that_does_not_fit_leaves_the_lake_as_it_was(
    small_disk: SmallDisk, logs: Path, tmp_path: Path
) -> None:
    lake = Lake.open(small_disk.path / "lake")
    land(lake, logs)
    write_flows(logs, "B", 2000)
    before = on_disk(lake)
    failures: list[str] = []
    for pages in range(200):
        small_disk.fill(pages)
        try:
            land(lake, logs)
        except LakeError as failure:
            tell_the_disk(str(failure), small_disk)
            failures.append(failure.culprit)
            assert on_disk(lake) == before
        else:
            break
    # While the file is written, and while the log is.
    assert any(".parquet" in each for each in failures)
    assert any(f"{LANDED_TUPLES.name}: " in each for each in failures)
    twin = Lake.open(tmp_path / "twin")
    land(twin, logs)
    assert landed(lake) == landed(twin)
    assert len(landed(lake)) == 3000


def landed(lake: Lake) -> list[tuple[Any, ...]]:
    snapshot = lake.existing(LANDED_TUPLES)
    paths = [str(file.path) for file in snapshot.files]
    with duckdb.connect(":memory:") as connection:
        return connection.execute(
            "select * from read_parquet(?, hive_partitioning = false) "
            "order by blob, record_no, flow_no, group_no, tuple_no",
            [paths],
        ).fetchall()


def test_a_log_whose_checkpoint_does_not_fit(small_disk: SmallDisk, logs: Path) -> None:
    lake = Lake.open(small_disk.path / "lake")
    # The fiftieth version gets a checkpoint, after its commit.
    for count in range(1, 50):
        write_flows(logs, "A", count)
        land(lake, logs)
    assert lake.existing(LANDED_TUPLES).version == 49
    untouched = Path(shutil.copytree(lake.root, small_disk.path / "untouched"))
    write_flows(logs, "A", 60)
    seen: set[tuple[bool, int]] = set()
    for pages in range(60):
        shutil.rmtree(lake.root)
        shutil.copytree(untouched, lake.root)
        small_disk.fill(pages)
        try:
            land(lake, logs)
            fits = True
        except LakeError as failure:
            tell_the_disk(str(failure), small_disk)
            fits = False
        small_disk.make_room()
        rows = len(landed(lake))
        # All or nothing; and what is told to be landed is.
        assert rows == 60 if fits else rows in (49, 60)
        seen.add((fits, rows))
        land(lake, logs)
        assert len(landed(lake)) == 60
    assert {(False, 49), (True, 60)} <= seen


Step = tuple[str, Callable[[Pipeline], object]]
STEPS: list[Step] = [
    ("land", lambda it: it.land([HOUR, HOUR + AN_HOUR])),
    ("look up", lambda it: it.look_up([HOUR, HOUR + AN_HOUR])),
    # Without publishing, which would be what fails.
    ("model hours", lambda it: model_range(it.planner, "hour", [HOUR, HOUR + AN_HOUR])),
    ("model days", lambda it: it.model_days([HOUR.date()])),
    ("publish", lambda it: it.publish()),
]


def failure_of(step: Callable[[Pipeline], object], pipeline: Pipeline) -> str | None:
    """What a user is told; None if it went well."""
    try:
        done = step(pipeline)
    except FlowPipelineError as failure:
        return str(failure)
    return "\n".join(failures_of(done)) if isinstance(done, ModelledRange) else None


@pytest.mark.timeout(900)  # dozens of steps, each until it fits
def test_each_step_that_does_not_fit_is_made_up_for(
    small_disk: SmallDisk, logs: Path, tmp_path: Path
) -> None:
    pipeline = pipeline_over(small_disk.path / "lake", logs)
    assert bring_up_to_date(pipeline, HOUR, HOUR + AN_HOUR).failures == ()
    published = pipeline.lake.root / "flows.duckdb"
    write_flows(logs, "B", 3000)
    told: dict[str, list[str]] = {}
    for name, step in STEPS:
        before = tables_of(pipeline)
        shown = published_flows(published)
        pages = 0
        while True:
            small_disk.fill(pages)
            failure = failure_of(step, pipeline)
            if not failure:
                break
            tell_the_disk(failure, small_disk)
            told.setdefault(name, []).append(failure)
            small_disk.make_room()
            if name in ("land", "look up"):
                assert tables_of(pipeline) == before
            # What is published is what was, or what is there now: a file that opens and answers.
            assert published_flows(published) in (shown, flows(pipeline))
            assert_nothing_staged(pipeline.lake)
            pages = pages * 2 or 1
        small_disk.make_room()
    # Every step met a full disk.
    assert told.keys() == {name for name, _ in STEPS}
    assert any("flows.duckdb" in failure for failure in told["publish"])
    assert any("fct_flows" in failure for failure in told["model hours"])
    twin = pipeline_over(tmp_path / "twin", logs)
    assert bring_up_to_date(twin, HOUR, HOUR + AN_HOUR).failures == ()
    assert tables_of(pipeline) == tables_of(twin)
    assert flows(pipeline) == published_flows(published) == 4000


def flows(pipeline: Pipeline) -> int:
    return ask(pipeline, "select count(*) from fct_flows")[0][0]


def published_flows(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as connection:
        [row] = connection.execute("select count(*) from fct_flows").fetchall()
    return row[0]


def assert_nothing_staged(lake: Lake) -> None:
    """No half of a file takes room that is scarce."""
    standing = {
        file.path
        for name in lake.table_names()
        if (snapshot := lake.snapshot(name)) is not None
        for file in snapshot.files
    }
    # What was replaced stays for readers; what was never finished is of this run.
    unfinished = [path for path in lake.root.rglob(".*") if path.is_file()]
    assert [path for path in unfinished if path.parent == lake.root] == []
    for path in lake.root.glob("*/*=*/**/*.parquet"):
        if path not in standing:
            duckdb.execute("select count(*) from parquet_metadata(?)", [str(path)])


@pytest.mark.timeout(900)  # whole runs, one after the other
def test_a_command_on_a_full_disk_tells_it_and_the_next_repairs(
    small_disk: SmallDisk, logs: Path, tmp_path: Path
) -> None:
    settings = {"FLOW_SOURCES": str(logs), "FLOW_LAKE": "lake"}
    hours = ("run", "--from", "2025-11-01T05", "--to", "2025-11-01T06")
    count = ("sql", "--csv", "select count(*) from fct_flows")
    first = flow_pipeline(small_disk.path, *hours, **settings)
    assert first.returncode == 0, first.stderr
    write_flows(logs, "B", 60_000)
    # Dagster's history is on the same disk, as it is on a laptop, and then on another one.
    elsewhere = {"DAGSTER_HOME": str(tmp_path / "history")}
    for what, home in (("Dagster's history of runs", {}), ("The lake", elsewhere)):
        # The more room there is, the later it ends.
        for pages in (0, 64, 192):
            small_disk.fill(pages)
            failed = flow_pipeline(small_disk.path, *hours, **settings, **home)
            assert failed.returncode == 1
            assert failed.stdout == "" or "Landed" in failed.stdout
            assert "Traceback" not in failed.stdout + failed.stderr
            last = failed.stderr.strip().splitlines()[-1]
            assert what in last
            assert "cannot be used" in last
            assert "with space left" in last
            assert str(small_disk.path) in last
    # Questions are still answered: they write nothing.
    answered = flow_pipeline(small_disk.path, *count, **settings)
    assert (answered.returncode, answered.stderr) == (0, "")
    assert answered.stdout.splitlines()[1] in ("1000", "61000")
    small_disk.make_room()
    repaired = flow_pipeline(small_disk.path, *hours, **settings)
    assert repaired.returncode == 0, repaired.stderr
    found = flow_pipeline(small_disk.path, *count, **settings)
    assert found.stdout.splitlines()[1] == "61000"


def flow_pipeline(
    directory: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("flow-pipeline")), *arguments],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_file_that_may_not_grow_is_told_and_leaves_the_lake_as_it_was(
    logs: Path, tmp_path: Path
) -> None:
    """A quota, which needs no file system of its own."""
    lake = Lake.open(tmp_path / "lake")
    land(lake, logs)
    write_flows(logs, "B", 60_000)
    before = on_disk(lake)
    go = tmp_path / "go"
    go.touch()
    command = [sys.executable, str(WRITER), lake.root, logs, go, "land", HOUR.isoformat()]

    def allow_no_more_than(size: int) -> Callable[[], None]:
        # Python ignores the signal that comes with it, so that a write fails.
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    failed = subprocess.run(
        command,
        preexec_fn=allow_no_more_than(64 * 1024),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert failed.returncode == 1
    assert "LakeError" in failed.stderr
    assert "File too large" in failed.stderr
    assert on_disk(lake) == before
    land(lake, logs)
    assert len(landed(lake)) == 61_000
