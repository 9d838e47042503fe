"""Several processes on one lake, and processes that are killed: no count is ever wrong."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import connect
from flow_pipeline.landed_file import LANDED_TUPLES, read_landing
from flow_pipeline.landing import land_hour
from flow_pipeline.ledger import verify_hours
from flow_pipeline.partitions import hours_between, written_partition
from tests.unit.blobs import HOUR, MINUTE, document, flow, put, record

pytestmark = pytest.mark.integration

WRITER = Path(__file__).with_name("lake_writer.py")
PATIENCE = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@contextmanager
def writers(
    tmp_path: Path, folder: Path, *actions: Sequence[str]
) -> Generator[list[subprocess.Popen[str]]]:
    """Processes that begin at the same moment, all of them imported and ready."""
    go = tmp_path / "go"
    go.unlink(missing_ok=True)
    running = [
        subprocess.Popen(
            [sys.executable, WRITER, tmp_path / "lake", folder, go, *action],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for action in actions
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        go.touch()
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def ended(process: subprocess.Popen[str]) -> bool:
    if process.poll() is None:
        return False
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (0, "done\n", "")
    return True


def all_ended(running: Sequence[subprocess.Popen[str]]) -> bool:
    """Each is asked, so that the first one with an error fails the test."""
    results = [ended(process) for process in running]
    return all(results)


def counts(lake: Lake) -> dict[str, int]:
    """Rows of each blob, which agree with the manifests of the same snapshot."""
    if "landed_tuples" not in lake.table_names():
        return {}
    with connect(lake) as connection:
        rows = connection.execute(
            "select blob, count(*) from landed_tuples group by all order by all"
        ).fetchall()
        manifests = connection.execute(
            "select blob, tuples from landed_blobs where tuples > 0 order by all"
        ).fetchall()
    assert rows == manifests
    return dict(rows)


def rows(lake: Lake, hour: datetime) -> list[dict[str, Any]]:
    files = lake.existing(LANDED_TUPLES).files_of(written_partition(hour))
    return [
        row for file in files for row in pq.read_table(file.path, partitioning=None).to_pylist()
    ]


def landed_once(folder: Path, root: Path, hours: Sequence[datetime]) -> Lake:
    """A lake in which nobody was disturbed."""
    lake = Lake.open(root)
    for hour in hours:
        land_hour(lake, [FolderSource(folder)], hour)
    return lake


def assert_same(lake: Lake, other: Lake, hours: Sequence[datetime]) -> None:
    for hour in hours:
        assert rows(lake, hour) == rows(other, hour)
        ids = [
            [
                read_landing(file).manifest.landing_id
                for file in each.existing(LANDED_TUPLES).files_of(written_partition(hour))
            ]
            for each in (lake, other)
        ]
        assert ids[0] == ids[1]
    assert verify_hours(lake, hours).faults == []


def test_two_processes_land_the_same_hour_while_it_grows(tmp_path: Path, folder: Path) -> None:
    times = 12
    blobs = [put(folder, document(record([flow(HOUR)])), mac=mac) for mac in "AB"]
    lake = Lake.open(tmp_path / "lake")
    actions = [["grow", HOUR.isoformat(), mac, str(times)] for mac in "AB"]
    seen: list[dict[str, int]] = [{}]
    with writers(tmp_path, folder, *actions) as running:
        deadline = time.monotonic() + PATIENCE
        while not all_ended(running) and time.monotonic() < deadline:
            seen.append(counts(lake))
        assert all_ended(running)
    seen.append(counts(lake))
    for before, after in pairwise(seen):
        # A blob never shrinks, so its rows never become fewer.
        assert all(before.get(blob, 0) <= after.get(blob, 0) <= times + 1 for blob in blobs)
        assert before.keys() <= after.keys()
    assert len({tuple(each.items()) for each in seen}) > 2
    assert seen[-1] == dict.fromkeys(blobs, times + 1)
    assert_same(lake, landed_once(folder, tmp_path / "undisturbed", [HOUR]), [HOUR])


def test_two_processes_land_neighbouring_hours_of_a_new_lake(tmp_path: Path, folder: Path) -> None:
    hours = list(hours_between(HOUR, HOUR + timedelta(hours=10)))
    full = {
        put(folder, document(record([flow(hour - MINUTE)] * (no + 1))), hour, mac): no + 1
        for no, hour in enumerate(hours)
        for mac in "AB"
    }
    lake = Lake.open(tmp_path / "lake")
    actions = [["land", *[hour.isoformat() for hour in hours[first::2]]] for first in (0, 1)]
    # Every hour is landed by the other one, too, in the opposite order.
    actions += [["land", *reversed(action[1:])] for action in actions]
    looks = 0
    with writers(tmp_path, folder, *actions) as running:
        deadline = time.monotonic() + PATIENCE
        while not all_ended(running) and time.monotonic() < deadline:
            found = counts(lake)
            assert found.items() <= full.items()
            looks += 1
        assert all_ended(running)
    assert looks > 2
    assert counts(lake) == full
    assert_same(lake, landed_once(folder, tmp_path / "undisturbed", hours), hours)


def test_a_session_that_stays_open_sees_what_it_saw(tmp_path: Path, folder: Path) -> None:
    put(folder, document(record([flow(HOUR)])), mac="A")
    lake = landed_once(folder, tmp_path / "lake", [HOUR])
    query = "select count(*), (select sum(tuples) from landed_blobs) from landed_tuples"
    with (
        connect(lake) as session,
        writers(tmp_path, folder, ["grow", HOUR.isoformat(), "A", "8"]) as [process],
    ):
        deadline = time.monotonic() + PATIENCE
        while not ended(process) and time.monotonic() < deadline:
            assert session.execute(query).fetchall() == [(1, 1)]
        assert session.execute(query).fetchall() == [(1, 1)]
    assert sum(counts(lake).values()) == 9


def test_a_landing_that_is_killed_is_made_up_for_by_the_next(tmp_path: Path, folder: Path) -> None:
    kills = 12
    written = {put(folder, document(record([flow(HOUR)] * 1500)), mac=mac): 1500 for mac in "0123"}
    lake = Lake.open(tmp_path / "lake")
    started = time.monotonic()
    landed_once(folder, tmp_path / "measured", [HOUR])
    duration = time.monotonic() - started
    randomness = random.Random(20261101)
    killed = 0
    before = counts(lake)
    for number in range(kills):
        # One blob is always new, so that there is always something to land.
        size = 1501 + number
        blob = put(folder, document(record([flow(HOUR)] * size)), mac=str(number % 4))
        written[blob] = size
        with writers(tmp_path, folder, ["land", HOUR.isoformat()]) as [process]:
            time.sleep(randomness.uniform(0, 1.5 * duration))
            process.kill()
            process.wait()
            killed += process.returncode != 0
        after = counts(lake)
        # All that was written so far, or what stood there before; nothing in between.
        assert after in (before, written)
        before = after
    assert killed > 0
    land_hour(lake, [FolderSource(folder)], HOUR)
    assert counts(lake) == written
    assert sorted(written.values()) == [1509, 1510, 1511, 1512]
    assert_same(lake, landed_once(folder, tmp_path / "undisturbed", [HOUR]), [HOUR])
