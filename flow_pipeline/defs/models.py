"""The dbt models as assets, their tests as checks: one call of dbt for a run's hours, one for days.

Belongs here: how models and tests appear in Dagster. Which files are built belongs to
`flow_pipeline.modelling`, what they mean to the dbt project.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from flow_pipeline.coverage import NewForm, new_forms
from flow_pipeline.currency import CHECKED, Currency
from flow_pipeline.dbt_models import DbtProject, load_project
from flow_pipeline.defs.landing import FLOW_RECORDS
from flow_pipeline.defs.markdown import table
from flow_pipeline.defs.reference_data import IP_LOOKUP, THREAT_ENTRIES
from flow_pipeline.defs.resources import PipelineResource
from flow_pipeline.defs.time_partitions import (
    DAYS,
    DAYS_FOLLOW,
    FROM_HOURS_OF_DAY,
    FROM_WRITTEN_HOURS,
    HOURS,
    days_in,
    hours_in,
    key_of,
)
from flow_pipeline.modelling import FileCheck, ModelledRange, When
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.summaries import SUMMARIES, top_as_markdown

_PROJECT: DbtProject = load_project()
_SCHEMA_DAILY = "schema_daily"
_CURRENT = "every_partition_current"
_NOTHING_NEW = "nothing_new_in_the_logs"
HOUR_MODELS = [model.name for model in _PROJECT.named("hour")]
DAY_MODELS = [model.name for model in _PROJECT.named("day")]


def _node(name: str) -> Mapping[str, Any]:
    return _PROJECT.manifest["nodes"][f"model.flow_pipeline.{name}"]


def _spec(name: str, group: str, deps: list[dg.AssetDep]) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(column["name"], column["data_type"], column["description"])
        for column in _node(name)["columns"].values()
    ]
    return dg.AssetSpec(
        name,
        deps=deps,
        group_name=group,
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
        kinds={"dbt", "duckdb"} | ({"deltalake"} if name in _PROJECT.models else set()),
        owners=["team:network"],
        description=_node(name)["description"],
    )


def _tests(names: list[str]) -> dict[str, dg.AssetCheckSpec]:
    """The tests attached to some models, by their dbt id."""
    return {
        unique_id: dg.AssetCheckSpec(
            name=node["name"],
            asset=dg.AssetKey(_PROJECT.manifest["nodes"][node["attached_node"]]["name"]),
            description=node["description"] or None,
            blocking=True,
        )
        for unique_id, node in _PROJECT.manifest["nodes"].items()
        if node["resource_type"] == "test"
        and (attached := node.get("attached_node")) is not None
        and _PROJECT.manifest["nodes"].get(attached, {}).get("name") in names
    }


_CHECKS = {
    FileCheck.COLUMNS_EXACT: "A staged file has the table's columns and types, and no others.",
    FileCheck.REQUIRED_FILLED: "Columns that the contract calls not null have no null.",
    FileCheck.GRAIN_UNIQUE: "No two rows of a staged file have the same key.",
    FileCheck.TOTALS_CONSERVED: "A staged file has the totals of what it is made of.",
}


def _file_checks(names: list[str]) -> list[dg.AssetCheckSpec]:
    """What every file is checked for before it is committed; a file that fails never is."""
    return [
        dg.AssetCheckSpec(check.value, asset=name, description=description, blocking=True)
        for name in names
        for check, description in _CHECKS.items()
    ]


def _current_checks(names: list[str]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(
            _CURRENT,
            asset=name,
            description="Every partition of the run, and of the "
            f"{CHECKED.days} days before the newest landing, is made of exactly the inputs that "
            "there are today, or it says why not; a warning. `flow-pipeline run` brings older "
            "ones up to date, too.",
        )
        for name in names
    ]


def _hour_parents(name: str) -> list[dg.AssetKey | str]:
    """The assets that a table of hours is made of, those of the landing by their own keys."""
    keys: dict[str, dg.AssetKey] = {key.path[-1]: key for key in (FLOW_RECORDS, IP_LOOKUP)}
    model = _PROJECT.models[name]
    # What an hour carries on is the table's own, which is no asset to wait for.
    own = model.carries.source if model.carries else None
    return [keys.get(parent, parent) for parent in model.parents if parent != own]


_HOUR_TESTS = _tests(HOUR_MODELS)
_DAY_TESTS = _tests(DAY_MODELS)


_VIEW_GROUPS = {
    "dim_ip": "enrichment",
    "threat_matches": "enrichment",
    "retro_hunt": "facts",
    "sessions": "facts",
    "NTANetAnalytics": "facts",
    "coverage_gaps": "coverage",
    "schema_drift": "coverage",
}


def _views() -> list[dg.AssetSpec]:
    keys = {key.path[-1]: key for key in (FLOW_RECORDS, IP_LOOKUP, THREAT_ENTRIES)}
    views = _PROJECT.views
    assets = keys | {name: dg.AssetKey(name) for name in (*views, *_PROJECT.models)}
    return [
        _spec(
            name,
            _VIEW_GROUPS.get(name, "summaries"),
            # What settings give, such as the allow-list, is no asset.
            [dg.AssetDep(assets[each]) for each in shown if each in assets],
        )
        for name, shown in views.items()
    ]


# There is nothing to materialise: they show what there is whenever they are asked.
VIEWS = _views()


@dg.multi_asset(
    name="hours",
    specs=[
        *(
            _spec(
                name,
                "facts",
                [
                    dg.AssetDep(parent)
                    if parent in HOUR_MODELS
                    else dg.AssetDep(parent, partition_mapping=FROM_WRITTEN_HOURS)
                    for parent in _hour_parents(name)
                ],
            )
            for name in HOUR_MODELS
        ),
    ],
    check_specs=[
        *_file_checks(HOUR_MODELS),
        *_current_checks(HOUR_MODELS),
        *_HOUR_TESTS.values(),
    ],
    partitions_def=HOURS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def hour_models(context: dg.AssetExecutionContext, pipeline: PipelineResource):
    """Bring the run's event hours up to date, and those that late flows of its landings are in."""
    hours = hours_in(context)
    with pipeline.opened() as opened:
        modelled = opened.model_hours(hours, days_follow=DAYS_FOLLOW in context.run.tags)
        currency = opened.currency("hour", hours)
    yield from _file_check_results(modelled, HOUR_MODELS)
    for name in HOUR_MODELS:
        # The look-ups are what the facts are made of, and have no check of their own.
        made_of = [IP_LOOKUP.path[-1]] if name == "fct_flows" else []
        yield _current_check_result(name, currency.of(name, *made_of))
    _fail_if_any(modelled.unbuilt)
    _log_partitions(context, modelled, {key_of(hour) for hour in hours})
    for name in HOUR_MODELS:
        yield dg.MaterializeResult(asset_key=name)
    yield from _check_results(modelled, _HOUR_TESTS)
    _fail_if_any(modelled.failed_tests)


@dg.multi_asset(
    name="days",
    specs=[
        _spec(name, "coverage", [dg.AssetDep(FLOW_RECORDS, partition_mapping=FROM_HOURS_OF_DAY)])
        if _PROJECT.models[name].by_written
        else _spec(
            name,
            "summaries",
            [
                dg.AssetDep(parent, partition_mapping=FROM_HOURS_OF_DAY)
                for parent in _PROJECT.models[name].parents
            ],
        )
        for name in DAY_MODELS
    ],
    check_specs=[
        *_file_checks(DAY_MODELS),
        *_current_checks(DAY_MODELS),
        dg.AssetCheckSpec(
            _NOTHING_NEW,
            asset=_SCHEMA_DAILY,
            description="No version, encryption code, reject reason, field count or problem was "
            "first seen on these days, the lake's first day left out; a warning.",
        ),
        *_DAY_TESTS.values(),
    ],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def day_models(context: dg.AssetExecutionContext, pipeline: PipelineResource):
    """Bring the run's days up to date."""
    days = days_in(context)
    with pipeline.opened() as opened:
        modelled = opened.model_days(days)
        tables = _top_tables(opened, modelled)
        currency = opened.currency("day", days)
        new = new_forms(opened.lake, days)
    yield from _file_check_results(modelled, DAY_MODELS)
    for name in DAY_MODELS:
        yield _current_check_result(name, currency.of(name))
    yield _nothing_new_result(new)
    _fail_if_any(modelled.unbuilt)
    _log_partitions(context, modelled, {key_of(day) for day in days}, tables)
    for name in DAY_MODELS:
        yield dg.MaterializeResult(asset_key=name)
    yield from _check_results(modelled, _DAY_TESTS)
    _fail_if_any(modelled.failed_tests)


def _top_tables(opened: Pipeline, modelled: ModelledRange) -> dict[tuple[str, str], str]:
    """The tables of the days, as Markdown, by model and day."""
    wanted = [
        (name, partition.when)
        for name in SUMMARIES
        for partition in modelled.partitions.get(name, ())
    ]
    found = top_as_markdown(opened.lake, wanted)
    return {(name, key_of(when)): table for (name, when), table in found.items()}


def _log_partitions(
    context: dg.AssetExecutionContext,
    modelled: ModelledRange,
    in_run: set[str],
    tables: Mapping[tuple[str, str], str] | None = None,
) -> None:
    """Rows and bytes of each partition; one outside the run's range is an event of its own."""
    for name, partitions in modelled.partitions.items():
        for partition in partitions:
            key = key_of(partition.when)
            metadata: dict[str, Any] = {
                "dagster/partition_row_count": partition.rows,
                "bytes": partition.size,
                "changed": partition.changed,
            }
            if tables and (name, key) in tables:
                metadata["top"] = dg.MetadataValue.md(tables[name, key])
            if key in in_run:
                context.add_asset_metadata(metadata, asset_key=name, partition_key=key)
            elif partition.changed and _exists(partition.when):
                context.log_event(
                    dg.AssetMaterialization(asset_key=name, partition=key, metadata=metadata)
                )


def _exists(when: When) -> bool:
    """Whether Dagster has a partition for an hour or day; one before FLOW_START has none."""
    definition = HOURS if isinstance(when, datetime) else DAYS
    return definition.has_partition_key(key_of(when))


def _file_check_results(modelled: ModelledRange, names: list[str]) -> Iterator[dg.AssetCheckResult]:
    for name in names:
        for check in _CHECKS:
            found = modelled.failed_checks.get((name, check))
            yield dg.AssetCheckResult(
                asset_key=name,
                check_name=check.value,
                passed=found is None,
                metadata={"found": found} if found else {},
            )


def _current_check_result(name: str, currency: Currency) -> dg.AssetCheckResult:
    """Which partitions are not current, and why not."""
    found = currency.not_current
    looked_at = [f"{count:,} partitions of {each}" for each, count in currency.looked_at.items()]
    told = f"{' and '.join(looked_at)} looked at, {len(found):,} not current"
    return dg.AssetCheckResult(
        asset_key=name,
        check_name=_CURRENT,
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={
            "looked_at": sum(currency.looked_at.values()),
            "not_current": len(found),
            "report": dg.MetadataValue.md(
                table(
                    ("table", "partition", "why"),
                    [(one.table, key_of(one.when), one.why) for one in found],
                )
                if found
                else "Nothing."
            ),
        },
    )


def _nothing_new_result(new: Sequence[NewForm]) -> dg.AssetCheckResult:
    rows = [(one.kind, one.form, key_of(one.first_seen_at), f"{one.occurrences:,}") for one in new]
    return dg.AssetCheckResult(
        asset_key=_SCHEMA_DAILY,
        check_name=_NOTHING_NEW,
        passed=not new,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(new):,} forms of the logs that had never been seen before",
        metadata={
            "new": len(new),
            "report": dg.MetadataValue.md(
                table(("kind", "form", "first seen", "occurrences"), rows) if rows else "Nothing."
            ),
        },
    )


def _check_results(
    modelled: ModelledRange, specs: Mapping[str, dg.AssetCheckSpec]
) -> Iterator[dg.AssetCheckResult]:
    """Test results as check results; where nothing had to be built, the last ones stand."""
    outcomes = {test.unique_id: test for test in modelled.tests}
    for unique_id, spec in specs.items():
        outcome = outcomes.get(unique_id)
        if outcome is None and modelled.tests:
            continue
        yield dg.AssetCheckResult(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=outcome is None or outcome.passed,
            metadata={
                "failures": outcome.failures if outcome else 0,
                "message": outcome.message if outcome else "All partitions were current.",
            },
        )


def _fail_if_any(failures: Sequence[str]) -> None:
    if failures:
        raise dg.Failure(description="\n".join(failures), allow_retries=False)
