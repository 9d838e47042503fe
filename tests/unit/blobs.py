"""Small flow logs for tests, written as plain JSON so that a test shows what stands in them.

Belongs here: blobs of one record or a few, and the folders that hold them. The generated day is
`flow_pipeline.sample`; this module shares nothing with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flow_pipeline.flowlog.schema import VNET_CONTAINER

HOUR = datetime(2026, 11, 1, 5)
"""The written hour of most tests."""

MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1)

Tuples = Sequence[object]
"""What stands in `flowTuples`: texts, but for tests of what is none."""


def ms(time: datetime) -> int:
    """Milliseconds since 1970, as VNet flow logs have them."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def flow(
    time: datetime,
    src: str = "198.51.100.7",
    dst: str = "10.0.0.4",
    port: int = 3389,
    state: str = "B",
) -> str:
    """One tuple of a VNet flow log: inbound TCP from port 40000, no bytes counted."""
    return f"{ms(time)},{src},{dst},40000,{port},6,I,{state},NX,0,0,0,0"


def record(
    tuples: Tuples,
    time: datetime = HOUR + MINUTE,
    rule: str = "UserRule_rdp",
    acl_id: str = "/subscriptions/s/nsg",
) -> dict[str, Any]:
    """One record of a VNet flow log with all its tuples in one group."""
    return {
        "time": f"{time:%Y-%m-%dT%H:%M:%S}.1234560Z",
        "flowLogVersion": 4,
        "flowLogGUID": "2e5d0b64-0000-4000-8000-000000000001",
        "macAddress": "000D3AF87856",
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": "/subscriptions/s/flowlogs/f",
        "targetResourceID": "/subscriptions/s/virtualnetworks/v",
        "operationName": "FlowLogFlowEvent",
        "flowRecords": {
            "flows": [{"aclID": acl_id, "flowGroups": [{"rule": rule, "flowTuples": tuples}]}]
        },
    }


def document(*records: object) -> bytes:
    """A whole blob, as Azure closes it."""
    return json.dumps({"records": records}).encode()


def blob_name(hour: datetime = HOUR, mac: str = "000D3AF87856") -> str:
    """Container and path of one NIC's blob of a written hour."""
    return (
        f"{VNET_CONTAINER}/flowLogResourceID=/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_F/"
        f"{hour:y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={mac}/PT1H.json"
    )


def put(folder: Path, content: bytes, hour: datetime = HOUR, mac: str = "000D3AF87856") -> str:
    """Write a NIC's blob of a written hour into a folder of flow logs; returns the blob's name."""
    name = blob_name(hour, mac)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name


def put_flows(folder: Path, *tuples: str, hour: datetime = HOUR, mac: str = "000D3AF87856") -> str:
    """Write a NIC's blob of one record; returns the blob's name."""
    return put(folder, document(record(tuples, hour + MINUTE)), hour, mac)
