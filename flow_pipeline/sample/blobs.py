"""The day's tuples as Azure writes them: tuples, records, blocks, blobs.

Belongs here: the three layouts, byte for byte as real blobs have them (key order included), and
which record and written hour a tuple comes into. Where the bytes go is generate.py and upload.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flow_pipeline.flowlog.schema import (
    NSG_CATEGORY,
    NSG_CONTAINER,
    VNET_CATEGORY,
    VNET_CONTAINER,
)
from flow_pipeline.sample.draws import Draws
from flow_pipeline.sample.story import (
    DAY_MINUTES,
    FLOW_LOG,
    FLOW_LOG_GUID,
    MACHINES,
    MINUTE_MS,
    MOST_TUPLES_IN_A_RECORD,
    REGION,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    TCP,
    VNET,
    WRITE_JITTER_MS,
    Machine,
    Rule,
    State,
)
from flow_pipeline.sample.traffic import COUNTERS, Rows

Layout = Literal["vnet", "nsg2", "nsg1"]

BLOB_HEAD = b'{"records":['
BLOB_TAIL = b"]}"

# A minute's record is written after it, so that the last one of the day is in the day after.
WRITTEN_HOURS = 25


@dataclass(frozen=True)
class Block:
    """One data block: the records of one minute. `minute` is the one in which it is written."""

    minute: int
    data: bytes


@dataclass(frozen=True)
class SampleBlob:
    """One `PT1H.json`: its container, its name there, its written hour (naive UTC), its blocks."""

    container: str
    name: str
    written_hour: datetime
    blocks: tuple[Block, ...]

    @property
    def content(self) -> bytes:
        """The blob once its hour is over: head, data blocks, tail."""
        return BLOB_HEAD + b"".join(block.data for block in self.blocks) + BLOB_TAIL


def container_of(layout: Layout) -> str:
    """The container that a layout's blobs are in."""
    return VNET_CONTAINER if layout == "vnet" else NSG_CONTAINER


def resource_directory(layout: Layout, machine: Machine) -> str:
    """The part of a blob's name before `/y=`."""
    if layout == "vnet":
        watcher = f"{SUBSCRIPTION}_NETWORKWATCHERRG/NETWORKWATCHER_{REGION}_{FLOW_LOG}"
        return f"flowLogResourceID=/{watcher.upper()}"
    return f"resourceId={_nsg_id(machine).upper()}"


def is_new_flow(rows: Rows) -> NDArray[np.bool_]:
    """Which rows are new flows: the beginnings and the denials."""
    return (rows["state"] == State.B) | (rows["state"] == State.D)


def write_blobs(
    rows: Rows, addresses: Sequence[str], day: date, seed: int, layout: Layout
) -> Iterator[SampleBlob]:
    """The blobs of a day, by written hour and machine; one without tuples is no blob.

    `rows` are in the order of their writing, `addresses` the texts that their numbers stand for.
    """
    midnight = datetime.combine(day, time.min)
    minutes = rows["machine"].astype(np.int64) * DAY_MINUTES + rows["at"] // MINUTE_MS
    edges = np.searchsorted(minutes, np.arange(len(MACHINES) * DAY_MINUTES + 1)).tolist()
    delays = [
        _write_delays(machine, Draws(seed, f"writing of {machine.name}")) for machine in MACHINES
    ]
    for hour in range(WRITTEN_HOURS):
        for number, machine in enumerate(MACHINES):
            blocks: list[Block] = []
            for minute in range(max(0, hour * 60 - 1), min(hour * 60 + 59, DAY_MINUTES)):
                place = number * DAY_MINUTES + minute
                own = rows[edges[place] : edges[place + 1]]
                if not len(own):
                    continue
                written_at = midnight + timedelta(minutes=minute + 1)
                record_time = _record_time(written_at, delays[number][minute])
                records = _records(own, addresses, machine, midnight, record_time, layout)
                comma = b"," if blocks else b""
                blocks.append(Block(written_at.minute, comma + ",".join(records).encode()))
            if blocks:
                written_hour = midnight + timedelta(hours=hour)
                name = (
                    f"{resource_directory(layout, machine)}"
                    f"/{written_hour:y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={machine.mac}/PT1H.json"
                )
                yield SampleBlob(container_of(layout), name, written_hour, tuple(blocks))


def _write_delays(machine: Machine, draws: Draws) -> list[int]:
    """From the end of each minute to the writing of its record, in units of 100 ns."""
    jitter = draws.below(WRITE_JITTER_MS * 10_000, DAY_MINUTES)
    return (machine.write_delay_ms * 10_000 + jitter).tolist()


def _record_time(written_at: datetime, delay: int) -> str:
    seconds, fraction = divmod(delay, 10_000_000)
    return f"{written_at + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:07d}Z"


def _records(
    rows: Rows,
    addresses: Sequence[str],
    machine: Machine,
    midnight: datetime,
    record_time: str,
    layout: Layout,
) -> list[str]:
    """The records of one minute: several with one time when there is much to write."""
    tuples = _tuples(rows, addresses, machine.private_address, midnight, layout)
    rules = rows["rule"].tolist()
    records: list[str] = []
    for begin in range(0, len(tuples), MOST_TUPLES_IN_A_RECORD):
        by_rule: dict[int, list[str]] = {}
        for place in range(begin, min(begin + MOST_TUPLES_IN_A_RECORD, len(tuples))):
            by_rule.setdefault(rules[place], []).append(tuples[place])
        if layout == "vnet":
            records.append(_vnet_record(machine, record_time, by_rule))
        else:
            records.append(_nsg_record(machine, record_time, by_rule, 1 if layout == "nsg1" else 2))
    return records


_STATES = {int(state): state.name for state in State}
_OUTBOUND = frozenset({Rule.INTERNET_OUT, Rule.PLATFORM_OUT})


def _tuples(
    rows: Rows, addresses: Sequence[str], local: str, midnight: datetime, layout: Layout
) -> list[str]:
    """One text for each row."""
    begin = int(midnight.replace(tzinfo=UTC).timestamp()) * 1_000
    texts: list[str] = []
    columns = ("at", "rule", "state", "protocol", "remote", "remote_port", "local_port", *COUNTERS)
    for at, rule, state, protocol, remote, remote_port, local_port, *counters in zip(
        *(rows[name].tolist() for name in columns), strict=True
    ):
        outbound = rule in _OUTBOUND
        if outbound:
            ends = f"{local},{addresses[remote]},{local_port},{remote_port}"
        else:
            ends = f"{addresses[remote]},{local},{remote_port},{local_port}"
        direction = "O" if outbound else "I"
        moment = begin + at
        if layout == "vnet":
            a, b, c, d = counters
            texts.append(
                f"{moment},{ends},{protocol},{direction},{_STATES[state]},NX,{a},{b},{c},{d}"
            )
            continue
        letter = "T" if protocol == TCP else "U"
        decision = "D" if state == State.D else "A"
        text = f"{moment // 1_000},{ends},{letter},{direction},{decision}"
        if layout == "nsg1":
            texts.append(text)
        elif state in (State.B, State.D):
            texts.append(f"{text},B,,,,")
        else:
            a, b, c, d = counters
            texts.append(f"{text},{_STATES[state]},{a},{b},{c},{d}")
    return texts


# ---------------------------------------------------------------------------------- the envelopes

_NOBODY = "00000000-0000-0000-0000-000000000000"
_GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}"
_VNET_ID = f"{_GROUP_ID}/providers/Microsoft.Network/virtualNetworks/{VNET}"
_FLOW_LOG_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/NetworkWatcherRG/providers"
    f"/Microsoft.Network/networkWatchers/NetworkWatcher_{REGION}/flowLogs/{FLOW_LOG}"
).upper()

_VNET_RULES = {
    Rule.INTERNET_OUT: "DefaultRule_AllowInternetOutBound",
    Rule.ALLOW_RDP: "UserRule_AllowRDP",
    Rule.DENY_ALL_IN: "DefaultRule_DenyAllInBound",
    Rule.PLATFORM_IN: "PlatformRule",
    Rule.PLATFORM_OUT: "PlatformRule",
}
# NSG logs know no platform rule: such traffic stands under the default rule that lets it through.
_NSG_RULES = _VNET_RULES | {
    Rule.PLATFORM_IN: "DefaultRule_AllowAzureLoadBalancerInBound",
    Rule.PLATFORM_OUT: "DefaultRule_AllowInternetOutBound",
}
# Real records list outbound and inbound apart, each under the ACL's id.
_VNET_ENTRIES = (
    (Rule.INTERNET_OUT,),
    (Rule.ALLOW_RDP, Rule.DENY_ALL_IN),
    (Rule.PLATFORM_IN, Rule.PLATFORM_OUT),
)


def _nsg_id(machine: Machine) -> str:
    return f"{_GROUP_ID}/providers/Microsoft.Network/networkSecurityGroups/{machine.name}-nsg"


def _dumps(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def _quoted(tuples: Sequence[str]) -> str:
    """A JSON array; nothing in a tuple needs escaping."""
    return '["' + '","'.join(tuples) + '"]'


def _vnet_record(machine: Machine, record_time: str, by_rule: dict[int, list[str]]) -> str:
    entries: list[str] = []
    for rules in _VNET_ENTRIES:
        by_name: dict[str, list[str]] = {}
        for rule in rules:
            if rule in by_rule:
                by_name.setdefault(_VNET_RULES[rule], []).extend(by_rule[rule])
        if by_name:
            acl = _NOBODY if Rule.PLATFORM_IN in rules else _nsg_id(machine)
            groups = ",".join(
                f'{{"rule":{_dumps(name)},"flowTuples":{_quoted(tuples)}}}'
                for name, tuples in by_name.items()
            )
            entries.append(f'{{"aclID":{_dumps(acl)},"flowGroups":[{groups}]}}')
    head = _dumps(
        {
            "time": record_time,
            "flowLogGUID": FLOW_LOG_GUID,
            "macAddress": machine.mac,
            "category": VNET_CATEGORY,
            "flowLogResourceID": _FLOW_LOG_ID,
            "targetResourceID": _VNET_ID,
            "flowLogVersion": 4,
            "operationName": VNET_CATEGORY,
        }
    )
    return f'{head[:-1]},"flowRecords":{{"flows":[{",".join(entries)}]}}}}'


def _nsg_record(
    machine: Machine, record_time: str, by_rule: dict[int, list[str]], version: int
) -> str:
    by_name: dict[str, list[str]] = {}
    if version == 1:
        # The old format lists the rules that saw nothing, too.
        by_name = {name: [] for name in _NSG_RULES.values()}
    for rule, tuples in by_rule.items():
        by_name.setdefault(_NSG_RULES[Rule(rule)], []).extend(tuples)
    entries: list[str] = []
    for name, tuples in sorted(by_name.items()):
        flows = f'{{"mac":"{machine.mac}","flowTuples":{_quoted(tuples)}}}' if tuples else ""
        entries.append(f'{{"rule":{_dumps(name)},"flows":[{flows}]}}')
    head = _dumps(
        {
            "time": record_time,
            "systemId": machine.system_id,
            "macAddress": machine.mac,
            "category": NSG_CATEGORY,
            "resourceId": _nsg_id(machine).upper(),
            "operationName": f"{NSG_CATEGORY}s",
        }
    )
    return f'{head[:-1]},"properties":{{"Version":{version},"flows":[{",".join(entries)}]}}}}'
