"""The slow, obvious decoder that the real one is held against.

Belongs here: the whole law of reading a blob, written once more as plainly as it goes: the whole
document at once, a byte at a time, a record at a time, a tuple at a time, into plain dicts. It
shares nothing with the program but words (columns, reasons, codes, the limit of a name) and the one
judge of what is JSON, which is orjson, asked for one record at a time.

The law, from the outside in:

* A document is an object with an array `records`. A value in it goes from its first byte to the
  bracket or quote that closes it, brackets of the other kind and brackets in strings not counted.
  What is neither bracketed nor quoted goes to the next byte that structures JSON.
* What is wrong around the records is a problem. It takes no record away that can still be told
  apart, and what ends too early keeps its whole records.
* A record is what orjson takes for a JSON object: of equal keys the last counts, a number beyond
  64 bits is a number, NaN, lone surrogates, invalid UTF-8 and nesting beyond 1,024 are not JSON.
* Its category says where its tuples are; without one its shape does. Every odd thing in it is one
  problem, and costs nothing but itself.
* Each element of `flowTuples` is a row: decoded, or rejected with the first reason that applies and
  its text as it stood there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import orjson
import xxhash

Row = dict[str, Any]
Problem = tuple[str, int | None]

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
LONGEST_NAME = 1024
LONGEST_TUPLE = 1024
DIGITS = "0123456789"


class Rejected(Exception):
    """Carries the reason."""


@dataclass
class Answer:
    """All that there is to say of a blob, in the order in which it stands there."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    records: int = 0
    digest: bytes = b""


def decode(
    document: bytes,
    source: str,
    blob: str,
    written_hour: datetime,
    first_record_no: int = 0,
    digest: bytes = b"",
) -> Answer:
    """With `first_record_no` the document begins behind that many records, at the comma."""
    answer = Answer(digest=digest)
    cutter = Cutter(document, first_record_no > 0, answer.problems)
    for record_no, data in enumerate(cutter.records(), first_record_no):
        answer.records += 1
        answer.digest = xxhash.xxh3_128_digest(answer.digest + xxhash.xxh3_128_digest(data))
        for flow_no, group_no, names, elements in Envelope(record_no, answer.problems).groups(data):
            for tuple_no, element in enumerate(elements):
                row: Row = dict.fromkeys(COLUMNS)
                row.update(names)
                row.update(source=source, blob=blob, record_no=record_no)
                row.update(flow_no=flow_no, group_no=group_no, tuple_no=tuple_no)
                try:
                    row.update(fields_of(element, written_hour))
                except Rejected as rejected:
                    row["reject_reason"] = str(rejected)
                    row["raw"] = verbatim(element)
                answer.rows.append(row)
    return answer


# Documents.

BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"
QUOTE, BACKSLASH, COMMA, COLON = b'"\\,:'
OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET = b"{}[]"
CLOSING = {OPEN_BRACE: CLOSE_BRACE, OPEN_BRACKET: CLOSE_BRACKET}
ENDS_A_BARE_WORD = SPACE + b',[]{}"'


class Ended(Exception):
    """The document ends before what is looked for."""


class Unexpected(Exception):
    """Something else stands there."""


class Cutter:
    """The bytes of a document, how far they are read, and whether its records were met."""

    def __init__(self, document: bytes, is_resumed: bool, problems: list[Problem]) -> None:
        self.document = document
        self.at = 0
        self.is_resumed = is_resumed
        self.has_records = is_resumed
        self.problems = problems

    def records(self) -> Iterator[bytes]:
        """One by one, whatever they are; what is wrong around them is noted."""
        try:
            if self.is_resumed:
                yield from self.elements(1)
            else:
                self.skip_byte_order_mark()
                self.expect(OPEN_BRACE)
                yield from self.member()
            byte = self.next_byte()
            while byte == COMMA:
                yield from self.member()
                byte = self.next_byte()
            if byte != CLOSE_BRACE or not self.has_records:
                raise Unexpected
            if self.document[self.at :].strip(SPACE):
                raise Unexpected
        except Ended:
            self.problems.append(("cut_off", None))
        except Unexpected:
            code = "trailing_data" if self.has_records else "not_a_flow_log"
            self.problems.append((code, None))

    def member(self) -> Iterator[bytes]:
        """A key and its value, with the records if it is theirs; or nothing before a brace."""
        byte = self.next_byte()
        if byte == CLOSE_BRACE:
            self.at -= 1
            return
        if byte != QUOTE:
            raise Unexpected
        key = parsed(self.value())
        self.expect(COLON)
        byte = self.next_byte()
        if key != "records":
            self.value()
        elif self.has_records:
            self.problems.append(("unreadable_json", None))
            self.value()
        elif byte == OPEN_BRACKET:
            self.has_records = True
            yield from self.elements(0)
        else:
            raise Unexpected

    def elements(self, commas_due: int) -> Iterator[bytes]:
        """The elements up to the end of the array, however many commas are between them."""
        while True:
            commas = 0
            byte = self.next_byte()
            while byte == COMMA:
                commas += 1
                byte = self.next_byte()
            if byte == CLOSE_BRACKET:
                commas_due = 0
            if commas != commas_due:
                self.problems.append(("unreadable_json", None))
            if byte == CLOSE_BRACKET:
                return
            commas_due = 1
            yield self.value()

    def skip_byte_order_mark(self) -> None:
        if BOM.startswith(self.document):
            raise Ended
        if self.document.startswith(BOM):
            self.at = len(BOM)

    def byte(self) -> int:
        if self.at == len(self.document):
            raise Ended
        self.at += 1
        return self.document[self.at - 1]

    def next_byte(self) -> int:
        """The next byte that is no white space."""
        byte = self.byte()
        while byte in SPACE:
            byte = self.byte()
        return byte

    def expect(self, byte: int) -> None:
        if self.next_byte() != byte:
            raise Unexpected

    def value(self) -> bytes:
        """The whole value whose first byte was read last."""
        start = self.at - 1
        first = self.document[start]
        if first == QUOTE:
            self.skip_string()
        elif first in CLOSING:
            depth = 1
            while depth > 0:
                byte = self.byte()
                if byte == QUOTE:
                    self.skip_string()
                elif byte == first:
                    depth += 1
                elif byte == CLOSING[first]:
                    depth -= 1
        else:
            while self.byte() not in ENDS_A_BARE_WORD:
                pass
            self.at -= 1
        return self.document[start : self.at]

    def skip_string(self) -> None:
        """To behind the closing quote; a backslash takes the byte behind it along."""
        at = self.at
        while at < len(self.document) and self.document[at] != QUOTE:
            at += 2 if self.document[at] == BACKSLASH else 1
        if at >= len(self.document):
            raise Ended
        self.at = at + 1


def parsed(data: bytes) -> Any:
    """The value, or None where it is no JSON; a record and a key that are null are none either."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


# Records.


class Envelope:
    """One record. Whatever is odd in it is noted under its number."""

    def __init__(self, record_no: int, problems: list[Problem]) -> None:
        self.record_no = record_no
        self.problems = problems

    def odd(self, code: str) -> None:
        self.problems.append((code, self.record_no))

    def groups(self, data: bytes) -> list[tuple[int, int, Row, list[Any]]]:
        """Flow number, group number, the names that its tuples have in common, its tuples."""
        record = parsed(data)
        if not isinstance(record, dict):
            self.odd("record_malformed")
            return []
        record = cast(Row, record)
        properties = record.get("properties")
        category = record.get("category")
        if category is None and "flowRecords" in record:
            category = "FlowLogFlowEvent"
        elif category is None and isinstance(properties, dict) and "flows" in properties:
            category = "NetworkSecurityGroupFlowEvent"
        if category == "FlowLogFlowEvent":
            return self.vnet_groups(record)
        if category == "NetworkSecurityGroupFlowEvent":
            return self.nsg_groups(record)
        self.odd("foreign_category")
        return []

    def nsg_groups(self, record: Row) -> list[tuple[int, int, Row, list[Any]]]:
        properties = record.get("properties")
        if not isinstance(properties, dict):
            self.odd("record_malformed")
            return []
        self.check_version(properties.get("Version"), [1, 2])
        of_record: Row = {
            "record_time": self.record_time(record.get("time")),
            "acl_id": self.name(record, "resourceId", "record_malformed"),
        }
        record_mac = self.name(record, "macAddress", "record_malformed")
        found: list[tuple[int, int, Row, list[Any]]] = []
        for flow_no, flow in self.objects(properties, "flows"):
            of_flow = {"rule": self.rule(flow)}
            for group_no, group in self.objects(flow, "flows"):
                mac = self.name(group, "mac", "group_malformed")
                names = of_record | of_flow | {"mac": mac or record_mac}
                found.append((flow_no, group_no, names, self.array(group, "flowTuples")))
        return found

    def vnet_groups(self, record: Row) -> list[tuple[int, int, Row, list[Any]]]:
        flow_records = record.get("flowRecords")
        if not isinstance(flow_records, dict):
            self.odd("record_malformed")
            return []
        self.check_version(record.get("flowLogVersion"), [4])
        of_record: Row = {
            "record_time": self.record_time(record.get("time")),
            "flow_log_id": self.name(record, "flowLogResourceID", "record_malformed")
            or self.name(record, "flowLogGUID", "record_malformed"),
            "target_resource_id": self.name(record, "targetResourceID", "record_malformed"),
            "mac": self.name(record, "macAddress", "record_malformed"),
        }
        found: list[tuple[int, int, Row, list[Any]]] = []
        for flow_no, flow in self.objects(cast(Row, flow_records), "flows"):
            of_flow = {"acl_id": self.name(flow, "aclID", "group_malformed")}
            for group_no, group in self.objects(flow, "flowGroups"):
                names = of_record | of_flow | {"rule": self.rule(group)}
                found.append((flow_no, group_no, names, self.array(group, "flowTuples")))
        return found

    def array(self, parent: Row, key: str) -> list[Any]:
        value = parent.get(key)
        if isinstance(value, list):
            return cast(list[Any], value)
        self.odd("group_malformed")
        return []

    def objects(self, parent: Row, key: str) -> list[tuple[int, Row]]:
        """The objects in an array, each with its number; what is none keeps its number too."""
        found: list[tuple[int, Row]] = []
        for number, value in enumerate(self.array(parent, key)):
            if isinstance(value, dict):
                found.append((number, cast(Row, value)))
            else:
                self.odd("group_malformed")
        return found

    def rule(self, parent: Row) -> str | None:
        if parent.get("rule") is None:
            self.odd("group_malformed")
        return self.name(parent, "rule", "group_malformed")

    def name(self, parent: Row, key: str, code: str) -> str | None:
        value = parent.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > LONGEST_NAME:
            self.odd(code)
            return None
        return value

    def check_version(self, value: object, known: list[int]) -> None:
        if type(value) is not int or value not in known:
            self.odd("unknown_version")

    def record_time(self, text: object) -> datetime | None:
        """2026-11-01T05:01:02Z, with up to nine digits of a second's fraction, cut to six."""
        if isinstance(text, str) and text[-1:] == "Z":
            whole, point, fraction = text[:19], text[19:-1][:1], text[20:-1]
            shape = "".join("0" if character in DIGITS else character for character in whole)
            has_fraction = point == "." and len(fraction) <= 9 and is_digits(fraction)
            if shape == "0000-00-00T00:00:00" and (point == "" or has_fraction):
                try:
                    time = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S")
                    return time + timedelta(microseconds=int((fraction + "000000")[:6]))
                except ValueError:  # no such month, day or hour
                    pass
        self.odd("record_time_unreadable")
        return None


# Tuples.


def fields_of(element: Any, written_hour: datetime) -> Row:
    fields = split(element)
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

    for name, text in zip(COUNTERS, fields[9:], strict=False):
        if text != "":
            row[name] = digits(text, "counter_unreadable", 2**63 - 1)
    return row


def split(text: Any) -> list[str]:
    if not isinstance(text, str):
        raise Rejected("not_text")
    if text == "":
        raise Rejected("empty")
    if len(text) > LONGEST_TUPLE:
        raise Rejected("too_long")
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
    if not is_digits(text):
        raise Rejected(reason)
    # Python converts no number of thousands of digits; one of 40 is larger than any that is known.
    number = int(text.lstrip("0")[:40] or "0")
    if most is not None and number > most:
        raise Rejected(reason)
    return number


def is_digits(text: str) -> bool:
    return text != "" and all(character in DIGITS for character in text)


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


def verbatim(element: Any) -> str:
    """The beginning of the text; what is none as JSON, if orjson can write what it could read."""
    if isinstance(element, str):
        return element[:LONGEST_TUPLE]
    try:
        return orjson.dumps(element).decode()[:LONGEST_TUPLE]
    except orjson.JSONEncodeError:
        return '"(nested too deeply to be shown)"'
