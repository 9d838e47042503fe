"""What a run would otherwise do when it is started first: compile modules and the scanner.

`make setup` calls it, even where the environment forbids Python to keep what it compiles: or the
first run, and perhaps each, would pay for it.
"""

from __future__ import annotations

import importlib
from datetime import datetime

import dagster

from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace

_IMPORTED_BY_A_RUN = (
    "dbt.cli.main",
    "flow_pipeline.cli",
    "flow_pipeline.definitions",
    "flow_pipeline.event_log",
    "flow_pipeline.sample",
)
# Every compiled function is called: an address that is a text is looked up in a table of its own.
_BLOB = b"""{"records":[{"category":"FlowLogFlowEvent","flowRecords":{"flows":[{"flowGroups":[{
    "flowTuples":["1767225600000,192.0.2.1,2001:db8::1,1,2,6,I,D,NX,0,0,0,0"]}]}]}}]}"""


def main() -> None:
    """Import, decode and open once."""
    for name in _IMPORTED_BY_A_RUN:
        importlib.import_module(name)
    decoder = BlobDecoder(BlobPlace("", "", datetime(2026, 1, 1)))
    tuples = sum(batch.num_rows for batch in [*decoder.feed(_BLOB), *decoder.finish()])
    if tuples != 1:
        raise SystemExit("The decoder does not work here: 1 flow expected, and none found")
    dagster.DagsterInstance.local_temp().dispose()


if __name__ == "__main__":
    main()
