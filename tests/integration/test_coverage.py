"""The coverage tables over a lake with known gaps, and when they are built anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flow_pipeline.coverage import NewForm, new_forms
from flow_pipeline.lake_views import record_model_views
from flow_pipeline.landing import land_hour
from flow_pipeline.partitions import DAY, HOUR
from flow_pipeline.pipeline import Pipeline
from tests.integration.lakes import (
    COVERAGE,
    DAYS,
    DERIVED,
    SUMMARIES,
    ask,
    bring_up_to_date,
    failures_of,
    file_names,
    pipeline_over,
)
from tests.unit.blobs import MINUTE, blob_name, document, flow, put, put_flows, record

pytestmark = pytest.mark.integration

FIRST, SECOND = datetime(2025, 11, 1, 22), datetime(2025, 11, 2)
BUSY, QUIET = "000D3A000001", "000D3A000002"
LANDED_AFTER = timedelta(minutes=12)


def written_at(hour: datetime, minutes: list[int], lag: timedelta) -> bytes:
    """A blob with a record in some minutes of its hour, each of one flow that long before."""
    times = [hour + minute * MINUTE for minute in minutes]
    return document(*(record([flow(time - lag)], time) for time in times))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The written hours 22 to 3.

    BUSY has a blob in 22, with records in 40 of 43 minutes, and in 23, with 30 of 60. QUIET has one
    in 22, and again in 1; the hour 2 is never listed, and in 3 it has one. In 3 there are what was
    not there on the first day: an encryption code, a version, and a tuple of fourteen fields.
    """
    folder = tmp_path_factory.mktemp("logs")
    missing = {5, 6, 30}
    minutes = [minute for minute in range(2, 45) if minute not in missing]
    put(folder, written_at(FIRST, minutes, timedelta(seconds=20)), FIRST, BUSY)
    every_second = list(range(0, 60, 2))
    put(folder, written_at(FIRST + HOUR, every_second, 2 * MINUTE), FIRST + HOUR, BUSY)
    put_flows(folder, flow(FIRST), hour=FIRST, mac=QUIET)
    put_flows(folder, flow(SECOND + HOUR), hour=SECOND + HOUR, mac=QUIET)
    last = SECOND + 3 * HOUR
    encrypted = flow(last).replace(",NX,", ",X,")
    unknown = record([flow(last)], last) | {"flowLogVersion": 9}
    put(folder, document(record([encrypted, flow(last) + ",1"], last), unknown), last, QUIET)
    return folder


LISTED = [FIRST, FIRST + HOUR, SECOND, SECOND + HOUR, SECOND + 3 * HOUR]


def build(pipeline: Pipeline, hours: list[datetime]) -> None:
    with pipeline.sources() as sources:
        for hour in hours:
            now = hour + HOUR + LANDED_AFTER
            land_hour(pipeline.lake, sources, hour, now=lambda now=now: now)
    pipeline.look_up(hours)
    assert failures_of(pipeline.model_hours(hours)) == ()
    assert failures_of(pipeline.model_days(pipeline.days_of(hours, landed=hours))) == ()


@pytest.fixture(scope="module")
def covered(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = pipeline_over(tmp_path_factory.mktemp("covered") / "lake", logs)
    build(pipeline, LISTED)
    return pipeline


def test_a_nic_hour_has_its_minutes_and_those_that_are_missing(covered: Pipeline) -> None:
    query = (
        "select blob, record_minutes, is_busy, missing_minutes, tuples, rejected, problems "
        "from coverage_hourly order by written_date, written_hour, blob"
    )
    assert ask(covered, query) == [
        (blob_name(FIRST, BUSY), 40, True, 3, 40, 0, 0),
        (blob_name(FIRST, QUIET), 1, False, None, 1, 0, 0),
        # Half of the minutes are not most of them.
        (blob_name(FIRST + HOUR, BUSY), 30, False, None, 30, 0, 0),
        (blob_name(SECOND + HOUR, QUIET), 1, False, None, 1, 0, 0),
        # A record of a version that is not known is a problem, and read all the same.
        (blob_name(SECOND + 3 * HOUR, QUIET), 1, False, None, 3, 1, 1),
    ]


def test_gaps_are_hours_without_a_blob_between_two_with_one(covered: Pipeline) -> None:
    query = "select mac, gap_began_at, gap_ended_at, hours_without_blob, hours_not_listed "
    assert ask(covered, query + "from coverage_gaps order by gap_began_at") == [
        (QUIET, FIRST + HOUR, SECOND + HOUR, 2, 0),
        (QUIET, SECOND + 2 * HOUR, SECOND + 3 * HOUR, 0, 1),
    ]
    landings = "select written_date, written_hour, blobs from landings order by all"
    assert ask(covered, landings) == [
        (hour.date(), hour.hour, blobs) for hour, blobs in zip(LISTED, [2, 1, 0, 1, 1], strict=True)
    ]


def test_a_day_is_complete_through_what_was_looked_at_though_a_nic_has_no_blob(
    covered: Pipeline,
) -> None:
    # Midnight was listed, and so was the hour after it. That QUIET has no blob there is a gap,
    # and no reason to wait: one without traffic has none. The hour 2 was not listed, so 1 is open.
    for name in SUMMARIES:
        assert ask(covered, f"select distinct date, complete_through from {name} order by 1") == [
            (FIRST.date(), None),
            (SECOND.date(), SECOND + HOUR),
        ]


def test_lags_are_counted_in_their_buckets(covered: Pipeline) -> None:
    query = (
        "select written_date, measured, from_seconds, to_seconds, occurrences from lag_daily "
        "order by all"
    )
    first, second = FIRST.date(), SECOND.date()
    assert ask(covered, query) == [
        # 40 flows twenty seconds before their record, 30 two minutes before, and one a minute.
        (first, "flow_to_record", 15, 30, 40),
        (first, "flow_to_record", 60, 90, 1),
        (first, "flow_to_record", 120, 300, 30),
        # At 00:12 the newest record was of 23:58; at 23:12 one was of 22:44 and one of 22:01.
        (first, "record_to_landing", 300, 900, 1),
        (first, "record_to_landing", 900, 1800, 1),
        (first, "record_to_landing", 3600, 7200, 1),
        (second, "flow_to_record", 0, 15, 2),
        (second, "flow_to_record", 60, 90, 1),
        # At 02:12 the newest was of 01:01, at 04:12 of 03:00.
        (second, "record_to_landing", 3600, 7200, 2),
    ]


def test_what_was_not_there_on_the_first_day_is_new(covered: Pipeline) -> None:
    columns = "select kind, form, first_seen_at, occurrences, days_seen from schema_drift "
    last = SECOND + 3 * HOUR
    assert ask(covered, columns + "where is_new order by kind") == [
        ("encryption", "X", last, 1, 1),
        ("field_count", "14", last, 1, 1),
        ("problem", "unknown_version: flowLogVersion 9", last, 1, 1),
        ("reject_reason", "too_many_fields", last, 1, 1),
    ]
    # 40 + 30 + 1 tuples on the first day; on the second 1 + 1, and beside them the one with X.
    assert ask(covered, columns + "where not is_new order by kind") == [
        ("encryption", "NX", FIRST, 73, 2),
        ("log_version", "4", FIRST, 74, 2),
    ]


def test_new_forms_are_told_of_the_day_on_which_they_came_first(covered: Pipeline) -> None:
    last = SECOND + 3 * HOUR
    assert new_forms(covered.lake, [FIRST.date(), SECOND.date()]) == [
        NewForm("encryption", "X", last, 1),
        NewForm("field_count", "14", last, 1),
        NewForm("problem", "unknown_version: flowLogVersion 9", last, 1),
        NewForm("reject_reason", "too_many_fields", last, 1),
    ]
    assert new_forms(covered.lake, [FIRST.date()]) == []


def test_a_code_that_nobody_knows_is_new_on_the_first_day_too(tmp_path: Path) -> None:
    tuples = [flow(SECOND), flow(SECOND).replace(",NX,", ",NX_QUANTUM,")]
    put_flows(tmp_path / "logs", *tuples, hour=SECOND)
    pipeline = pipeline_over(tmp_path / "lake", tmp_path / "logs")
    assert new_forms(pipeline.lake, [SECOND.date()]) == []
    build(pipeline, [SECOND])
    expected = [NewForm("encryption", "NX_QUANTUM", SECOND, 1)]
    assert new_forms(pipeline.lake, [SECOND.date()]) == expected


def test_a_view_is_made_anew_when_its_sql_changed_though_all_tables_are_current(
    logs: Path, tmp_path: Path
) -> None:
    pipeline = pipeline_over(tmp_path / "lake", logs)
    build(pipeline, LISTED)
    before = file_names(pipeline, *DERIVED)
    recorded = pipeline.lake.root / "views_of_days.json"
    made = recorded.read_bytes()
    # As an older version of the program has left it.
    record_model_views(pipeline.lake, "day", "old", [("main", "coverage_gaps", "select 1 as n")])
    build(pipeline, LISTED)
    assert recorded.read_bytes() == made
    assert file_names(pipeline, *DERIVED) == before


def test_a_landing_that_changes_makes_the_coverage_of_its_day_stale_and_no_other(
    logs: Path, tmp_path: Path
) -> None:
    pipeline = pipeline_over(tmp_path / "lake", logs)
    build(pipeline, LISTED)
    before = file_names(pipeline, *DERIVED)
    build(pipeline, LISTED)
    assert file_names(pipeline, *DERIVED) == before
    # A blob of another NIC: nothing in it is decoded, so that no event hour has any more flows.
    put(logs, document(record(["bad"], FIRST + HOUR)), FIRST + HOUR, "000D3A000003")
    build(pipeline, LISTED)
    after = file_names(pipeline, *DERIVED)
    day = FIRST.date()
    changed = {name for name in after if after[name] != before[name]}
    assert {name for name in changed if name.startswith(COVERAGE)} == {
        f"{name}/written_date={day}" for name in COVERAGE
    }
    query = f"select count(*) from coverage_hourly where written_date = date '{day}'"
    assert ask(pipeline, query) == [(4,)]


def test_the_written_day_of_the_last_blob_of_a_day_is_covered_as_well(tmp_path: Path) -> None:
    midnight = datetime(2025, 11, 2)
    for hour in (midnight - HOUR, midnight):
        # Of the day that begins, the first blob tells nothing: its flow is of a minute before.
        put_flows(tmp_path / "logs", flow(hour - MINUTE), hour=hour)
    pipeline = pipeline_over(tmp_path / "lake", tmp_path / "logs")
    assert bring_up_to_date(pipeline, midnight - DAY, midnight).failures == ()
    assert ask(pipeline, "select blob, tuples from coverage_hourly order by blob") == [
        (blob_name(midnight - HOUR), 1),
        (blob_name(midnight), 1),
    ]
    forms = "select occurrences from schema_drift where kind = 'log_version'"
    assert ask(pipeline, forms) == [(2,)]
    currency = pipeline.currency("day")
    assert currency.not_current == ()
    assert currency.looked_at == dict.fromkeys((*DAYS, *COVERAGE), 2)
