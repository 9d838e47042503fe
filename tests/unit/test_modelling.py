"""What is current and what is complete, asked of a lake with landings and no dbt at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.lake import Lake
from flow_pipeline.landing import land_hour
from flow_pipeline.modelling import Planner, model_range
from flow_pipeline.partitions import HOUR
from flow_pipeline.settings import Settings
from tests.unit.blobs import MINUTE, flow, put_flows
from tests.unit.derived_files import build
from tests.unit.manifests import small_project

MIDNIGHT = datetime(2025, 11, 1)
LATER = datetime(2025, 11, 9)
DAY = MIDNIGHT.date()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    put_flows(folder, flow(MIDNIGHT), hour=MIDNIGHT)
    return folder


def planner_of(lake: Lake, **settings: Any) -> Planner:
    return Planner(lake, small_project(), Settings(**settings))


def land(lake: Lake, folders: Sequence[Path], hour: datetime, now: datetime = LATER) -> None:
    land_hour(lake, [FolderSource(folder) for folder in folders], hour, now=lambda: now)


def build_hours(planner: Planner, hours: Iterable[int]) -> None:
    for hour in hours:
        build(planner, "fct_flows", MIDNIGHT + hour * HOUR)


# -------------------------------------------------------------------------------------- complete


def test_an_hour_is_complete_once_it_and_the_next_were_listed_ten_minutes_into_the_next(
    lake: Lake, logs: Path
) -> None:
    settled = MIDNIGHT + HOUR + 10 * MINUTE
    land(lake, [logs], MIDNIGHT, now=settled)
    assert not planner_of(lake).is_complete(MIDNIGHT)
    land(lake, [logs], MIDNIGHT + HOUR, now=settled - timedelta(milliseconds=1))
    assert not planner_of(lake).is_complete(MIDNIGHT)
    # An empty listing counts.
    land(lake, [logs], MIDNIGHT + HOUR, now=settled)
    assert planner_of(lake).is_complete(MIDNIGHT)
    assert not planner_of(lake).is_complete(MIDNIGHT + HOUR)


def test_an_hour_is_complete_only_if_every_source_was_listed_for_both(
    lake: Lake, logs: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    put_flows(second, flow(MIDNIGHT), hour=MIDNIGHT, mac="OTHER")
    land(lake, [logs], MIDNIGHT)
    land(lake, [logs], MIDNIGHT + HOUR)
    assert planner_of(lake).is_complete(MIDNIGHT)
    # A source is added: what was complete without it is so no more until it was looked at.
    land(lake, [logs, second], MIDNIGHT, now=LATER + HOUR)
    assert not planner_of(lake).is_complete(MIDNIGHT)
    land(lake, [logs, second], MIDNIGHT + HOUR, now=LATER + HOUR)
    assert planner_of(lake).is_complete(MIDNIGHT)


def test_a_day_is_complete_through_the_first_hour_that_is_not(lake: Lake, logs: Path) -> None:
    assert planner_of(lake).complete_through(DAY) is None
    for hour in (0, 1, 2, 4, 5, 6):
        land(lake, [logs], MIDNIGHT + hour * HOUR)
    # Hour 3 was never listed, so that 2 and 3 are not complete; 4 and 5 are, behind the gap.
    planner = planner_of(lake)
    build_hours(planner, range(6))
    assert planner.complete_through(DAY) == MIDNIGHT + 2 * HOUR
    assert planner.is_complete(MIDNIGHT + 4 * HOUR)
    land(lake, [logs], MIDNIGHT + 3 * HOUR)
    planner.refresh()
    assert planner.complete_through(DAY) == MIDNIGHT + 6 * HOUR


def test_the_hour_that_is_running_is_not_complete_however_often_it_is_landed(
    lake: Lake, logs: Path
) -> None:
    planner = planner_of(lake)
    # Each ten minutes from 00:05 to 01:55, as far as its blobs are written then.
    through: list[int | None] = []
    for minute in range(5, 120, 10):
        now = MIDNIGHT + minute * MINUTE
        hours = [hour for hour in range(2) if MIDNIGHT + hour * HOUR <= now]
        for hour in hours:
            put_flows(logs, *[flow(now - MINUTE)] * minute, hour=MIDNIGHT + hour * HOUR)
            land(lake, [logs], MIDNIGHT + hour * HOUR, now=now)
        planner.refresh()
        build_hours(planner, hours)
        end = planner.complete_through(DAY)
        through.append(None if end is None else end.hour)
    # At 01:05 midnight's hour may still get a block, at 01:15 no more; that of 01:00 stays open.
    assert through == [None] * 7 + [1] * 5


def test_a_whole_day_is_complete_through_the_midnight_after_it(lake: Lake, logs: Path) -> None:
    for hour in range(26):
        land(lake, [logs], MIDNIGHT + hour * HOUR)
    planner = planner_of(lake)
    build_hours(planner, range(24))
    assert planner.complete_through(DAY) == MIDNIGHT + 24 * HOUR


def test_a_day_is_not_complete_through_what_was_landed_and_not_built(
    lake: Lake, logs: Path
) -> None:
    for hour in range(5):
        land(lake, [logs], MIDNIGHT + hour * HOUR)
    planner = planner_of(lake)
    # A run that was killed after it had landed, or somebody who makes the day alone.
    assert planner.is_complete(MIDNIGHT)
    assert planner.complete_through(DAY) is None
    build_hours(planner, [0, 1, 3])
    assert planner.complete_through(DAY) == MIDNIGHT + 2 * HOUR
    build_hours(planner, [2])
    assert planner.complete_through(DAY) == MIDNIGHT + 4 * HOUR
    # A late flow of hour 1 was landed: until that hour is built again it is in no day.
    put_flows(logs, flow(MIDNIGHT + HOUR), hour=MIDNIGHT + 4 * HOUR)
    land(lake, [logs], MIDNIGHT + 4 * HOUR)
    planner.refresh()
    assert planner.complete_through(DAY) == MIDNIGHT + HOUR
    build_hours(planner, [1])
    assert planner.complete_through(DAY) == MIDNIGHT + 4 * HOUR


# -------------------------------------------------------------------------- what a file is made of


def test_the_hours_of_flows_are_told_from_those_of_writing(lake: Lake, logs: Path) -> None:
    put_flows(logs, flow(MIDNIGHT - MINUTE), flow(MIDNIGHT + MINUTE), hour=MIDNIGHT)
    land(lake, [logs], MIDNIGHT)
    land(lake, [logs], MIDNIGHT + HOUR)
    planner = planner_of(lake)
    assert planner.event_hours([MIDNIGHT]) == {MIDNIGHT - HOUR, MIDNIGHT}
    assert planner.event_hours([MIDNIGHT + HOUR]) == set()
    assert planner.all_event_hours() == {MIDNIGHT - HOUR, MIDNIGHT, MIDNIGHT + HOUR}
    assert planner.all_days() == {date(2025, 10, 31), DAY}


def test_an_hour_whose_flows_were_taken_back_is_not_forgotten(lake: Lake, logs: Path) -> None:
    put_flows(logs, flow(MIDNIGHT - 3 * HOUR), flow(MIDNIGHT), hour=MIDNIGHT)
    land(lake, [logs], MIDNIGHT)
    # The blob is rewritten, and again: each time the flows of one hour go and do not come back.
    put_flows(logs, flow(MIDNIGHT - 2 * HOUR), hour=MIDNIGHT)
    land(lake, [logs], MIDNIGHT, now=LATER + MINUTE)
    put_flows(logs, flow(MIDNIGHT), flow(MIDNIGHT), hour=MIDNIGHT)
    land(lake, [logs], MIDNIGHT, now=LATER + 2 * MINUTE)
    planner = planner_of(lake)
    hours = [MIDNIGHT - 3 * HOUR, MIDNIGHT - 2 * HOUR, MIDNIGHT]
    assert planner.event_hours([MIDNIGHT]) == set(hours)
    assert [written_hours_of(lake, hour) for hour in hours] == [[], [], [0]]


def test_an_event_hour_is_made_of_every_landing_that_holds_flows_of_it(
    lake: Lake, logs: Path
) -> None:
    put_flows(logs, flow(MIDNIGHT + 59 * MINUTE), hour=MIDNIGHT + HOUR)
    # A flow that came very late, in a blob of hours with flows of their own.
    late, own = flow(MIDNIGHT + MINUTE), flow(MIDNIGHT + 5 * HOUR)
    put_flows(logs, late, own, hour=MIDNIGHT + 5 * HOUR)
    for hour in range(7):
        land(lake, [logs], MIDNIGHT + hour * HOUR)
    assert written_hours_of(lake, MIDNIGHT) == [0, 1, 5]
    assert written_hours_of(lake, MIDNIGHT + 5 * HOUR) == [5]
    # Between the two lies nothing, though the file's lowest and highest times span it.
    assert written_hours_of(lake, MIDNIGHT + 3 * HOUR) == []


def written_hours_of(lake: Lake, hour: datetime) -> list[int]:
    planner = planner_of(lake)
    inputs = planner.inputs(planner.project.models["fct_flows"], hour)
    paths = [path.parent.name for path in inputs.files["landed_tuples"]]
    return [int(name.removeprefix("written_hour=")) for name in paths]


def test_an_hours_id_moves_with_the_rows_landed_and_not_with_a_listing(
    lake: Lake, logs: Path
) -> None:
    def facts_id() -> str:
        planner = planner_of(lake)
        return planner.inputs(planner.project.models["fct_flows"], MIDNIGHT).id

    land(lake, [logs], MIDNIGHT, now=MIDNIGHT + MINUTE)
    first = facts_id()
    land(lake, [logs], MIDNIGHT)
    assert facts_id() == first
    put_flows(logs, flow(MIDNIGHT), flow(MIDNIGHT), hour=MIDNIGHT)
    land(lake, [logs], MIDNIGHT)
    assert facts_id() != first


def test_a_days_id_moves_with_its_settings_and_how_far_it_is_complete(
    lake: Lake, logs: Path
) -> None:
    def day_id(**settings: Any) -> str:
        planner = planner_of(lake, **settings)
        return planner.inputs(planner.project.models["top_daily"], DAY).id

    land(lake, [logs], MIDNIGHT)
    build_hours(planner_of(lake), [0])
    first = day_id()
    assert day_id(top_n=20) == first
    assert day_id(top_n=21) != first
    # The model does not ask for the ports that are left out.
    assert day_id(top_excluded_ports=frozenset({22})) == first
    land(lake, [logs], MIDNIGHT + HOUR)
    assert day_id() != first


def test_nothing_is_current_where_nothing_was_built(lake: Lake, logs: Path) -> None:
    land(lake, [logs], MIDNIGHT)
    planner = planner_of(lake)
    assert planner.not_current("hour", [MIDNIGHT + HOUR, MIDNIGHT]) == [MIDNIGHT, MIDNIGHT + HOUR]
    assert planner.not_current("day", [DAY]) == [DAY]


def test_no_hours_need_no_dbt(lake: Lake) -> None:
    modelled = model_range(planner_of(lake), "hour", [])
    assert modelled.partitions == {"fct_flows": ()}
    assert modelled.tests == ()
