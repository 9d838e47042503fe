"""A flow tuple, as text, to fields: the exact reading.

Belongs here: the meaning of a tuple's fields. `read_tuple` is the law; the scanner reads by itself
only what it is sure to read in the same way. Where a tuple stood is no matter of this module.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from flow_pipeline.flowlog.schema import RejectReason

LONGEST_TUPLE = 1_024
"""Azure's are shorter than 150 characters. What is longer is rejected, and its rest not kept: a
hostile blob must not fill the memory."""

EARLIEST_MS = int(datetime(2010, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""The first plausible flow time; Azure itself began in 2010."""

_FIELDS_V1 = 8
_FIELDS_V2_V4 = 13
_EPOCH = datetime(1970, 1, 1)
# Seconds have had ten digits since 2001, milliseconds thirteen: eleven digits tell them apart.
_FIRST_MILLISECONDS = 10**11
_LATE_BY = timedelta(hours=2)  # the written hour itself, and one more
_MOST_PORT = 65535
_MOST_PROTOCOL = 255
_MOST_COUNT = 2**63 - 1
_MOST_DIGITS = 19  # of an int64
_PROTOCOL_NUMBERS = {"T": 6, "U": 17}


class FlowTuple(NamedTuple):
    """A decoded tuple; `flow_ms` is milliseconds since 1970 UTC, the rest as in the schema."""

    flow_ms: int
    src_ip: str
    dst_ip: str
    src_port: int
    dst_port: int
    protocol: int
    direction: str
    decision: str
    flow_state: str | None
    encryption: str | None
    packets_src_to_dst: int | None
    bytes_src_to_dst: int | None
    packets_dst_to_src: int | None
    bytes_dst_to_src: int | None
    log_version: int


def latest_ms(written_hour: datetime) -> int:
    """The last plausible flow time of a blob, in milliseconds since 1970 UTC."""
    return (written_hour + _LATE_BY - _EPOCH) // timedelta(milliseconds=1)


def read_tuple(text: object, latest: int) -> FlowTuple | RejectReason:
    """One element of `flowTuples`, exactly; a flow time after `latest` (ms) is implausible."""
    if not isinstance(text, str):
        return RejectReason.NOT_TEXT
    if not text:
        return RejectReason.EMPTY
    if len(text) > LONGEST_TUPLE:
        return RejectReason.TOO_LONG
    fields = text.split(",")
    if len(fields) > _FIELDS_V2_V4:
        return RejectReason.TOO_MANY_FIELDS
    if len(fields) not in (_FIELDS_V1, _FIELDS_V2_V4):
        return RejectReason.TOO_FEW_FIELDS
    start = _read_start(fields, latest)
    if isinstance(start, RejectReason):
        return start
    if fields[5] in _PROTOCOL_NUMBERS:
        return _read_nsg(start, fields)
    return _read_vnet(start, fields)


def _read_start(fields: list[str], latest: int) -> tuple[int, str, str, int, int] | RejectReason:
    """The five fields that all versions begin with: time, addresses, ports."""
    if not _is_digits(fields[0]):
        return RejectReason.FLOW_TIME_UNREADABLE
    flow_ms = _number(fields[0], latest)
    if flow_ms is not None and flow_ms < _FIRST_MILLISECONDS:
        flow_ms *= 1000
    if flow_ms is None or not EARLIEST_MS <= flow_ms <= latest:
        return RejectReason.FLOW_TIME_IMPLAUSIBLE
    src_ip, dst_ip = canonical_address(fields[1]), canonical_address(fields[2])
    if src_ip is None or dst_ip is None:
        return RejectReason.ADDRESS_UNREADABLE
    src_port, dst_port = _number(fields[3], _MOST_PORT), _number(fields[4], _MOST_PORT)
    if src_port is None or dst_port is None:
        return RejectReason.PORT_UNREADABLE
    return flow_ms, src_ip, dst_ip, src_port, dst_port


def _read_nsg(start: tuple[int, str, str, int, int], fields: list[str]) -> FlowTuple | RejectReason:
    """Versions 1 and 2: protocol, direction, decision; in version 2 state and counters."""
    protocol = _PROTOCOL_NUMBERS[fields[5]]
    if fields[6] not in ("I", "O"):
        return RejectReason.DIRECTION_UNKNOWN
    if fields[7] not in ("A", "D"):
        return RejectReason.DECISION_UNKNOWN
    known = (*start, protocol, fields[6], fields[7])
    if len(fields) == _FIELDS_V1:
        return FlowTuple(*known, None, None, None, None, None, None, 1)
    if fields[8] not in ("B", "C", "E"):
        return RejectReason.STATE_UNKNOWN
    counters = _read_counters(fields)
    if counters is None:
        return RejectReason.COUNTER_UNREADABLE
    return FlowTuple(*known, fields[8], None, *counters, 2)


def _read_vnet(
    start: tuple[int, str, str, int, int], fields: list[str]
) -> FlowTuple | RejectReason:
    """Version 4: protocol number, direction, state or denial, encryption, counters."""
    protocol = _number(fields[5], _MOST_PROTOCOL)
    if protocol is None or len(fields) == _FIELDS_V1:
        return RejectReason.PROTOCOL_UNREADABLE
    if fields[6] not in ("I", "O"):
        return RejectReason.DIRECTION_UNKNOWN
    if fields[7] not in ("B", "C", "E", "D"):
        return RejectReason.STATE_UNKNOWN
    is_denied = fields[7] == "D"
    counters = _read_counters(fields)
    if counters is None:
        return RejectReason.COUNTER_UNREADABLE
    return FlowTuple(
        *start,
        protocol,
        fields[6],
        "D" if is_denied else "A",
        None if is_denied else fields[7],
        fields[8] or None,
        *counters,
        4,
    )


def _read_counters(
    fields: list[str],
) -> tuple[int | None, int | None, int | None, int | None] | None:
    counters = [_number(field, _MOST_COUNT) if field else None for field in fields[9:]]
    if any(counter is None and field for counter, field in zip(counters, fields[9:], strict=True)):
        return None
    return counters[0], counters[1], counters[2], counters[3]


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, most: int) -> int | None:
    """ASCII digits that make a number up to `most`; leading zeros mean nothing."""
    if not _is_digits(text):
        return None
    # The length first: Python refuses to convert thousands of digits.
    significant = text.lstrip("0")
    if len(significant) > _MOST_DIGITS:
        return None
    number = int(significant or "0")
    return number if number <= most else None


@lru_cache(maxsize=1 << 16)
def canonical_address(text: str) -> str | None:
    """An IPv4 or IPv6 address as canonical text, or None if it is none or has a scope id."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        # Python 3.13 prints these with dots, older ones in hexadecimal.
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)
