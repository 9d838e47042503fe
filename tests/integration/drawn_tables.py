"""Tables in memory for the SQL of models, filled with rows that a test draws.

Belongs here: what tests of several models need of the tables that these read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from flow_pipeline.dbt_models import load_project


def replace_flows(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, Sequence[Any]],
    compiled: Mapping[str, str],
) -> None:
    """Have `fct_flows` hold these tuples alone, and `merged_flows` what its SQL makes of them.

    Columns that are not drawn are null.
    """
    kinds = load_project().models["fct_flows"].columns.items()
    types = ", ".join(f"{name} {kind}" for name, kind in kinds)
    connection.execute(f"create or replace table fct_flows ({types})")
    # A row at a time would take minutes.
    connection.register("drawn", pa.table({name: list(cells) for name, cells in columns.items()}))
    connection.execute("insert into fct_flows by name select * from drawn")
    connection.unregister("drawn")
    connection.execute(f"create or replace table merged_flows as {compiled['merged_flows']}")
