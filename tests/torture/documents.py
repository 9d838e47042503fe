"""Documents that are nearly what Azure writes, made of small choices.

Belongs here: what may be odd about a blob, from a byte to its structure, and how likely. Who makes
the choices is no matter of this module: a fuzzer's bytes or hypothesis. The choice 0 always leads
to what Azure writes, so that an input that ends too early is a sound document, and a choice that is
made smaller is nearer to one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

HOUR = datetime(2026, 11, 1, 5)
SECONDS = 1793509200  # 2026-11-01T05:00:00Z

T = TypeVar("T")

# A document in more pieces than this takes long, and meets nothing else.
_MOST_EDGES = 16


class Choices(Protocol):
    """Whoever decides."""

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        ...


class BytesChoices:
    """Decides by the bytes of a fuzzer, one or a few for each choice; by 0 when they run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, count: int) -> int:
        size = 1 if count <= 256 else 2 if count <= 65536 else 5
        number = int.from_bytes(self._data[self._at : self._at + size], "little")
        self._at += size
        return number % count


@dataclass(frozen=True)
class Blob:
    """What a decoder is given: a document or the rest of one, and in which pieces."""

    data: bytes
    edges: list[int]
    first_record_no: int
    digest: bytes
    limits: int
    """Which of the sizes of `tests.unit.flowlog.agreement` the decoder's tables have."""


def blob(choices: Choices) -> Blob:
    """One blob, by these choices."""
    return _Writer(choices).blob()


# A tuple's fields.

ADDRESSES = [
    "10.0.0.6",
    "192.0.2.180",
    "203.0.113.115",
    "0.0.0.0",
    "255.255.255.255",
    "168.63.129.16",
    "2001:db8::1",
    "fe80::20d:3aff:fef8:7856",
    "::1",
    "::",
    "2001:DB8:0:0:0:0:0:1",
    "2001:0db8:0000:0000:0001:0000:0000:0001",
    "1:0:0:2:0:0:0:3",
    "1:2:3:4:5:6:7::",
    "::ffff:10.0.0.6",
    "::FFFF:0a00:0006",
    "0:0:0:0:0:ffff:1.2.3.4",
    "::1.2.3.4",
    "64:ff9b::192.0.2.33",
]
ODD_ADDRESSES = [
    "",
    "10.0.0",
    "10.0.0.",
    ".10.0.0",
    "10..0.0",
    "10.0.0.6.7",
    "10.0.0.256",
    "10.0.0.1000",
    "010.0.0.6",
    "10.0.0.06",
    "10.0.0.00",
    "10.0.0.6 ",
    " 10.0.0.6",
    "10.0.0.6/32",
    "10.0.0.-6",
    "10.0.0.0x6",
    "167772166",
    "10.0.0.6:80",
    "fe80::1%eth0",
    "fe80::1%",
    ":::",
    "1::2::3",
    ":1",
    "1:",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "::00001",
    "::g",
    "[::1]",
    "::ffff:010.0.0.6",
    "::ffff:10.0.0.256",
    "1:2:3:4:5:6:7:1.2.3.4",
    "\u0661.0.0.1",
    "localhost",
]
NUMBERS = ["", "0", "1", "767", "16978", "4294967295", "4294967296", "9223372036854775807"]
ODD_NUMBERS = [
    "9223372036854775808",
    "9999999999999999999",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551623",
    "99999999999999999999999999999999",
    "00",
    "007",
    "0000000000000000000000000000000000000000005",
    "09223372036854775807",
    "09223372036854775808",
    "-1",
    "-0",
    "+1",
    "1.0",
    "1e3",
    "0x1F",
    "0X1F",
    "1_000",
    " 1",
    "1 ",
    "\t1",
    "1\n",
    "\u0661\u0662",
    "\uff11",
    "\ufeff1",
    "\u00b2",
    "NaN",
    "null",
    "None",
    "inf",
]
SMALL = ["443", "23956", "0", "1", "22", "53", "65535", "255", "256", "6", "17", "9", "10", "99"]
ODD_SMALL = [
    "65536",
    "65537",
    "70000",
    "99999",
    "100000",
    "4295032832",
    "4294967302",
    "1000",
    "300",
]
WORDS = [
    "",
    "I",
    "O",
    "A",
    "D",
    "B",
    "C",
    "E",
    "T",
    "U",
    "X",
    "NX",
    "t",
    "i",
    "II",
    "ED",
    " B",
    "\0",
]
ENCRYPTIONS = [
    "NX",
    "X",
    "NX_LOCAL_DST",
    "NX_HW_NOT_SUPPORTED",
    "NX_SW_NOT_READY",
    "NX_NOT_ACCEPTED",
    "NX_NOT_SUPPORTED",
    "NX_FALLBACK",
    "NX_ALL",
    "",
    "NX_NEW_CODE",
    "nx",
    "é",
    " ",
    "N" * 300,
    "N" * 64,
    "N" * 63,
    "N\x01",
    "\t",
    "N\x1f",
    "N\x7f",
    "N\\",
    'N"',
]
TEXTS = [
    "",
    " ",
    ",",
    ",,,,,,,",
    ",,,,,,,,,,,,",
    ",,,,,,,,,,,,,",
    "\n",
    "\r\n",
    "\0",
    "\ufeff",
    "\x7f",
    "é",
    "\u2028",
    "😀",
    '"',
    "\\",
    "'",
    "}]}]}]}}",
    '"]}]}]}},{"',
    "x",
    "y" * 255,
    "z" * 1023,
    "z" * 1024,
    "z" * 1025,
    "é" * 1024,
    "é" * 1025,
    "../../x",
    "'; drop table flows; --",
    # The words that the structure has, as text.
    "flowTuples",
    "time",
    "flows",
    "records",
    "2026-11-01T05:00:09Z",
]
EARLIEST = 1262304000  # 2010-01-01T00:00:00Z
LATEST = SECONDS + 7200
ODD_TIMES = [
    str(EARLIEST),
    str(EARLIEST - 1),
    f"{EARLIEST}000",
    f"{EARLIEST - 1}999",
    str(LATEST),
    str(LATEST + 1),
    f"{LATEST}000",
    f"{LATEST}001",
    "99999999999",
    "100000000000",
    "999999999999",
    "0",
    f"0{SECONDS}",
    f"000{SECONDS}",
    f"{SECONDS}606000",
    f"{SECONDS}606000000",
    f"{SECONDS}.606",
    f"-{SECONDS}",
    "9223372036854775807",
    str(2**64 + SECONDS),
    str(2**64 + SECONDS * 1000),
    "2026-11-01T05:00:00Z",
]

# JSON.

SOUND = f'"{SECONDS}606,10.0.0.9,192.0.2.9,1,2,6,O,E,NX,1,2,3,4"'
ODD_VALUES = [
    # Tuples where none should be, and keys that seem to have some.
    f"[{SOUND}]",
    f"[{SOUND},{SOUND}]",
    f'{{"flowTuples":[{SOUND}]}}',
    f'[{{"flowTuples":[{SOUND}]}},{{"flowTuples":[]}}]',
    f'{{"flowTuples":[{SOUND}],"flowTuples":[]}}',
    f'{{"flowTuples":[{SOUND}],"flowTuples":null}}',
    f'{{"flowTuples":[],"flowTuples":[{SOUND},{SOUND}]}}',
    f'{{"flowTuples":{{"flowTuples":[{SOUND}]}}}}',
    f'{{"rule":"r","flowTuples":[{SOUND},{{"flowTuples":[{SOUND}]}}]}}',
    f'[{{"rule":"r","flowTuples":[{SOUND}],"flowTuples":[{SOUND},"x"]}}]',
    f'[{{"rule":"r","flowTuples" : [ {SOUND} ] }}]',
    f'{{"flowTuples"[{SOUND}]}}',
    f'["flowTuples",[{SOUND}]]',
    f'["flowTuples":[{SOUND}]]',
    f'"flowTuples":[{SOUND}]',
    f'"flowTuples",[{SOUND}]',
    f'"x","flowTuples":[{SOUND}]',
    f'{{"flow\\u0054uples":[{SOUND}]}}',
    f'{{"\\u0066lowTuples" :[{SOUND}],"x":"\\u0066lowTuples"}}',
    '{"time":"2026-11-01T05:00:09Z"}',
    '"2026-11-01T05:00:09Z"',
    '"time":"2026-11-01T05:00:09Z"',
    '"x","time":"2026-11-01T05:00:09Z"',
    '"x","tim\\u0065":"2026-11-01T05:00:09Z"',
    '"x","time":null',
    "null",
    "true",
    "false",
    "0",
    "1",
    "2",
    "4",
    "-0",
    "-0.0",
    "2.0",
    "4.0",
    "1e2",
    "1E400",
    "9223372036854775808",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "01",
    "+1",
    ".5",
    "1.",
    "NaN",
    "Infinity",
    "-Infinity",
    "nul",
    "nullx",
    '""',
    '"x"',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"\\x"',
    '"\\u12"',
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[null]",
    "[[],{},[[]],0]",
    '{"flowTuples":["x"]}',
    '[{"flowTuples":["x"]}]',
    '{"flows":[]}',
    '[{"rule":"r","flows":[{"mac":"m","flowTuples":["a"]}]}]',
    '{"flowGroups":[{"rule":"r","flowTuples":[""]}]}',
    '{"a":{"b":{"c":[{"d":[]}]}}}',
    "[" * 40 + "]" * 40,
    "[" * 260 + "]" * 260,
    '{"a":' * 260 + "1" + "}" * 260,
    "{1:2}",
    "{'a':1}",
    '{"a"}',
    '{"a":}',
    "/**/1",
    "",
]
# What stands deepest, about as deep as the parser goes.
CORES = [
    "",
    "1",
    f'{{"flowTuples":[{SOUND}]}}',
    '{"flowTuples":[]}',
    '{"flowTuples":[[]]}',
    '"x"',
    "x",
]
KEYS = [
    "records",
    "time",
    "category",
    "properties",
    "flowRecords",
    "flows",
    "flowGroups",
    "flowTuples",
    "rule",
    "mac",
    "aclID",
    "macAddress",
    "resourceId",
    "Version",
    "flowLogVersion",
    "flowLogResourceID",
    "flowLogGUID",
    "targetResourceID",
    "operationName",
    "systemId",
    "flowState",
    "",
    "Rule",
    "RULE",
    "flowtuples",
    "rul",
    "rules",
    "flowTuples ",
    "é",
    "records\0",
]
FRAGMENTS = [
    *(bytes((byte,)) for byte in b'{}[],:"\\ \n\t\r\0019-+.eTA/'),
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xbf",
    b"\xc3",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\\u0031",
    b"\\u002c",
    b"\\u0022",
    b"\\u0000",
    b"\\ud800",
    b"\\/",
    b"\\n",
    b'\\"',
    b"\\\\",
    b'","',
    b'"],"',
    b'"]}',
    b'"]}]}',
    b'"]}]}]}}',
    b"}}",
    b"]}",
    b'"flowTuples":["',
    b'"flowTuples":[]',
    b'"rule":"',
    b'"flows":[',
    b'"time":null,',
    b'"category":"FlowLogFlowEvent",',
    b'"records":[',
    b'{"records":[',
    b"null,",
    b"1,",
    b'"",',
    b",,,,",
    b"\x1f\x8b\x08",
    b"a" * 64,
    b"\\" * 7,
]
ENDINGS = ["x", " ", "\\t", "\\u0000", "é", "}}", "]}", ",", "\\u002c"]
TIMES = [
    "2026-11-01T05:01:02.1234567Z",
    "2026-11-01T05:01:02Z",
    "2026-11-01T05:01:02.8950000Z",
    "2026-11-01T05:59:59.999Z",
    "2026-11-01T05:00:00.1Z",
    "2026-11-01T05:00:00.123456789Z",
    "2026-11-01T05:00:00.1234567890Z",
    "2026-11-01T05:00:00.Z",
    "2026-11-01T05:00:00",
    "2026-11-01T05:00:60Z",
    "2026-11-01T24:00:00Z",
    "2026-11-31T05:00:00Z",
    "2026-02-29T05:00:00Z",
    "2028-02-29T05:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-01 05:00:00Z",
    "2026-11-01t05:00:00z",
    "2026-11-01T05:00:00+00:00",
    "2026-11-01T05:00:00Z\n",
    " 2026-11-01T05:00:00Z",
    "2026-11-1T05:00:00Z",
    "\u0662026-11-01T05:00:00Z",
    "2026-11-01T05:00:00.\u0661Z",
]
RULES = ["UserRule_web", "DefaultRule_DenyAllInBound", "PlatformRule", "UserRule_rdp", "a"]
ACLS = [
    "/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/N",
    "00000000-0000-0000-0000-000000000000",
    "unspecified",
    "/subscriptions/s/x",
]
MACS = ["000D3AF87856", "112233445566", "00-0D-3A", "m"]

Damage = Callable[[bytes, int, int, int], bytes]
"""Bytes, a place in them, another one, and a byte to choose by."""


def _flip(data: bytes, at: int, _other: int, detail: int) -> bytes:
    return data[:at] + bytes((data[at] ^ (1 << detail % 8),)) + data[at + 1 :]


def _replace(data: bytes, at: int, _other: int, detail: int) -> bytes:
    return data[:at] + bytes((detail,)) + data[at + 1 :]


def _insert(data: bytes, at: int, _other: int, detail: int) -> bytes:
    return data[:at] + FRAGMENTS[detail % len(FRAGMENTS)] + data[at:]


def _overwrite(data: bytes, at: int, _other: int, detail: int) -> bytes:
    fragment = FRAGMENTS[detail % len(FRAGMENTS)]
    return data[:at] + fragment + data[at + len(fragment) :]


def _delete(data: bytes, at: int, _other: int, detail: int) -> bytes:
    return data[:at] + data[at + (1, 2, 1, 3, 1, 8, 1, 40)[detail % 8] :]


def _cut_off(data: bytes, at: int, _other: int, _detail: int) -> bytes:
    return data[:at]


def _double(data: bytes, at: int, _other: int, detail: int) -> bytes:
    return data[:at] + data[at : at + 1 + detail % 64] + data[at:]


def _move(data: bytes, at: int, other: int, detail: int) -> bytes:
    """A stretch that begins and ends at brackets, quotes or commas, put in before another."""
    places = [place for place, byte in enumerate(data) if byte in b'{}[],"']
    if not places:
        return data
    begin, end, to = sorted(places[number % len(places)] for number in (at, other, detail))
    return data[:begin] + data[end:to] + data[begin:end] + data[to:]


_DAMAGES = (_flip, _insert, _delete, _overwrite, _cut_off, _double, _move, _replace)

Members = list[tuple[str, str]]


class _Writer:
    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._below = choices.below
        # Odd things come one in so many: documents differ in how odd they are.
        self._one_in = (24, 64, 256, 9)[choices.below(4)]
        self._spaces = (0, 0, 0, 0, 1, 2, 3, 0)[choices.below(8)]
        # One that comes again, for what was seen before may be read in another way.
        self._encryption = self._pick(ENCRYPTIONS)

    def _pick(self, sequence: Sequence[T]) -> T:
        return sequence[self._below(len(sequence))]

    def _is_odd(self, times: int = 1) -> bool:
        """The last number, not 0, for 0 is what Azure writes."""
        one_in = self._one_in * times
        return self._below(one_in) == one_in - 1

    def blob(self) -> Blob:
        # First, so that a long document does not use up the bytes of these choices.
        limits = (3, 2, 3, 1, 3, 2, 3, 0)[self._below(8)]
        is_resumed = self._below(8) == 7
        edges = self._edges()
        damages = [
            (self._pick(_DAMAGES), self._below(65_536), self._below(65_536), self._below(256))
            for _ in range((0, 1, 0, 2, 0, 1, 3, 1)[self._below(8)])
        ]
        records = [self._record() for _ in range((1, 2, 1, 3, 2, 1, 0, 5)[self._below(8)])]
        records *= (1, 1, 1, 2, 1, 1, 1, 3)[self._below(8)]
        text = self._joined(records)
        first_record_no = 0
        if is_resumed:
            first_record_no = (1, 2, 700)[self._below(3)]
            text = ("," if records else "") + text + "]" + self._tail()
        else:
            text = self._head() + text + "]" + self._tail()
        data = text.encode()
        for damage, at, other, detail in damages:
            if data:
                data = damage(data, at % len(data), other % len(data), detail)
        return Blob(
            data=data,
            edges=edges(len(data)),
            first_record_no=first_record_no,
            digest=b"\x07" * 32 if is_resumed else b"",
            limits=limits,
        )

    def _edges(self) -> Callable[[int], list[int]]:
        kind = self._below(16)
        if kind < 6:
            return lambda _: []
        if kind == 15:
            step, first = 1 + self._below(16), self._below(65_536)
            return lambda size: _many_edges(size, step, first)
        places = [self._below(65_536) for _ in range(1 + self._below(4))]
        return lambda size: sorted({place % size for place in places} - {0}) if size else []

    # JSON texts.

    def _space(self) -> str:
        match self._spaces:
            case 0:
                return ""
            case 1:
                return " "
            case 2:
                return "\n  "
            case _:
                return ("", " ", "\n", "\t", "\r\n", "\r", "   ", "")[self._below(8)]

    def _string(self, text: str) -> str:
        """A text as JSON; of many ways to write the same one, mostly the shortest."""
        if not self._is_odd():
            if text.isalnum():
                return f'"{text}"'
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{"".join(_shortest(character) for character in escaped)}"'
        match self._below(5):
            case 0 if text:  # one character as an escape
                at = self._below(len(text))
                return f'"{_escaped(text[:at])}{_units(text[at])}{_escaped(text[at + 1 :])}"'
            case 1:
                return f'"{"".join(_units(character) for character in text[:40])}"'
            case 2:
                return f'"{_escaped(text).replace("/", chr(92) + "/")}"'
            case 3:
                return f'"{text}"'  # raw: no JSON, if there is anything to escape
            case _:
                return f'"{_escaped(text)}{self._pick(ENDINGS)}"'

    def _value(self, text: str) -> str:
        return self._odd_value() if self._is_odd() else text

    def _odd_value(self) -> str:
        if self._below(32) != 31:
            return self._pick(ODD_VALUES)
        opening, closing = self._pick((("[", "]"), ('{"a":', "}"), ('[{"rule":', "}]")))
        depth = (1006 + self._below(20)) // (len(closing))
        return opening * depth + self._pick(CORES) + closing * depth

    def _joined(self, texts: list[str]) -> str:
        """Elements or members with their commas, with spaces in the document's style."""
        comma = self._space() + "," + self._space()
        if texts and self._is_odd(2):
            match self._below(6):
                case 0:
                    comma += ","
                case 1:
                    comma = self._space() or " "
                case 2:
                    texts = ["", *texts]
                case 3:
                    texts = [*texts, ""]
                case 4:
                    comma = ";"
                case _:
                    comma = ""
        return self._space() + comma.join(texts) + self._space()

    def _array(self, elements: list[str]) -> str:
        if self._is_odd(2):
            at = self._below(len(elements) + 1)
            elements = [*elements[:at], self._odd_value(), *elements[at:]]
        return self._value(f"[{self._joined(elements)}]")

    def _object(self, members: Members) -> str:
        while self._is_odd(2):
            members = self._other_members(members)
        colon = self._space() + ":" + self._space()
        texts = [self._string(key) + colon + value for key, value in members]
        return self._value("{" + self._joined(texts) + "}")

    def _other_members(self, members: Members) -> Members:
        if not members:
            return [(self._pick(KEYS), self._odd_value())]
        at = self._below(len(members))
        key, value = members[at]
        rest = members[:at] + members[at + 1 :]
        to = self._below(len(members))
        match self._below(8):
            case 0:
                return rest
            case 1 | 2:
                return [*rest[:to], (key, value), *rest[to:]]
            case 3:  # of two equal keys the last counts
                return [*members[:to], (key, self._odd_value()), *members[to:]]
            case 4:
                return [*members[:to], (key, members[to][1]), *members[to:]]
            case 5:
                return [*members[:at], (self._pick(KEYS), value), *members[at + 1 :]]
            case 6:
                return [*members[:to], (self._pick(KEYS), self._odd_value()), *members[to:]]
            case _:
                return [*members[:at], (key, self._odd_value()), *members[at + 1 :]]

    # Documents and records.

    def _head(self) -> str:
        if not self._is_odd():
            return '{"records":['
        return self._pick(
            (
                ' { "records" : [ ',
                '\ufeff{"records":[',
                '\ufeff\ufeff{"records":[',
                '{"\\u0072ecords":[',
                '{"version":1,"records":[',
                '{"a":{"records":[1]},"b":"\\"","records":[',
                '{"a":[[{}]],"records":[',
                '{"records":[],"records":[',
                '{"records":{},"records":[',
                '{"Records":[',
                '{"records":[[',
                '[{"records":[',
                "[",
                "",
                '{"records"[',
                '{"":[],"records":[',
                '{"a":,"records":[',
                '{"a":1 "records":[',
                '{"a" "records":[',
            )
        )

    def _tail(self) -> str:
        if not self._is_odd():
            return "}"
        return self._pick(
            (
                "",
                " \n} \r\n\t",
                "]}",
                "}}",
                "}\0",
                "}x",
                ',"next":null}',
                ',"next":{"a":["]}"]}}',
                ',"records":[]}',
                ',"records":[{"category":"x"}]}',
                ",}",
                ',"a"}',
                ',"a":}',
                ',"a":1',
                '}{"records":[]}',
                ":}",
            )
        )

    def _record(self) -> str:
        match (0, 1, 2, 0, 1, 0, 1, 3)[self._below(8)]:
            case 0:
                return self._vnet_record()
            case 1:
                return self._nsg_record(2)
            case 2:
                return self._nsg_record(1)
            case _:
                return self._pick(
                    (
                        '{"time":"2026-11-01T05:00:00Z","category":"AuditEvent","properties":{}}',
                        '{"count":1,"total":2,"metricName":"x","timeGrain":"PT1M"}',
                        "{}",
                        *ODD_VALUES,
                    )
                )

    def _time(self) -> str:
        return self._name([TIMES[0]]) if not self._is_odd() else self._string(self._pick(TIMES))

    def _name(self, known: list[str]) -> str:
        text = self._pick(TEXTS) if self._is_odd(2) else self._pick(known)
        return self._value(self._string(text))

    def _sizes(self) -> range:
        return range((1, 1, 2, 1, 1, 3, 0, 1)[self._below(8)])

    def _vnet_record(self) -> str:
        flows = [
            self._object(
                [
                    ("aclID", self._name(ACLS)),
                    ("flowGroups", self._array([self._vnet_group() for _ in self._sizes()])),
                ]
            )
            for _ in self._sizes()
        ]
        head: Members = [
            ("time", self._time()),
            ("flowLogVersion", self._value("4")),
            ("flowLogGUID", self._name(["66aa66aa-bb77-cc88-dd99-00ee00ee00ee"])),
            ("macAddress", self._name(MACS)),
            ("category", self._value('"FlowLogFlowEvent"')),
            ("flowLogResourceID", self._name(["/SUBSCRIPTIONS/S/FLOWLOGS/F", ""])),
            ("targetResourceID", self._name(["/subscriptions/s/virtualNetworks/v"])),
            ("operationName", self._value('"FlowLogFlowEvent"')),
        ]
        if self._below(4) == 3:  # as the sample and some blobs have it
            head = [head[0], *head[2:7], head[1], head[7]]
        last = ("flowRecords", self._object([("flows", self._array(flows))]))
        return self._object([*head, last])

    def _vnet_group(self) -> str:
        return self._object(
            [("rule", self._name(RULES)), ("flowTuples", self._tuples((4, 4, 2, 1)))]
        )

    def _nsg_record(self, version: int) -> str:
        kinds = (1, 1, 2, 4) if version == 1 else (2, 2, 1, 4)
        flows = [
            self._object(
                [
                    ("rule", self._name(RULES)),
                    ("flows", self._array([self._nsg_group(kinds) for _ in self._sizes()])),
                ]
            )
            for _ in self._sizes()
        ]
        properties: Members = [
            ("Version", self._value(str(version))),
            ("flows", self._array(flows)),
        ]
        return self._object(
            [
                ("time", self._time()),
                ("systemId", self._name(["55ff55ff-aa66-bb77-cc88-99dd99dd99dd"])),
                ("macAddress", self._name(MACS)),
                ("category", self._value('"NetworkSecurityGroupFlowEvent"')),
                ("resourceId", self._name(ACLS)),
                ("operationName", self._value('"NetworkSecurityGroupFlowEvents"')),
                ("properties", self._object(properties)),
            ]
        )

    def _nsg_group(self, kinds: tuple[int, ...]) -> str:
        return self._object([("mac", self._name(MACS)), ("flowTuples", self._tuples(kinds))])

    def _tuples(self, kinds: tuple[int, ...]) -> str:
        kind = kinds[0] if not self._is_odd() else self._pick(kinds)
        texts: list[str] = []
        for _ in range((1, 2, 1, 3, 1, 2, 0, 5)[self._below(8)]):
            if self._is_odd(2):
                kind = self._pick(kinds)
            texts.append(self._value(self._string(self._tuple(kind))))
        if len(texts) > 1 and self._is_odd():
            texts.append(texts[0])  # byte-identical tuples can both be true
        return self._array(texts)

    # Tuples.

    def _tuple(self, kind: int) -> str:
        if self._is_odd():
            return self._pick(TEXTS)
        below = self._below
        offset = below(10_000) - 5_000
        is_odd = self._is_odd
        if is_odd():
            time = self._pick(ODD_TIMES)
        elif kind == 4 and below(16) != 15:
            time = str((SECONDS + offset) * 1000 + 606)
        else:
            time = str(SECONDS + offset)
        fields = [
            time,
            self._address(),
            self._address(),
            self._small(ODD_SMALL),
            self._small(ODD_SMALL),
        ]
        if kind == 4:
            protocol = ("6", "17", "1", "58", "0", "255")[below(6)]
            fields += [self._small(ODD_SMALL) if is_odd() else protocol]
            fields += [self._word("IO"), self._word("BECD")]
            fields += [self._pick(ENCRYPTIONS) if is_odd() else self._encryption]
            fields += self._counters("0")
        else:
            fields += [self._word("TU"), self._word("IO"), self._word("AD")]
            if kind == 2:
                fields += [self._word("BCE"), *self._counters("")]
        while is_odd():
            fields = self._other_fields(fields)
        return ",".join(fields)

    def _address(self) -> str:
        return self._pick(ODD_ADDRESSES) if self._is_odd() else self._pick(ADDRESSES)

    def _small(self, odd: list[str]) -> str:
        return self._pick([*odd, *ODD_NUMBERS]) if self._is_odd() else self._pick(SMALL)

    def _word(self, known: str) -> str:
        return self._pick(WORDS) if self._is_odd(2) else self._pick(known)

    def _counters(self, nothing: str) -> list[str]:
        if self._below(4) == 3:
            return [nothing] * 4
        return [
            self._pick(ODD_NUMBERS)
            if self._is_odd(2)
            else self._pick(NUMBERS)
            if self._below(4)
            else str(self._below(100_000))
            for _ in range(4)
        ]

    def _other_fields(self, fields: list[str]) -> list[str]:
        if not fields:
            return ["", "", ""]
        at = self._below(len(fields))
        odd = (WORDS, ODD_NUMBERS, ODD_TIMES, ODD_ADDRESSES, TEXTS, ENCRYPTIONS)
        match self._below(6):
            case 0:
                return fields[:at]
            case 1:
                return [*fields[:at], *fields[at + 1 :]]
            case 2:
                return [*fields[:at], self._pick(self._pick(odd)), *fields[at:]]
            case 3:
                return [*fields, self._pick(self._pick(odd))]
            case 4:
                return [*fields[at:], *fields[:at]]
            case _:
                return [*fields[:at], self._pick(self._pick(odd)), *fields[at + 1 :]]


def _many_edges(size: int, step: int, first: int) -> list[int]:
    """Pieces of `step` bytes, from some byte on."""
    start = 1 + first % size if size else 0
    return list(range(start, min(size, start + step * _MOST_EDGES), step))


def _shortest(character: str) -> str:
    return f"\\u{ord(character):04x}" if character < " " else character


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(_shortest(character) for character in text)


def _units(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
