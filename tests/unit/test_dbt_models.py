"""What is read from dbt's manifest: models, what they rest on, and when they are other models."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipeline.dbt_models import Conservation, DbtProject, Grain
from tests.unit.manifests import model, project, seed, small_project, source_id

FCT = "model.flow_pipeline.fct_flows"


def version_of_facts(
    *,
    fact: str = "1",
    view: str = "1",
    services: str = "1",
    macro: str = "1",
    foreign_macro: str = "1",
    daily: str = "1",
    **lake: Any,
) -> str:
    return (
        project(
            model("stg", source_id("flow_records"), code=view),
            seed("services", code=services),
            model(
                "fct_flows",
                "model.flow_pipeline.stg",
                "seed.flow_pipeline.services",
                code=fact,
                grain="hour",
                **lake,
            ),
            model("top_daily", FCT, code=daily, grain="day"),
            macro=macro,
            foreign_macro=foreign_macro,
        )
        .models["fct_flows"]
        .version
    )


def test_a_model_rests_on_sources_and_tables_of_the_lake_through_views() -> None:
    models = small_project().models
    assert models["fct_flows"].parents == ("flow_records", "ip_lookup")
    assert models["top_daily"].parents == ("fct_flows",)


def test_models_come_in_an_order_in_which_they_can_be_built() -> None:
    weekly = model("a_weekly", "model.flow_pipeline.b_daily", grain="day")
    view = model("view", FCT)
    daily = model("b_daily", "model.flow_pipeline.view", grain="day")
    facts = model("fct_flows", source_id("flow_records"), grain="hour")
    found = project(weekly, view, daily, facts)
    assert list(found.models) == ["fct_flows", "b_daily", "a_weekly"]
    assert [m.name for m in found.named("hour")] == ["fct_flows"]
    assert [m.name for m in found.named("day")] == ["b_daily", "a_weekly"]


def test_a_model_says_how_it_is_stored_and_checked() -> None:
    found = project(
        model(
            "fct_flows",
            grain="hour",
            unique=["blob", "tuple_no"],
            order_by=["dst_port", "blob"],
            conserves={"from": "flow_records", "totals": {"count(*)": "sum(n)"}},
        )
    ).models["fct_flows"]
    assert found.unique == ("blob", "tuple_no")
    assert found.order_by == ("dst_port", "blob")
    assert found.conserves == Conservation("flow_records", {"count(*)": "sum(n)"})
    assert small_project().models["top_daily"].settings == ("top_n", "complete_through")
    assert small_project().models["top_daily"].conserves is None


@pytest.mark.parametrize("changed", ["fact", "view", "services", "macro"])
def test_a_version_changes_with_the_code_of_the_model_and_all_below_it(changed: str) -> None:
    assert version_of_facts(**{changed: "2"}) != version_of_facts()


def test_a_version_changes_with_what_is_checked_and_how_it_is_sorted() -> None:
    assert version_of_facts(order_by=["other"]) != version_of_facts()


@pytest.mark.parametrize("changed", ["daily", "foreign_macro"])
def test_a_version_does_not_change_with_what_is_above_it_or_none_of_ours(changed: str) -> None:
    assert version_of_facts(**{changed: "2"}) == version_of_facts()


def test_a_new_version_of_a_table_of_the_lake_is_no_new_version_of_what_rests_on_it() -> None:
    # It is built anew only if the table's files are, which are inputs of its own.
    def version_of_days(fact: str) -> str:
        facts = model("fct_flows", source_id("flow_records"), code=fact, grain="hour")
        return project(facts, model("top_daily", FCT, grain="day")).models["top_daily"].version

    assert version_of_days("1") == version_of_days("2")


def test_a_description_makes_no_new_version() -> None:
    renamed = model("fct_flows", source_id("flow_records"), grain="hour")
    renamed["description"] = "told better"
    plain = model("fct_flows", source_id("flow_records"), grain="hour")
    assert version_in(project(renamed)) == version_in(project(plain))


def test_dbt_builds_the_models_of_a_grain_with_the_views_that_show_them_and_what_is_below() -> None:
    found = project(
        model("stg_flows", source_id("flow_records")),
        model("stg_lookups", source_id("ip_lookup")),
        seed("services"),
        model("fct", "model.flow_pipeline.stg_flows", "seed.flow_pipeline.services", grain="hour"),
        model("addresses", "model.flow_pipeline.stg_lookups"),
        model("daily", "model.flow_pipeline.fct", grain="day"),
        model("lag", "model.flow_pipeline.stg_flows", grain="day"),
        model("first_seen", "model.flow_pipeline.lag", "model.flow_pipeline.stg_lookups"),
    )
    assert set(found.selection("hour")) == {
        "stg_flows", "services", "fct", "addresses", "stg_lookups"
    }  # fmt: skip
    # Not what only the hours are made of: that is built already.
    assert set(found.selection("day")) == {
        "daily", "lag", "stg_flows", "first_seen", "stg_lookups"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "grains"),
    [
        ("stg_days", {"day"}),
        ("first_seen", {"day"}),
        ("addresses", {"hour"}),
        ("stg_lookups", {"hour"}),
        ("macro", {"hour", "day"}),
        ("foreign_macro", set()),
    ],
)
def test_the_views_of_a_grain_have_a_version(changed: str, grains: set[str]) -> None:
    def views(**code: str) -> DbtProject:
        macros = {name: code.pop(name) for name in ("macro", "foreign_macro") if name in code}
        return project(
            model("stg_days", source_id("flow_records"), code=code.get("stg_days", "1")),
            model("days", "model.flow_pipeline.stg_days", grain="day"),
            model("first_seen", "model.flow_pipeline.days", code=code.get("first_seen", "1")),
            model("stg_lookups", source_id("ip_lookup"), code=code.get("stg_lookups", "1")),
            model("addresses", "model.flow_pipeline.stg_lookups", code=code.get("addresses", "1")),
            **macros,
        )

    before, after = views(), views(**{changed: "2"})
    every: tuple[Grain, ...] = ("hour", "day")
    assert {it for it in every if before.views_version(it) != after.views_version(it)} == grains


def version_in(found: DbtProject) -> str:
    return found.models["fct_flows"].version
