"""The code location: everything that Dagster is told, and nothing else."""

import dagster as dg

from flow_pipeline.defs import automation, landing, models, reference_data
from flow_pipeline.defs.resources import PipelineResource

defs = dg.Definitions(
    assets=[
        landing.blobs,
        landing.flow_records,
        reference_data.threat_feeds,
        reference_data.country_database,
        reference_data.threat_entries,
        reference_data.ip_lookup,
        *models.VIEWS,
        models.hour_models,
        models.day_models,
    ],
    jobs=[automation.hours_job, automation.days_job],
    schedules=[automation.hourly],
    sensors=[automation.days_after_hours],
    resources={"pipeline": PipelineResource()},
    executor=dg.in_process_executor,
)
