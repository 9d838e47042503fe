"""dbt-duckdb's way into the lake: views when a connection opens, files when a model is built.

Belongs here: handing dbt's calls to the model run that called dbt. When dbt was started by hand
there is none, and a run over the whole lake takes its place.
"""

from __future__ import annotations

from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig

from flow_pipeline.dbt_models import load_manifest_of_this_call
from flow_pipeline.lake import Lake
from flow_pipeline.modelling import ModelRun, Planner, run_over_everything
from flow_pipeline.settings import load_settings


class Plugin(BasePlugin):
    """The plugin that `profiles.yml` names."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Join the run that called dbt, or begin one over the whole lake."""
        self._run: ModelRun | None = ModelRun.current

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Make the views over the lake."""
        self._joined().open(conn)

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Variables belong to one cursor: set them on each."""
        self._joined().set_variables(cursor)

    def store(self, target_config: TargetConfig) -> None:
        """Build a model's files, or record a view, as the materialization asks."""
        asked = target_config.config
        run = self._joined()
        if asked["kind"] == "view":
            run.views.append((asked["schema"], asked["name"], asked["sql"]))
        else:
            run.build(asked["name"], asked["sql"])

    def _joined(self) -> ModelRun:
        if self._run is None:
            settings = load_settings()
            lake = Lake.open_to_read(settings.lake_dir)
            self._run = run_over_everything(
                Planner(lake, load_manifest_of_this_call(), settings)
            )
        return self._run
