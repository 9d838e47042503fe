"""Running the Dagster jobs in this process, as `flow-pipeline run` does.

Belongs here: the Dagster home, launching jobs in process, and reading their outcome. Such runs
stand in the Dagster UI like any other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flow_pipeline.settings import PROJECT_DIR

if TYPE_CHECKING:
    import dagster as dg

_HOME_NAME = ".dagster"
WORKSPACE = PROJECT_DIR / "workspace.yaml"
_INSTANCE_CONFIG = PROJECT_DIR / "dagster.yaml"


@dataclass(frozen=True)
class RunOutcome:
    """How a Dagster run ended; `failures` are fit for a user to read."""

    run_id: str
    succeeded: bool
    failures: tuple[str, ...]


def prepare_dagster_home() -> Path:
    """The Dagster home: DAGSTER_HOME, or `.dagster` in this directory; made if need be."""
    home = Path(os.environ.get("DAGSTER_HOME") or Path.cwd() / _HOME_NAME).absolute()
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists() or config.read_bytes() != _INSTANCE_CONFIG.read_bytes():
        shutil.copyfile(_INSTANCE_CONFIG, config)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    return home


def run_hours(hours: Sequence[datetime]) -> RunOutcome:
    """Land, look up and model a range of hours as one Dagster run."""
    from flow_pipeline.defs.automation import DAYS_FOLLOW

    return _run("hours_job", hours, {DAYS_FOLLOW: "true"})


def run_days(days: Sequence[date]) -> RunOutcome:
    """Summarise a range of days as one Dagster run."""
    return _run("days_job", days, {})


def _run(
    job_name: str, whens: Sequence[datetime] | Sequence[date], tags: Mapping[str, str]
) -> RunOutcome:
    import dagster as dg

    from flow_pipeline.definitions import defs
    from flow_pipeline.defs.resources import PipelineResource
    from flow_pipeline.defs.time_partitions import range_tags

    # Whoever waits at a terminal tries again himself; the client's own retries are behind us.
    resources = {"pipeline": PipelineResource(transport_retries=0)}
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def(job_name).execute_in_process(
            instance=instance,
            resources=resources,
            tags={**range_tags(whens), **tags},
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failures = tuple(
            dict.fromkeys(_message(event) for event in result.all_events if event.is_step_failure)
        )
        return RunOutcome(result.run_id, result.success, failures)


def _message(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    # A defect of ours, or of what we build on: it shows where it happened.
    return data.error.to_string() if data.error is not None else f"{event.step_key} failed"
