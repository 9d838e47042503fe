"""Why a derived file is not current, in words, asked of a lake with landings and no dbt at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from flow_pipeline.address_lookup import ReferenceData, look_up_hour
from flow_pipeline.currency import (
    CHECKED,
    NotCurrent,
    checked_since,
    currency_of_lookups,
    currency_of_models,
)
from flow_pipeline.dbt_models import Grain
from flow_pipeline.enrichment.address_facts import AddressFacts, open_address_facts
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.lake import Lake
from flow_pipeline.landing import land_hour
from flow_pipeline.modelling import Planner, When
from flow_pipeline.partitions import DAY, HOUR
from flow_pipeline.settings import Settings
from flow_pipeline.threat_history import ThreatHistory, read_history
from tests.unit.blobs import MINUTE, flow, put_flows
from tests.unit.derived_files import build
from tests.unit.manifests import model, project, small_project, source_id

MIDNIGHT = datetime(2025, 11, 1)
DAY_ONE = MIDNIGHT.date()
LATER = datetime(2025, 11, 9)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    for hour in range(2):
        put_flows(folder, flow(MIDNIGHT + hour * HOUR), hour=MIDNIGHT + hour * HOUR)
    return folder


def planner_of(lake: Lake, **settings: Any) -> Planner:
    return Planner(lake, small_project(), Settings(**settings))


def land(lake: Lake, *folders: Path, hours: Sequence[int] = (0, 1)) -> None:
    for hour in hours:
        sources = [FolderSource(folder) for folder in folders]
        land_hour(lake, sources, MIDNIGHT + hour * HOUR, now=lambda: LATER)


def reference(lake: Lake, facts: AddressFacts, *feeds: Path) -> ReferenceData:
    return ReferenceData(facts, read_history(lake, [str(feed) for feed in feeds]))


def why(planner: Planner, name: str, when: When) -> str | None:
    planner.refresh()
    return planner.why_not_current(planner.project.models[name], when)


def not_current(planner: Planner, grain: Grain, since: datetime) -> list[NotCurrent]:
    return list(currency_of_models(planner, grain, since).not_current)


def test_what_was_never_built_is_told_so_and_what_was_built_is_current(
    lake: Lake, logs: Path
) -> None:
    land(lake, logs)
    planner = planner_of(lake)
    assert why(planner, "fct_flows", MIDNIGHT) == "never built"
    build(planner, "fct_flows", MIDNIGHT)
    assert why(planner, "fct_flows", MIDNIGHT) is None
    assert why(planner, "top_daily", DAY_ONE) == "never built"
    build(planner, "top_daily", DAY_ONE)
    assert why(planner, "top_daily", DAY_ONE) is None


def test_a_landing_that_changed_is_named_and_so_is_what_was_made_of_it(
    lake: Lake, logs: Path, tmp_path: Path
) -> None:
    land(lake, logs)
    planner = planner_of(lake)
    build(planner, "fct_flows", MIDNIGHT)
    build(planner, "top_daily", DAY_ONE)
    put_flows(logs, flow(MIDNIGHT), flow(MIDNIGHT), hour=MIDNIGHT)
    land(lake, logs)
    expected = f"the landing of 2025-11-01T00 from {logs} is newer"
    assert why(planner, "fct_flows", MIDNIGHT) == expected
    # The day is still made of what the hour is now, but not of all that was landed any more.
    assert why(planner, "top_daily", DAY_ONE) == (
        "complete_through was timestamp '2025-11-01 01:00:00', is null"
    )
    build(planner, "fct_flows", MIDNIGHT)
    assert why(planner, "fct_flows", MIDNIGHT) is None
    assert why(planner, "top_daily", DAY_ONE) == "fct_flows date=2025-11-01/hour=0 is newer"
    # A second source brings flows of the hour, and a landing of its own.
    other = tmp_path / "other"
    put_flows(other, flow(MIDNIGHT), hour=MIDNIGHT, mac="OTHER")
    land(lake, logs, other)
    assert why(planner, "fct_flows", MIDNIGHT) == (
        f"the landing of 2025-11-01T00 from {other} is newer"
    )


def test_a_landing_without_flows_of_the_hour_any_more_is_told(lake: Lake, logs: Path) -> None:
    put_flows(logs, flow(MIDNIGHT), flow(MIDNIGHT + HOUR), hour=MIDNIGHT + HOUR)
    land(lake, logs)
    planner = planner_of(lake)
    build(planner, "fct_flows", MIDNIGHT)
    put_flows(logs, flow(MIDNIGHT + HOUR), hour=MIDNIGHT + HOUR)
    land(lake, logs)
    assert why(planner, "fct_flows", MIDNIGHT) == (
        "some of flow_records that it was made of is not there any more"
    )


def test_sql_and_settings_that_changed_are_told(lake: Lake, logs: Path) -> None:
    land(lake, logs)
    planner = planner_of(lake)
    build(planner, "fct_flows", MIDNIGHT)
    build(planner, "fct_flows", MIDNIGHT + HOUR)
    build(planner, "top_daily", DAY_ONE)
    assert why(planner_of(lake, top_n=5), "top_daily", DAY_ONE) == "FLOW_TOP_N was 20, is 5"
    models = planner.project.models
    models["top_daily"] = dataclasses.replace(models["top_daily"], version="another")
    assert why(planner, "top_daily", DAY_ONE) == "its SQL has changed"
    # The next hour is looked at: the first is complete now.
    land(lake, logs, hours=(2,))
    assert why(planner, "top_daily", DAY_ONE) == (
        "its SQL has changed; complete_through was timestamp '2025-11-01 01:00:00', "
        "is timestamp '2025-11-01 02:00:00'"
    )


def test_a_look_up_that_is_missing_or_behind_is_told(
    lake: Lake, logs: Path, tmp_path: Path
) -> None:
    land(lake, logs)
    planner = planner_of(lake)
    since = MIDNIGHT
    with open_address_facts(Settings()) as facts:
        known = reference(lake, facts)

        def found(known: ReferenceData = known) -> dict[When, str]:
            planner.refresh()
            found = currency_of_lookups(planner, known, since)
            assert found.looked_at == {"ip_lookup": 2}
            return {one.when: one.why for one in found.not_current}

        assert found() == {
            MIDNIGHT: "never looked up",
            MIDNIGHT + HOUR: "never looked up",
        }
        for hour in (MIDNIGHT, MIDNIGHT + HOUR):
            look_up_hour(lake, known, hour)
        assert found() == {}
        put_flows(logs, flow(MIDNIGHT), flow(MIDNIGHT), hour=MIDNIGHT)
        land(lake, logs)
        changed = f"the landing of 2025-11-01T00 from {logs} is newer"
        assert found() == {MIDNIGHT: changed}
        # A feed that is new lists since always.
        listed = ThreatHistory(("f",), known.threats.entries, (("f", ((LATER, "digest"),)),))
        told = "the threat feeds have changed, or how addresses are looked up"
        assert found(ReferenceData(facts, listed)) == {
            MIDNIGHT: f"{changed}; {told}",
            MIDNIGHT + HOUR: told,
        }
    networks = tmp_path / "networks.csv"
    networks.write_text("prefix,name,kind,region\n10.0.0.0/16,hub,vnet,westeurope\n")
    with open_address_facts(Settings(networks=networks)) as facts:
        told = f"network_list was not set, is {facts.networks.version}"
        assert found(reference(lake, facts)) == {
            MIDNIGHT: f"{changed}; {told}",
            MIDNIGHT + HOUR: told,
        }


def test_facts_that_were_built_before_a_look_up_name_it(lake: Lake, logs: Path) -> None:
    land(lake, logs)
    planner = planner_of(lake)
    build(planner, "fct_flows", MIDNIGHT)
    with open_address_facts(Settings()) as facts:
        look_up_hour(lake, reference(lake, facts), MIDNIGHT)
    assert why(planner, "fct_flows", MIDNIGHT) == (
        "ip_lookup written_date=2025-11-01/written_hour=0 is newer"
    )


def test_it_is_asked_of_hours_with_flows_and_of_those_that_were_built(
    lake: Lake, logs: Path
) -> None:
    # The hour 2 was looked at and is empty; the day before it has the first minute's flows.
    put_flows(logs, flow(MIDNIGHT - HOUR), hour=MIDNIGHT, mac="LATE")
    land(lake, logs, hours=(0, 1, 2))
    planner = planner_of(lake)
    day_before = MIDNIGHT - DAY
    assert not_current(planner, "hour", day_before) == [
        NotCurrent("fct_flows", MIDNIGHT + n * HOUR, "never built") for n in (-1, 0, 1)
    ]
    assert not_current(planner, "day", day_before) == [
        NotCurrent("top_daily", day, "never built") for day in (date(2025, 10, 31), DAY_ONE)
    ]
    build(planner, "fct_flows", MIDNIGHT + 2 * HOUR)
    build(planner, "fct_flows", MIDNIGHT)
    land(lake, logs, hours=(3,))
    put_flows(logs, flow(MIDNIGHT + 2 * HOUR), hour=MIDNIGHT + 2 * HOUR)
    land(lake, logs, hours=(2,))
    planner.refresh()
    assert [one.when for one in not_current(planner, "hour", MIDNIGHT)] == [
        MIDNIGHT + HOUR,
        MIDNIGHT + 2 * HOUR,
    ]
    # Older ones are not asked for, but for those that are named.
    later = MIDNIGHT + 5 * HOUR
    assert not_current(planner, "hour", later) == []
    found = currency_of_models(planner, "hour", later, [MIDNIGHT, MIDNIGHT + HOUR])
    assert found.looked_at == {"fct_flows": 2}
    assert [one.when for one in found.not_current] == [MIDNIGHT + HOUR]
    assert found.of("fct_flows") == found
    assert checked_since(planner) == MIDNIGHT + 3 * HOUR - CHECKED


def test_a_table_of_written_days_is_asked_of_the_days_that_were_landed(
    lake: Lake, tmp_path: Path
) -> None:
    # All that the first blob of a day tells of is the last minute of the day before.
    put_flows(tmp_path / "logs", flow(MIDNIGHT - MINUTE), hour=MIDNIGHT)
    land(lake, tmp_path / "logs", hours=(0,))
    records = source_id("flow_records")
    tables = project(
        model("written_daily", records, grain="day", by_written=True),
        model("daily", records, grain="day"),
    )
    planner = Planner(lake, tables, Settings())
    assert not_current(planner, "day", MIDNIGHT - DAY) == [
        NotCurrent("daily", (MIDNIGHT - DAY).date(), "never built"),
        NotCurrent("written_daily", DAY_ONE, "never built"),
    ]
