"""The one list of columns of a landed flow tuple, and the closed list of reasons to reject one.

Everything that names these columns (decoder, lake, dbt's YAML, the data dictionary) takes them from
here or is held against them by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

NSG_CONTAINER = "insights-logs-networksecuritygroupflowevent"
VNET_CONTAINER = "insights-logs-flowlogflowevent"
CONTAINERS = (VNET_CONTAINER, NSG_CONTAINER)

NSG_CATEGORY = "NetworkSecurityGroupFlowEvent"
VNET_CATEGORY = "FlowLogFlowEvent"


@dataclass(frozen=True)
class Column:
    """A column: its name, Arrow type, and whether a decoded row may have it null."""

    name: str
    type: pa.DataType
    nullable: bool


_text = pa.string()
_count = pa.int64()
_place = pa.int32()

FLOW_COLUMNS: tuple[Column, ...] = (
    Column("flow_time", pa.timestamp("ms"), nullable=False),
    Column("date", pa.date32(), nullable=False),
    Column("hour", pa.int32(), nullable=False),
    Column("src_ip", _text, nullable=False),
    Column("dst_ip", _text, nullable=False),
    Column("src_port", pa.int32(), nullable=False),
    Column("dst_port", pa.int32(), nullable=False),
    Column("protocol", pa.int16(), nullable=False),
    Column("direction", _text, nullable=False),
    Column("decision", _text, nullable=False),
    Column("flow_state", _text, nullable=True),
    Column("encryption", _text, nullable=True),
    Column("packets_src_to_dst", _count, nullable=True),
    Column("bytes_src_to_dst", _count, nullable=True),
    Column("packets_dst_to_src", _count, nullable=True),
    Column("bytes_dst_to_src", _count, nullable=True),
    Column("rule", _text, nullable=True),
    Column("acl_id", _text, nullable=True),
    Column("flow_log_id", _text, nullable=True),
    Column("target_resource_id", _text, nullable=True),
    Column("mac", _text, nullable=True),
    Column("log_version", pa.int16(), nullable=False),
    Column("record_time", pa.timestamp("us"), nullable=True),
    Column("source", _text, nullable=False),
    Column("blob", _text, nullable=False),
    Column("record_no", _place, nullable=False),
    Column("flow_no", _place, nullable=False),
    Column("group_no", _place, nullable=False),
    Column("tuple_no", _place, nullable=False),
)
"""`flow_records`: one row per decoded tuple, exactly as logged, typed."""

COUNTERS = ("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src")
"""The counters of a tuple, in its order."""

REJECT_COLUMNS: tuple[Column, ...] = (
    Column("reject_reason", _text, nullable=True),
    Column("raw", _text, nullable=True),
)
"""What `landed_tuples` holds beside them: null on a decoded row."""

_PLACE = ("source", "blob", "record_no", "flow_no", "group_no", "tuple_no")

# A rejected tuple keeps only its place and what its envelope says: all else may be null.
LANDED_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(column.name, column.type, nullable=column.name not in _PLACE)
        for column in FLOW_COLUMNS + REJECT_COLUMNS
    ]
)

ENCODED_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(
            field.name,
            pa.dictionary(pa.int32(), field.type)
            if pa.types.is_string(field.type) and field.name not in ("reject_reason", "raw")
            else field.type,
            nullable=field.nullable,
        )
        for field in LANDED_SCHEMA
    ]
)
"""The same as it is decoded and written: texts that repeat as places in dictionaries."""


class RejectReason(StrEnum):
    """Why a tuple was not decoded. The first that applies, in this order."""

    NOT_TEXT = "not_text"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    TOO_FEW_FIELDS = "too_few_fields"
    TOO_MANY_FIELDS = "too_many_fields"
    FLOW_TIME_UNREADABLE = "flow_time_unreadable"
    FLOW_TIME_IMPLAUSIBLE = "flow_time_implausible"
    ADDRESS_UNREADABLE = "address_unreadable"
    PORT_UNREADABLE = "port_unreadable"
    PROTOCOL_UNREADABLE = "protocol_unreadable"
    DIRECTION_UNKNOWN = "direction_unknown"
    DECISION_UNKNOWN = "decision_unknown"
    STATE_UNKNOWN = "state_unknown"
    COUNTER_UNREADABLE = "counter_unreadable"
