"""Running the Dagster jobs in this process, as `flow-pipeline run` does.

Belongs here: the Dagster home, launching jobs in process, and reading their outcome. Such runs
stand in the Dagster UI like any other.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flow_pipeline.errors import HistoryError
from flow_pipeline.settings import PROJECT_DIR

if TYPE_CHECKING:
    import dagster as dg

_HOME_NAME = ".dagster"
WORKSPACE = PROJECT_DIR / "workspace.yaml"
# Tag of a run that a command runs in its own process.
_PROCESS = "flow_pipeline/process"
_INSTANCE_CONFIG = PROJECT_DIR / "dagster.yaml"
# What is planned, and the partitions of an asset, are stored together; nobody else can write into
# Dagster's event log meanwhile, which this many take a fifth of a second.
_EVENTS_AT_ONCE = "100"


@dataclass(frozen=True)
class RunOutcome:
    """How a Dagster run ended; `failures` are fit for a user to read."""

    run_id: str
    succeeded: bool
    failures: tuple[str, ...]


def prepare_dagster_home() -> Path:
    """The Dagster home: DAGSTER_HOME, or `.dagster` in this directory; made if need be.

    Raises HistoryError if it cannot be.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or Path.cwd() / _HOME_NAME).absolute()
    config = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not config.exists() or config.read_bytes() != _INSTANCE_CONFIG.read_bytes():
            shutil.copyfile(_INSTANCE_CONFIG, config)
    except OSError as error:
        raise _unusable(home, error.strerror or str(error)) from None
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _EVENTS_AT_ONCE)
    return home


@contextmanager
def dagster_instance() -> Generator[dg.DagsterInstance]:
    """Dagster's history, made ready in the Dagster home; runs that died are ended in it."""
    import dagster as dg

    home = prepare_dagster_home()
    with _history_failures(home), ExitStack() as opened:
        # Dagster makes its databases when it first opens them, and two processes that do so at once
        # fail.
        with (home / "opening.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            instance = opened.enter_context(dg.DagsterInstance.get())
            end_dead_runs(instance)
        yield instance


@contextmanager
def _history_failures(home: Path) -> Generator[None]:
    """Tell what the databases of Dagster's history refuse, as on a full disk, as a HistoryError."""
    try:
        yield
    except Exception as error:
        # Whatever library stands between: it gives what SQLite said as its cause.
        if not isinstance(error.__cause__, sqlite3.Error):
            raise
        raise _unusable(home, str(error.__cause__)) from None


def _unusable(home: Path, reason: str) -> HistoryError:
    return HistoryError(
        f"Dagster's history of runs in {home} cannot be used: {reason}",
        "A directory that can be read and written, with space left",
        "Make room, or set DAGSTER_HOME to another directory, and run again",
    )


def run_hours(instance: dg.DagsterInstance, hours: Sequence[datetime]) -> RunOutcome:
    """Land, look up and model a range of hours as one Dagster run."""
    from flow_pipeline.defs.time_partitions import DAYS_FOLLOW

    return _run(instance, "hours_job", hours, {DAYS_FOLLOW: "true"})


def run_days(instance: dg.DagsterInstance, days: Sequence[date]) -> RunOutcome:
    """Summarise a range of days as one Dagster run."""
    return _run(instance, "days_job", days, {})


def end_dead_runs(instance: dg.DagsterInstance, *, of_others: bool = False) -> None:
    """Mark runs as failed whose process was killed: Dagster would count them as running for hours.

    `of_others` includes runs that a daemon launched; right only where none is running now.
    """
    import dagster as dg

    status = dg.DagsterRunStatus
    under_way = [status.STARTED, status.STARTING, status.NOT_STARTED]
    for run in instance.get_runs(dg.RunsFilter(statuses=under_way)):
        process = run.tags.get(_PROCESS)
        if process is None:
            # One that has not started may still be waiting for a daemon.
            is_dead = of_others and run.status is not status.NOT_STARTED
        else:
            is_dead = not Path(f"/proc/{process}").exists()
        if is_dead:
            instance.report_run_failed(run, "The process of this run ended before the run did.")


def _run(
    instance: dg.DagsterInstance,
    job_name: str,
    whens: Sequence[datetime] | Sequence[date],
    tags: Mapping[str, str],
) -> RunOutcome:
    import dagster as dg

    from flow_pipeline.definitions import defs
    from flow_pipeline.defs.resources import PipelineResource
    from flow_pipeline.defs.time_partitions import range_tags

    # Whoever waits at a terminal tries again himself; the client's own retries are behind us.
    resources = {"pipeline": PipelineResource(transport_retries=0)}
    result = defs.resolve_job_def(job_name).execute_in_process(
        instance=instance,
        resources=resources,
        tags={**range_tags(whens), **tags, _PROCESS: str(os.getpid())},
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    checks = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    stopping = [check for check in checks if check.blocking and not check.passed]
    failures = tuple(
        dict.fromkeys(
            _message(event, stopping) for event in result.all_events if event.is_step_failure
        )
    )
    return RunOutcome(result.run_id, result.success, failures)


def _message(event: dg.DagsterEvent, stopping: Sequence[dg.AssetCheckEvaluation]) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    if stopping:
        # Dagster ends a step itself after a check that blocks, and says it with a stack trace.
        return "\n".join(
            f"{check.asset_key.to_user_string()}: the check {check.check_name} failed: "
            + (
                check.description
                or "; ".join(f"{name} {value.value}" for name, value in check.metadata.items())
            )
            for check in stopping
        )
    # A defect of ours, or of what we build on: it shows where it happened.
    return data.error.to_string() if data.error is not None else f"{event.step_key} failed"
