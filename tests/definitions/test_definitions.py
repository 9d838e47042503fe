"""What Dagster is told: the graph, its partitions, the schedule, and which failures come again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from flow_pipeline.errors import (
    BlobGone,
    BlobUnreadable,
    ContainerMissing,
    FlowPipelineError,
    LakeBusy,
    ModelError,
    ReferenceDataError,
    SettingError,
    SourceDenied,
    SourceUnreachable,
)
from tests.definitions.code_location import FIRST_HOUR, describe, load_definitions

SNAPSHOT = Path(__file__).with_name("graph.txt")
NOW = datetime(2025, 11, 3, 9, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return load_definitions()


def test_the_graph_is_the_one_that_was_reviewed(defs: dg.Definitions) -> None:
    # One that is meant to change: python -m tests.definitions.code_location > (this file)
    assert describe(defs).splitlines() == SNAPSHOT.read_text().splitlines()


def test_definitions_load_without_a_network_and_without_a_lake(tmp_path: Path) -> None:
    # Every connection is refused; nothing is written where there was nothing.
    program = """
import os, socket
def refuse(*_):
    raise AssertionError("definitions must not use the network")
socket.socket.connect = socket.socket.connect_ex = refuse
os.environ["FLOW_SOURCES"] = "https://contoso.blob.core.windows.net"
os.environ["FLOW_LAKE"] = "no-lake"
from flow_pipeline.definitions import defs
import dagster as dg
dg.Definitions.validate_loadable(defs)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_asset_tells_what_it_is(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.group_name != "default", key


def test_every_step_that_has_partitions_takes_a_range_at_once(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    partitioned = [graph.get(key) for key in graph.get_all_asset_keys()]
    partitioned = [node for node in partitioned if node.partitions_def is not None]
    assert len(partitioned) >= 6
    assert {node.backfill_policy for node in partitioned} == {dg.BackfillPolicy.single_run()}


def test_a_check_is_of_a_run_and_not_of_a_partition(defs: dg.Definitions) -> None:
    # The event log takes it for granted.
    specs = [spec for each in defs.assets or () for spec in getattr(each, "check_specs", ())]
    assert len(specs) > 100
    assert {spec.partitions_def for spec in specs} == {None}


# ------------------------------------------------------------------------------------ partitions


def upstream(
    mapping: dg.PartitionMapping,
    downstream: dg.TimeWindowPartitionsDefinition,
    key: str,
    upstream_definition: dg.TimeWindowPartitionsDefinition,
) -> list[str]:
    result = mapping.get_upstream_mapped_partitions_result_for_partitions(
        downstream.subset_with_partition_keys([key]), downstream, upstream_definition, NOW
    )
    return sorted(result.partitions_subset.get_partition_keys())


def test_an_event_hour_rests_on_its_written_hour_and_the_next(defs: dg.Definitions) -> None:
    from flow_pipeline.defs.time_partitions import FROM_WRITTEN_HOURS, HOURS

    assert upstream(FROM_WRITTEN_HOURS, HOURS, "2025-11-01-23:00", HOURS) == [
        "2025-11-01-23:00",
        "2025-11-02-00:00",
    ]
    # The hour that is running has no next one yet, and can be built so far.
    assert upstream(FROM_WRITTEN_HOURS, HOURS, "2025-11-03-09:00", HOURS) == ["2025-11-03-09:00"]


def test_a_day_rests_on_its_event_hours(defs: dg.Definitions) -> None:
    from flow_pipeline.defs.time_partitions import DAYS, FROM_HOURS_OF_DAY, HOURS

    whole = [f"2025-11-02-{hour:02}:00" for hour in range(24)]
    assert upstream(FROM_HOURS_OF_DAY, DAYS, "2025-11-02", HOURS) == whole
    # Today has the hours up to the one that is running.
    so_far = [f"2025-11-03-{hour:02}:00" for hour in range(10)]
    assert upstream(FROM_HOURS_OF_DAY, DAYS, "2025-11-03", HOURS) == so_far


def test_partitions_begin_with_the_day_of_the_hour_before_the_first(defs: dg.Definitions) -> None:
    from flow_pipeline.defs.time_partitions import DAYS, HOURS

    # The first blob holds flows of the hour before, here still the same day.
    assert HOURS.get_first_partition_key() == f"{FIRST_HOUR:%Y-%m-%d}-00:00"
    assert DAYS.get_first_partition_key() == f"{FIRST_HOUR:%Y-%m-%d}"
    # The hour and the day that are running are there, those after them are not.
    with dg.partition_loading_context(NOW):
        assert HOURS.get_last_partition_key() == "2025-11-03-09:00"
        assert DAYS.get_last_partition_key() == "2025-11-03"


def test_a_range_of_tags_names_the_hours_that_it_was_made_of(defs: dg.Definitions) -> None:
    from flow_pipeline.defs.time_partitions import hours_of_tags, range_tags

    hours = [datetime(2025, 11, 1, hour) for hour in (22, 23)] + [datetime(2025, 11, 2)]
    assert hours_of_tags(range_tags(hours)) == hours
    assert hours_of_tags({"dagster/partition": "2025-11-01-22:00"}) == hours[:1]
    assert hours_of_tags({}) == []


# -------------------------------------------------------------------------------------- schedule


def request_at(time: datetime) -> dg.RunRequest:
    from flow_pipeline.defs.automation import hourly

    request: Any = hourly(dg.build_schedule_context(scheduled_execution_time=time))
    assert isinstance(request, dg.RunRequest)
    return request


@pytest.mark.parametrize(
    ("look_back", "first"), [(None, "2025-11-03-03:00"), ("2", "2025-11-03-07:00")]
)
def test_the_schedule_asks_for_the_last_hours_and_the_one_just_begun(
    defs: dg.Definitions, monkeypatch: pytest.MonkeyPatch, look_back: str | None, first: str
) -> None:
    if look_back is not None:
        monkeypatch.setenv("FLOW_LOOK_BACK_HOURS", look_back)
    request = request_at(NOW)
    assert request.run_key == "2025-11-03-09:00"
    assert request.tags == {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": "2025-11-03-09:00",
    }


def test_the_schedule_asks_for_no_hour_before_the_first(defs: dg.Definitions) -> None:
    request = request_at(datetime(2025, 11, 1, 2, 12, tzinfo=UTC))
    assert request.tags["dagster/asset_partition_range_start"] == "2025-11-01-00:00"


# --------------------------------------------------------------------------------------- retries


@pytest.fixture
def opened(
    defs: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, FlowPipelineError], None]:
    from flow_pipeline.defs.resources import PipelineResource

    monkeypatch.setenv("FLOW_SOURCES", str(tmp_path))
    monkeypatch.setenv("FLOW_LAKE", str(tmp_path / "lake"))

    def fail(retries: int, error: FlowPipelineError) -> None:
        with PipelineResource(transport_retries=retries).opened():
            raise error

    return fail


@pytest.mark.parametrize("kind", [SourceUnreachable, BlobUnreadable])
def test_what_may_pass_by_itself_is_tried_again(
    opened: Callable[[int, FlowPipelineError], None], kind: type[FlowPipelineError]
) -> None:
    with pytest.raises(dg.RetryRequested) as raised:
        opened(3, kind("It", "should", "pass"))
    assert (raised.value.max_retries, raised.value.seconds_to_wait) == (3, 60)
    # Whoever waits at a terminal is told at once.
    with pytest.raises(dg.Failure) as failed:
        opened(0, kind("It", "should", "pass"))
    assert failed.value.description == "It. should. pass."


@pytest.mark.parametrize(
    "kind",
    [SourceDenied, ContainerMissing, BlobGone, ReferenceDataError, LakeBusy, ModelError],
)
def test_what_stays_wrong_is_not_tried_again(
    opened: Callable[[int, FlowPipelineError], None], kind: type[FlowPipelineError]
) -> None:
    with pytest.raises(dg.Failure) as raised:
        opened(3, kind("It", "should", "not"))
    assert raised.value.allow_retries is False
    assert raised.value.description == "It. should. not."


def test_a_setting_that_is_wrong_fails_a_step_without_a_retry(
    opened: Callable[[int, FlowPipelineError], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_TOP_N", "none")
    with pytest.raises(dg.Failure, match="FLOW_TOP_N") as raised:
        opened(3, SettingError("unused", "", "", ""))
    assert raised.value.allow_retries is False
