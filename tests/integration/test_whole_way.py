"""From a folder of blobs to the summaries: every table held against a count by plain Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from flow_pipeline.enrichment.azure_ranges import open_azure_ranges
from flow_pipeline.enrichment.country import open_country_database
from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.landing import land_hour
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.sample import generate, sample_blobs
from tests.integration.lakes import (
    DERIVED,
    SUMMARIES,
    ask,
    bring_up_to_date,
    failures_of,
    file_names,
    pipeline_over,
    rows_of,
    write_blobs,
)
from tests.integration.plain_count import LoggedFlow, Measures, flows_in, listed_in, top
from tests.unit.blobs import MINUTE, document, flow, put, record

pytestmark = pytest.mark.integration

DAY = date(2025, 11, 1)
NEXT_DAY = date(2025, 11, 2)
TOP_N = 5
LEFT_OUT = frozenset({3389, 23})


# ------------------------------------------------------------- two days in all three layouts


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of version 4, the same day seen by version 2 too, and the next in version 1."""
    folder = tmp_path_factory.mktemp("logs")
    generate(folder, DAY, 1_500)
    write_blobs(folder, sample_blobs(DAY, 1_000, layout="nsg2"))
    next_morning = (b for b in sample_blobs(NEXT_DAY, 1_000, layout="nsg1"))
    write_blobs(folder, (b for b in next_morning if b.written_hour.hour < 3))
    return folder


@pytest.fixture(scope="module")
def logged(logs: Path) -> list[LoggedFlow]:
    return flows_in(logs)


@pytest.fixture(scope="module")
def is_listed(logs: Path) -> Callable[[str], bool]:
    return listed_in(logs / "threats.txt")


@pytest.fixture(scope="module")
def two_days(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = pipeline_over(
        tmp_path_factory.mktemp("two-days") / "lake",
        logs,
        threat_feeds=(str(logs / "threats.txt"),),
        top_n=TOP_N,
        top_excluded_ports=LEFT_OUT,
    )
    update = bring_up_to_date(pipeline, datetime(2025, 11, 1), datetime(2025, 11, 2, 3))
    assert update.failures == ()
    assert {test.status for test in update.hours.tests + update.days.tests} == {"pass"}
    return pipeline


def test_every_tuple_is_in_fct_flows_once_as_it_was_logged(
    two_days: Pipeline, logged: list[LoggedFlow], is_listed: Callable[[str], bool]
) -> None:
    found = [
        (
            (r["blob"], r["record_no"], r["flow_no"], r["group_no"], r["tuple_no"]),
            (r["flow_time"], r["date"], r["hour"]),
            (r["src_ip"], r["dst_ip"], r["src_port"], r["dst_port"], r["protocol"]),
            (r["direction"], r["decision"], r["flow_state"]),
            (r["packets_src_to_dst"], r["bytes_src_to_dst"]),
            (r["packets_dst_to_src"], r["bytes_dst_to_src"]),
            (r["is_new_flow"], r["is_malicious"]),
        )
        for r in rows_of(two_days, "fct_flows")
    ]
    expected = [
        (
            (f.blob, *f.position),
            (f.at, f.at.date(), f.at.hour),
            (f.src_ip, f.dst_ip, f.src_port, f.dst_port, f.protocol),
            (f.direction, f.decision, f.state),
            f.counters[:2],
            f.counters[2:],
            (f.is_new, is_listed(f.src_ip) or is_listed(f.dst_ip)),
        )
        for f in logged
    ]
    assert len(expected) > 2_500
    versions = ask(two_days, "select distinct log_version from fct_flows order by all")
    assert versions == [(1,), (2,), (4,)]
    assert found == sorted(expected)


def test_exactly_the_flows_of_listed_addresses_are_malicious(
    two_days: Pipeline, logged: list[LoggedFlow], is_listed: Callable[[str], bool]
) -> None:
    flagged = ask(two_days, "select distinct src_ip from fct_flows where is_malicious")
    listed = {flow.src_ip for flow in logged if is_listed(flow.src_ip)}
    assert listed
    assert {ip for (ip,) in flagged} >= listed
    assert {ip for (ip,) in flagged} == {
        flow.src_ip for flow in logged if is_listed(flow.src_ip) or is_listed(flow.dst_ip)
    }
    # Each names the feed it was found in, and nothing else does.
    assert ask(
        two_days,
        "select is_malicious, count(*) filter (threat_feed is null), count(threat_feed) > 0 "
        "from fct_flows group by all order by all",
    ) == [
        (False, sum(not (is_listed(f.src_ip) or is_listed(f.dst_ip)) for f in logged), False),
        (True, 0, True),
    ]


def test_the_generated_day_is_what_its_generator_says_of_it(two_days: Pipeline, logs: Path) -> None:
    said = json.loads((logs / "sample.json").read_bytes())
    of_day = f"from fct_flows where blob like '{VNET_CONTAINER}/%' and is_new_flow"
    assert ask(
        two_days,
        "select count(*), count(*) filter (decision = 'A'), count(*) filter (decision = 'D'), "
        f"count(*) filter (is_malicious) {of_day}",
    ) == [(said["flows"], said["allowed"], said["denied"], said["malicious"])]
    countries = ask(
        two_days,
        f"select src_country, count(distinct src_ip) {of_day} and direction = 'I' "
        "and src_country is not null group by all",
    )
    found = Counter(dict(countries))
    # The generator counts by the database alone, also those whose region goes before their country.
    in_azure = ask(
        two_days,
        f"select distinct src_ip {of_day} and direction = 'I' "
        "and src_ip in (select ip from dim_ip where address_class = 'azure')",
    )
    with open_country_database(None) as database:
        found.update(database.country_of(ip) for (ip,) in in_azure)
    assert found == said["sources_by_country"]


def test_no_address_of_azure_has_a_country(two_days: Pipeline) -> None:
    assert ask(
        two_days,
        "select count(*) filter (country is not null or (azure_service is null)) = 0, "
        "count(azure_region) > 0 from dim_ip where address_class = 'azure'",
    ) == [(True, True)]
    assert ask(
        two_days, "select address_class, country from dim_ip where ip = '168.63.129.16'"
    ) == [("azure_platform", None)]


def test_both_ends_have_their_country(two_days: Pipeline, logged: list[LoggedFlow]) -> None:
    azure = open_azure_ranges(None)
    with open_country_database(None) as countries:

        def country_of(ip: str) -> str | None:
            return None if azure.place_of(ip) else countries.country_of(ip)

        expected = {
            (f.src_ip, f.dst_ip, country_of(f.src_ip), country_of(f.dst_ip)) for f in logged
        }
    found = ask(two_days, "select distinct src_ip, dst_ip, src_country, dst_country from fct_flows")
    assert set(found) == expected
    assert len({country for *_, country, _ in expected}) > 5


def test_ports_are_the_plain_count_of_ports(
    two_days: Pipeline, logged: list[LoggedFlow], is_listed: Callable[[str], bool]
) -> None:
    expected = top(
        logged,
        lambda flow: (flow.dst_port, flow.protocol),
        TOP_N,
        is_listed,
        is_left_out=lambda flow: flow.dst_port in LEFT_OUT,
    )
    found = summary(two_days, "top_ports_daily", "port", "protocol")
    assert found == expected
    # What is left out is not ranked, though it has the most flows by far.
    assert 3389 not in {key[0] for rows in found.values() for _, key in rows if key}
    assert [len(rows) for rows in found.values()] == [TOP_N + 1] * 2


def test_sources_are_the_plain_count_of_sources(
    two_days: Pipeline, logged: list[LoggedFlow], is_listed: Callable[[str], bool]
) -> None:
    expected = top(logged, lambda flow: (flow.src_ip,), TOP_N, is_listed)
    assert summary(two_days, "top_sources_daily", "ip") == expected
    for ip, is_malicious in ask(
        two_days, "select ip, is_malicious from top_sources_daily where rank is not null"
    ):
        flows = [flow for flow in logged if flow.src_ip == ip]
        assert is_malicious == any(is_listed(f.src_ip) or is_listed(f.dst_ip) for f in flows)


def test_targets_are_the_plain_count_of_targets(
    two_days: Pipeline, logged: list[LoggedFlow], is_listed: Callable[[str], bool]
) -> None:
    expected = top(logged, lambda flow: (flow.dst_ip,), TOP_N, is_listed)
    assert summary(two_days, "top_targets_daily", "ip") == expected


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_adds_up_to_all_flows(
    two_days: Pipeline, logged: list[LoggedFlow], name: str
) -> None:
    found = ask(
        two_days,
        f"select sum(flows), sum(tuples), sum(allowed), sum(denied), sum(bytes) from {name}",
    )
    new = [flow for flow in logged if flow.is_new]
    allowed = sum(flow.decision == "A" for flow in new)
    byte_count = sum((f.counters[1] or 0) + (f.counters[3] or 0) for f in logged)
    assert found == [(len(new), len(logged), allowed, len(new) - allowed, byte_count)]


def test_a_day_is_complete_through_its_last_complete_hour(two_days: Pipeline) -> None:
    # Of the second day the written hours 0 to 3 were listed, so that 0 to 2 are whole.
    expected = [(DAY, datetime(2025, 11, 2)), (NEXT_DAY, datetime(2025, 11, 2, 3))]
    for name in SUMMARIES:
        assert ask(two_days, f"select distinct date, complete_through from {name} order by 1") == (
            expected
        )


def test_an_hour_without_flows_has_a_file_of_its_own(two_days: Pipeline) -> None:
    # Nothing happened in hour 3 of the second day, which was landed and modelled so far.
    files = file_names(two_days, "fct_flows")["fct_flows/date=2025-11-02/hour=3"]
    assert len(files) == 1
    in_hour = "select count(*) from fct_flows where date = '2025-11-02' and hour = 3"
    assert ask(two_days, in_hour) == [(0,)]


def test_doing_it_again_builds_nothing(two_days: Pipeline) -> None:
    tables = ("landed_tuples", "ip_lookup", "threat_entries", *DERIVED)
    before = file_names(two_days, *tables)
    again = bring_up_to_date(two_days, datetime(2025, 11, 1), datetime(2025, 11, 2, 3))
    assert file_names(two_days, *tables) == before
    # No test was run either: dbt was not called at all.
    assert again.hours.tests == again.days.tests == ()
    assert {p.when for p in again.days.partitions["top_ports_daily"]} == {DAY, NEXT_DAY}


def test_a_setting_rebuilds_only_the_summaries_that_ask_for_it(
    two_days: Pipeline, logged: list[LoggedFlow], is_listed: Callable[[str], bool]
) -> None:
    before = file_names(two_days, *DERIVED)
    changed = pipeline_over(
        two_days.lake.root,
        *two_days.settings.sources,
        threat_feeds=two_days.settings.threat_feeds,
        top_n=TOP_N,
        top_excluded_ports=frozenset({445}),
    )
    # The tests of the others are held against days that they were not built anew for.
    modelled = changed.model_days([DAY, NEXT_DAY])
    assert failures_of(modelled) == ()
    assert {test.status for test in modelled.tests} == {"pass"}
    after = file_names(changed, *DERIVED)
    assert {name for name in after if after[name] != before[name]} == {
        f"{name}/date={day}"
        for name in ("top_ports_daily", "ports_daily", "services_daily", "protocols_daily")
        for day in (DAY, NEXT_DAY)
    }
    assert summary(changed, "top_ports_daily", "port", "protocol") == top(
        logged,
        lambda flow: (flow.dst_port, flow.protocol),
        TOP_N,
        is_listed,
        is_left_out=lambda flow: flow.dst_port == 445,
    )


def summary(
    pipeline: Pipeline, name: str, *keys: str
) -> dict[date, dict[tuple[int | None, tuple[Any, ...] | None], Measures]]:
    """A summary in the shape of `plain_count.top`."""
    found: dict[date, dict[tuple[int | None, tuple[Any, ...] | None], Measures]] = {}
    measures = Measures.__dataclass_fields__
    for row in rows_of(pipeline, name):
        key = tuple(row[k] for k in keys) if row["rank"] is not None else None
        assert row["rank"] is not None or all(row[k] is None for k in keys)
        found.setdefault(row["date"], {})[row["rank"], key] = Measures(*(row[m] for m in measures))
    return found


# ------------------------------------------------------- the written hour is not the event hour


@pytest.fixture
def new_year(tmp_path: Path) -> Pipeline:
    """The first blobs of a year: each holds what happened in the minute before its hour, too."""
    first, second = datetime(2025, 1, 1), datetime(2025, 1, 1, 1)
    for hour in (first, second):
        before = record([flow(hour - MINUTE / 2, port=1), flow(hour - MINUTE, port=2)], hour)
        within = record([flow(hour, port=3)], hour + MINUTE)
        put(tmp_path / "logs", document(before, within), hour)
    return pipeline_over(tmp_path / "lake", tmp_path / "logs")


def build(pipeline: Pipeline, now: datetime) -> dict[str, list[str]]:
    """Land, look up and model the first two hours of the year at a certain time."""
    hours = [datetime(2025, 1, 1), datetime(2025, 1, 1, 1)]
    with pipeline.sources() as sources:
        for hour in hours:
            land_hour(pipeline.lake, sources, hour, now=lambda: now)
    pipeline.look_up(hours)
    assert failures_of(pipeline.model_hours(hours)) == ()
    days = pipeline.days_of(hours, landed=hours)
    assert days == [date(2024, 12, 31), date(2025, 1, 1)]
    assert failures_of(pipeline.model_days(days)) == ()
    return file_names(pipeline, "landed_tuples", *DERIVED)


def test_a_flow_belongs_to_the_hour_and_day_in_which_it_happened(new_year: Pipeline) -> None:
    build(new_year, datetime(2025, 1, 1, 3))
    assert ask(
        new_year,
        "select date, hour, dst_port, blob like '%/h=00/%' from fct_flows order by all",
    ) == [
        (date(2024, 12, 31), 23, 1, True),
        (date(2024, 12, 31), 23, 2, True),
        (date(2025, 1, 1), 0, 1, False),
        (date(2025, 1, 1), 0, 2, False),
        (date(2025, 1, 1), 0, 3, True),
        (date(2025, 1, 1), 1, 3, False),
    ]
    by_day = "select date, sum(flows) from top_ports_daily group by date order by date"
    assert ask(new_year, by_day) == [
        (date(2024, 12, 31), 2),
        (date(2025, 1, 1), 4),
    ]


def test_an_hour_is_complete_when_it_and_the_next_were_listed_late_enough(
    new_year: Pipeline,
) -> None:
    def complete_through() -> list[tuple[Any, ...]]:
        query = "select distinct date, complete_through from top_ports_daily order by date"
        return ask(new_year, query)

    silvester = (date(2024, 12, 31), None)
    early = build(new_year, datetime(2025, 1, 1, 1, 9, 59))
    assert complete_through() == [silvester, (date(2025, 1, 1), None)]
    settled = build(new_year, datetime(2025, 1, 1, 1, 10))
    assert complete_through() == [silvester, (date(2025, 1, 1), datetime(2025, 1, 1, 1))]
    # Nothing but the time of the listing changed: the day was built anew, no hour was.
    assert {name for name in early if early[name] != settled[name]} == {
        *(f"landed_tuples/written_date=2025-01-01/written_hour={hour}" for hour in (0, 1)),
        *(f"{name}/date=2025-01-01" for name in SUMMARIES),
    }
    # The written hour 2 was never listed, so that hour 1 cannot be complete, however late it is.
    build(new_year, datetime(2025, 1, 2))
    assert complete_through() == [silvester, (date(2025, 1, 1), datetime(2025, 1, 1, 1))]
