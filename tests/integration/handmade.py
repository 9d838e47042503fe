"""Flow logs written by hand, for tests that need one certain tuple in one certain blob.

Belongs here: envelopes of both products and where they lie in a folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

VNET = "insights-logs-flowlogflowevent"
NSG = "insights-logs-networksecuritygroupflowevent"
_RESOURCE = {
    VNET: "flowLogResourceID=/SUB_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_LOG",
    NSG: "resourceId=/SUBSCRIPTIONS/SUB/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.NETWORK"
    "/NETWORKSECURITYGROUPS/ONE",
}


def milliseconds(time: datetime) -> int:
    """A naive UTC time as version 4 writes it."""
    return int(time.replace(tzinfo=UTC).timestamp() * 1000)


def attempt(time: datetime, source: str = "192.0.2.1", port: int = 22, state: str = "D") -> str:
    """A version 4 tuple: somebody tries a port of 10.0.0.4."""
    return f"{milliseconds(time)},{source},10.0.0.4,50000,{port},6,I,{state},NX,0,0,0,0"


def vnet_record(
    tuples: Sequence[object],
    time: datetime,
    rule: str = "DefaultRule_DenyAllInBound",
    acl: str = "acl",
    **fields: object,
) -> dict[str, Any]:
    """A record of a virtual network flow log; `fields` are put in, or over what is there."""
    return {
        "time": f"{time:%Y-%m-%dT%H:%M:%S}.0000000Z",
        "flowLogVersion": 4,
        "flowLogGUID": "guid",
        "macAddress": "000D3A000001",
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": "/SUB/LOG",
        "targetResourceID": "/SUB/VNET",
        "operationName": "FlowLogFlowEvent",
        "flowRecords": {
            "flows": [{"aclID": acl, "flowGroups": [{"rule": rule, "flowTuples": list(tuples)}]}]
        },
        **fields,
    }


def nsg_record(tuples: Sequence[object], time: datetime) -> dict[str, Any]:
    """A record of an NSG flow log."""
    return {
        "time": f"{time:%Y-%m-%dT%H:%M:%S}.0000000Z",
        "systemId": "system",
        "macAddress": "000D3A000001",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": "/SUBSCRIPTIONS/SUB/NSG/ONE",
        "operationName": "NetworkSecurityGroupFlowEvents",
        "properties": {
            "Version": 2,
            "flows": [
                {
                    "rule": "UserRule_any",
                    "flows": [{"mac": "000D3A000001", "flowTuples": list(tuples)}],
                }
            ],
        },
    }


def put(
    folder: Path,
    hour: datetime,
    mac: str,
    content: bytes | list[dict[str, Any]],
    container: str = VNET,
) -> str:
    """Lay a blob of a written hour down; `content` is bytes or records. Returns the blob's name."""
    blob = (
        f"{container}/{_RESOURCE[container]}/{hour:y=%Y/m=%m/d=%d/h=%H}/m=00"
        f"/macAddress={mac}/PT1H.json"
    )
    path = folder / blob
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        content if isinstance(content, bytes) else json.dumps({"records": content}).encode()
    )
    return blob
