"""When what runs: the two jobs, the hourly schedule, and the days after the hours.

Belongs here: jobs, the schedule, the sensor. Nothing here decides what is current.
"""

import dagster as dg

from flow_pipeline.defs.models import DAY_MODELS, HOUR_MODELS
from flow_pipeline.defs.time_partitions import (
    DAYS,
    DAYS_FOLLOW,
    HOURS,
    hours_of_tags,
    key_of,
    range_tags,
)
from flow_pipeline.partitions import HOUR, floor_hour
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.settings import load_settings

hours_job = dg.define_asset_job(
    "hours_job",
    selection=dg.AssetSelection.groups("landing", "enrichment", "facts"),
    executor_def=dg.in_process_executor,
    description="Land written hours, look their addresses up, and build the event hours.",
)
days_job = dg.define_asset_job(
    "days_job",
    selection=dg.AssetSelection.groups("summaries", "coverage"),
    executor_def=dg.in_process_executor,
    description="Build the days' summaries and coverage.",
)


@dg.schedule(
    job=hours_job,
    cron_schedule="12 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Twelve minutes past each hour, when the last block of the hour before is in: the "
    "last written hours (FLOW_LOOK_BACK_HOURS) and the one just begun, as one run.",
)
def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run for the range of hours that may have changed."""
    now = floor_hour(context.scheduled_execution_time.replace(tzinfo=None))
    first = max(now - load_settings().look_back_hours * HOUR, HOURS.start.replace(tzinfo=None))
    return dg.RunRequest(run_key=key_of(now), tags=range_tags([first, now]))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitor_all_code_locations=False,
    request_job=days_job,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="After hours were built, by the schedule or by hand: build the days they are in.",
)
def days_after_hours(
    context: dg.RunStatusSensorContext,
) -> dg.RunRequest | dg.SkipReason:
    """One run for the days that hold flows of the hours that a run has built."""
    run = context.dagster_run
    built = {key.to_user_string() for key in run.asset_selection or ()}
    if run.job_name != hours_job.name and not built & set(HOUR_MODELS):
        return dg.SkipReason("The run built no hours.")
    if DAYS_FOLLOW in run.tags:
        return dg.SkipReason("Whoever launched the hours runs the days too.")
    backfill = context.instance.get_backfill(run.tags.get("dagster/backfill", ""))
    in_backfill = (
        {key.to_user_string() for key in (backfill.asset_selection or ())} if backfill else set()
    )
    if in_backfill & set(DAY_MODELS):
        return dg.SkipReason("The backfill holds the days too.")
    hours = hours_of_tags(run.tags)
    if not hours:
        return dg.SkipReason("The run was of no hours.")
    days = Pipeline.open(load_settings()).days_of(hours, landed=hours)
    first = max(days[0], DAYS.start.date())
    return dg.RunRequest(run_key=run.run_id, tags=range_tags([first, days[-1]]))
