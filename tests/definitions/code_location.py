"""The code location as the tests load it, and the text that its snapshot is.

Belongs here: loading the definitions with a known first hour, and describing them. After a change
that is meant: `python -m tests.definitions.code_location > tests/definitions/graph.txt`
"""

from __future__ import annotations

import importlib
import os
import sys
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

FIRST_HOUR = datetime(2025, 11, 1, 1)


def load_definitions() -> dg.Definitions:
    """The definitions, with partitions from midnight of `FIRST_HOUR`'s day on.

    They are made when the module is imported, whatever is set later.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FLOW_START", FIRST_HOUR.isoformat())
        if "FLOW_LAKE" not in os.environ:
            # A lake that somebody has in this directory would know a first hour of its own.
            environment.setenv("FLOW_LAKE", str(Path(__file__).with_name("no-lake")))
        defs = importlib.import_module("flow_pipeline.definitions").defs
        hours = importlib.import_module("flow_pipeline.defs.time_partitions").HOURS
    assert hours.start.replace(tzinfo=None) == FIRST_HOUR.replace(hour=0), (
        "another test has imported the definitions with other settings"
    )
    return defs


def describe(defs: dg.Definitions) -> str:
    """Assets with what they rest on, jobs and automation, as text that a review can read."""
    lines: list[str] = []
    graph = defs.resolve_asset_graph()
    checks = {spec.key: spec for d in defs.assets or () for spec in getattr(d, "check_specs", ())}
    for group in sorted(graph.all_group_names):
        lines.append(f"group {group}")
        for key in sorted(graph.asset_keys_for_group(group)):
            node = graph.get(key)
            partitions = type(node.partitions_def).__name__ if node.partitions_def else "none"
            lines.append(f"  asset {key.to_user_string()}")
            lines.append(f"    kinds {', '.join(sorted(node.kinds))}")
            lines.append(f"    owners {', '.join(node.owners)}")
            lines.append(f"    partitions {partitions.removesuffix('PartitionsDefinition')}")
            for parent in sorted(node.parent_keys):
                mapping = _mapping(node.partition_mappings.get(parent))
                lines.append(f"    after {parent.to_user_string()}{mapping}")
            lines += [
                f"    check {check.name}{', blocking' if checks[check].blocking else ''}"
                for check in sorted(node.check_keys)
            ]
    for job in sorted(("hours_job", "days_job")):
        resolved = defs.resolve_job_def(job)
        lines.append(f"job {job}")
        lines += [
            f"  {key.to_user_string()}"
            for key in sorted(resolved.asset_layer.executable_asset_keys)
        ]
    for schedule in defs.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        lines.append(
            f"schedule {schedule.name} of {schedule.job_name} at {schedule.cron_schedule} "
            f"{schedule.execution_timezone}, {schedule.default_status.value}"
        )
    lines += [
        f"sensor {sensor.name} starting {sensor.job_name}, {sensor.default_status.value}"
        for sensor in defs.sensors or ()
    ]
    return "\n".join(lines) + "\n"


def _mapping(mapping: dg.PartitionMapping | None) -> str:
    if not isinstance(mapping, dg.TimeWindowPartitionMapping):
        return ""
    return f" (windows {mapping.start_offset:+d} to {mapping.end_offset:+d})"


if __name__ == "__main__":
    sys.stdout.write(describe(load_definitions()))
