"""The ledger: what the manifests say, held against the rows that were landed.

Belongs here: the proofs, read from the lake alone. What is read and carried over is decided by
`landing`; what a run finds wrong is shown by `defs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow.parquet as pq

from flow_pipeline.flowlog.schema import LANDED_SCHEMA
from flow_pipeline.lake import Lake
from flow_pipeline.landed_file import LANDED_TUPLES, read_landing
from flow_pipeline.partitions import written_partition


def verify_hours(lake: Lake, hours: Sequence[datetime]) -> tuple[list[str], list[str]]:
    """Hold what the manifests of some written hours say against the rows themselves.

    Returns what disagrees: in the counts, and in the columns. Both empty is how it should be.
    """
    snapshot = lake.existing(LANDED_TUPLES)
    counts: list[str] = []
    columns: list[str] = []
    for hour in hours:
        for file in snapshot.files_of(written_partition(hour)):
            manifest = read_landing(file).manifest
            found = pq.read_schema(file.path)
            if not found.equals(LANDED_SCHEMA):
                columns.append(f"{file.path.name}: {found.names}")
                continue
            table = pq.read_table(
                file.path,
                columns=["blob", "reject_reason"],
                read_dictionary=["blob"],
                partitioning=None,
            )
            found_in = {
                row["blob"]: (row["count_all"], row["reject_reason_count"])
                # Each row group brings a dictionary of its own.
                for row in table.unify_dictionaries()
                .group_by("blob")
                .aggregate([([], "count_all"), ("reject_reason", "count")])
                .to_pylist()
            }
            counts += [
                f"{blob.blob}: {blob.tuples} tuples read, {blob.rejected} of them rejected; "
                f"the file has {found_in.get(blob.blob, (0, 0))}"
                for blob in manifest.blobs
                if found_in.get(blob.blob, (0, 0)) != (blob.tuples, blob.rejected)
            ]
            unknown = found_in.keys() - {blob.blob for blob in manifest.blobs}
            counts += [f"{blob}: rows without a manifest entry" for blob in sorted(unknown)]
    return counts, columns
