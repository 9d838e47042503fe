"""Derived files without dbt: what a lake of the miniature project looks like once it is built.

Belongs here: writing such files. They have no rows, and say in their footers what they are made of.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipeline.lake import FOOTER_KEY, TableSpec, footer_bytes
from flow_pipeline.modelling import Planner, When
from flow_pipeline.partitions import Partition, day_partition, hour_partition

_COLUMNS = {"hour": ("date", "hour"), "day": ("date",)}
_TYPES = {"date": pa.date32(), "hour": pa.int32()}


def build(planner: Planner, name: str, when: When) -> None:
    """A file without rows that says that it was made of what it should be made of today."""
    model = planner.project.models[name]
    partition: Partition = (
        hour_partition(when) if isinstance(when, datetime) else day_partition(when)
    )
    names = _COLUMNS[model.grain]
    schema = pa.schema([("n", pa.int64()), *((each, _TYPES[each]) for each in names)])
    snapshot = planner.lake.existing(TableSpec(name, schema, names))
    inputs = planner.inputs(model, when)
    path = snapshot.stage(partition)
    with pq.ParquetWriter(path, pa.schema([("n", pa.int64())])) as writer:
        footer = footer_bytes({"id": inputs.id, "made_of": inputs.made_of})
        writer.add_key_value_metadata({FOOTER_KEY: footer})
    snapshot.commit(partition, [path], snapshot.files_of(partition))
    planner.refresh()
