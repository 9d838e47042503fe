"""The slow, obvious decoder that the real one is held against.

The whole document with the standard library's JSON, a tuple at a time, nothing shared with the
program but the names of columns and reasons. It reads well-formed documents only: what a cut-off or
broken one gives is written out in the tests by hand.
"""

from __future__ import annotations

import ipaddress
import json
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

EPOCH = datetime(1970, 1, 1)
COLUMNS = [
    "flow_time",
    "date",
    "hour",
    "src_ip",
    "dst_ip",
    "src_port",
    "dst_port",
    "protocol",
    "direction",
    "decision",
    "flow_state",
    "encryption",
    "packets_src_to_dst",
    "bytes_src_to_dst",
    "packets_dst_to_src",
    "bytes_dst_to_src",
    "rule",
    "acl_id",
    "flow_log_id",
    "target_resource_id",
    "mac",
    "log_version",
    "record_time",
    "source",
    "blob",
    "record_no",
    "flow_no",
    "group_no",
    "tuple_no",
    "reject_reason",
    "raw",
]
COUNTERS = COLUMNS[12:16]


class Rejected(Exception):
    """Carries the reason."""


def decode(document: bytes, source: str, blob: str, written_hour: datetime) -> list[Row]:
    rows: list[Row] = []
    for record_no, record in enumerate(json.loads(document)["records"]):
        for flow_no, group_no, names, tuples in groups(record):
            for tuple_no, text in enumerate(tuples):
                row: Row = dict.fromkeys(COLUMNS)
                row.update(names)
                row.update(source=source, blob=blob, record_no=record_no)
                row.update(flow_no=flow_no, group_no=group_no, tuple_no=tuple_no)
                row["record_time"] = record_time(record["time"])
                try:
                    row.update(fields_of(text, written_hour))
                except Rejected as rejected:
                    row["reject_reason"] = str(rejected)
                    row["raw"] = text if isinstance(text, str) else json.dumps(text)
                rows.append(row)
    return rows


def groups(record: Row) -> list[tuple[int, int, Row, list[Any]]]:
    found: list[tuple[int, int, Row, list[Any]]] = []
    if record["category"] == "NetworkSecurityGroupFlowEvent":
        for flow_no, flow in enumerate(record["properties"]["flows"]):
            for group_no, group in enumerate(flow["flows"]):
                names = {
                    "rule": flow["rule"],
                    "acl_id": record["resourceId"],
                    "mac": group.get("mac") or record.get("macAddress"),
                }
                found.append((flow_no, group_no, names, group["flowTuples"]))
    elif record["category"] == "FlowLogFlowEvent":
        for flow_no, flow in enumerate(record["flowRecords"]["flows"]):
            for group_no, group in enumerate(flow["flowGroups"]):
                names = {
                    "rule": group["rule"],
                    "acl_id": flow["aclID"],
                    "flow_log_id": record.get("flowLogResourceID") or record.get("flowLogGUID"),
                    "target_resource_id": record["targetResourceID"],
                    "mac": record["macAddress"],
                }
                found.append((flow_no, group_no, names, group["flowTuples"]))
    return found


def record_time(text: str) -> datetime:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    time = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    return time + timedelta(microseconds=int((fraction + "000000")[:6]))


def fields_of(text: Any, written_hour: datetime) -> Row:
    fields = split(text)
    row: Row = {}
    time = flow_time(fields[0])
    if time < datetime(2010, 1, 1) or time > written_hour + timedelta(hours=2):
        raise Rejected("flow_time_implausible")
    row.update(flow_time=time, date=time.date(), hour=time.hour)

    row["src_ip"] = address(fields[1])
    row["dst_ip"] = address(fields[2])
    row["src_port"] = digits(fields[3], "port_unreadable", 65535)
    row["dst_port"] = digits(fields[4], "port_unreadable", 65535)

    if fields[5] in ("T", "U"):
        row["protocol"] = {"T": 6, "U": 17}[fields[5]]
        row["log_version"] = 1 if len(fields) == 8 else 2
    else:
        row["protocol"] = digits(fields[5], "protocol_unreadable", 255)
        row["log_version"] = 4
        if len(fields) == 8:
            raise Rejected("protocol_unreadable")

    row["direction"] = one_of(fields[6], ["I", "O"], "direction_unknown")
    if row["log_version"] == 4:
        state = one_of(fields[7], ["B", "C", "E", "D"], "state_unknown")
        row["decision"] = "D" if state == "D" else "A"
        row["flow_state"] = None if state == "D" else state
        row["encryption"] = None if fields[8] == "" else fields[8]
    else:
        row["decision"] = one_of(fields[7], ["A", "D"], "decision_unknown")
        if row["log_version"] == 2:
            row["flow_state"] = one_of(fields[8], ["B", "C", "E"], "state_unknown")

    for name, field in zip(COUNTERS, fields[9:], strict=False):
        if field != "":
            row[name] = digits(field, "counter_unreadable", 2**63 - 1)
    return row


def split(text: Any) -> list[str]:
    if not isinstance(text, str):
        raise Rejected("not_text")
    if text == "":
        raise Rejected("empty")
    fields = text.split(",")
    if len(fields) < 8 or 8 < len(fields) < 13:
        raise Rejected("too_few_fields")
    if len(fields) > 13:
        raise Rejected("too_many_fields")
    return fields


def flow_time(text: str) -> datetime:
    number = digits(text, "flow_time_unreadable")
    milliseconds = number * 1000 if number < 100_000_000_000 else number
    if milliseconds > 10**14:
        raise Rejected("flow_time_implausible")
    return EPOCH + timedelta(milliseconds=milliseconds)


def digits(text: str, reason: str, most: int | None = None) -> int:
    if text == "" or any(character not in "0123456789" for character in text):
        raise Rejected(reason)
    number = int(text)
    if most is not None and number > most:
        raise Rejected(reason)
    return number


def one_of(text: str, known: list[str], reason: str) -> str:
    if text not in known:
        raise Rejected(reason)
    return text


def address(text: str) -> str:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        raise Rejected("address_unreadable") from None
    if "%" in text:
        raise Rejected("address_unreadable")
    if found.version == 6 and found.packed.startswith(bytes(10) + b"\xff\xff"):
        return "::ffff:" + ".".join(str(byte) for byte in found.packed[-4:])
    return str(found)
