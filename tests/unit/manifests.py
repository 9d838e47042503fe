"""A dbt manifest in miniature, for tests of what is read from one.

Belongs here: only the parts of a manifest that the pipeline looks at.
"""

from __future__ import annotations

from typing import Any

from flow_pipeline.dbt_models import DbtProject


def model(
    name: str, *parents: str, code: str = "1", grain: str | None = None, **lake: Any
) -> dict[str, Any]:
    """A model of the lake if it has a grain, else a view. `parents` are unique ids."""
    kept = {"grain": grain, "unique": ["k"], "order_by": ["k"], **lake}
    return {
        "name": name,
        "unique_id": f"model.flow_pipeline.{name}",
        "resource_type": "model",
        "config": {
            "materialized": "lake" if grain else "view",
            "meta": {"lake": kept} if grain else {},
        },
        "depends_on": {"nodes": list(parents)},
        "columns": {},
        "checksum": {"checksum": code},
        "description": name,
    }


def seed(name: str, code: str = "1") -> dict[str, Any]:
    """A seed, which rests on nothing and has no `nodes` to say so."""
    return {
        "name": name,
        "unique_id": f"seed.flow_pipeline.{name}",
        "resource_type": "seed",
        "config": {"materialized": "seed", "meta": {}},
        "depends_on": {"macros": []},
        "checksum": {"checksum": code},
    }


def project(*nodes: dict[str, Any], macro: str = "1", foreign_macro: str = "1") -> DbtProject:
    """A project of these nodes over the sources of the real one."""
    sources = ("flow_records", "ip_lookup")
    return DbtProject(
        {
            "nodes": {node["unique_id"]: node for node in nodes},
            "sources": {source_id(name): {"name": name} for name in sources},
            "macros": {
                "macro.flow_pipeline.m": {"package_name": "flow_pipeline", "macro_sql": macro},
                "macro.dbt.m": {"package_name": "dbt", "macro_sql": foreign_macro},
            },
        }
    )


def source_id(name: str) -> str:
    """The unique id of a source's table."""
    return f"source.flow_pipeline.flow_logs.{name}"


def small_project() -> DbtProject:
    """A table of hours over both sources, and one of days over it."""
    return project(
        model("stg_flow_records", source_id("flow_records")),
        model("stg_ip_lookup", source_id("ip_lookup")),
        model(
            "fct_flows",
            "model.flow_pipeline.stg_flow_records",
            "model.flow_pipeline.stg_ip_lookup",
            grain="hour",
        ),
        model(
            "top_daily",
            "model.flow_pipeline.fct_flows",
            grain="day",
            settings=["top_n", "complete_through"],
        ),
    )
