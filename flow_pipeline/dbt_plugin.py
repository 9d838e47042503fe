"""dbt-duckdb's way into the lake: views when a connection opens, files when a model is built.

Belongs here: handing dbt's calls to the model run that called dbt. When dbt was started by hand
there is none, and a run over the whole lake takes its place.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt_common.events.contextvars import get_node_info
from dbt_common.exceptions import DbtRuntimeError

from flow_pipeline.dbt_models import load_manifest_of_this_call
from flow_pipeline.errors import FlowPipelineError
from flow_pipeline.lake import Lake
from flow_pipeline.modelling import ModelRun, Planner, run_over_everything
from flow_pipeline.settings import load_settings


class Plugin(BasePlugin):
    """The plugin that `profiles.yml` names."""

    _connection: duckdb.DuckDBPyConnection
    _by_hand: ModelRun | None = None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Keep the connection: dbt's cursors and ours share its views."""
        self._connection = conn

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Variables belong to one cursor: set them on each."""
        with _told_by_dbt():
            run = self._run()
            run.join(self._connection)
            run.set_variables(cursor, get_node_info().get("unique_id", ""))

    def store(self, target_config: TargetConfig) -> None:
        """Build a model's files, or record a view, as the materialization asks."""
        asked = target_config.config
        with _told_by_dbt():
            if asked["kind"] == "view":
                self._run().views.append((asked["schema"], asked["name"], asked["sql"]))
            else:
                self._run().build(asked["name"], asked["sql"])

    def _run(self) -> ModelRun:
        if ModelRun.current is not None:
            return ModelRun.current
        if self._by_hand is None:
            settings = load_settings()
            lake = Lake.open_to_read(settings.lake_dir)
            project = load_manifest_of_this_call()
            self._by_hand = run_over_everything(Planner(lake, project, settings))
        return self._by_hand


@contextmanager
def _told_by_dbt() -> Generator[None]:
    """A failure of ours becomes one that dbt tells as it is, without a stack trace."""
    try:
        yield
    except FlowPipelineError as error:
        raise DbtRuntimeError(str(error)) from None
