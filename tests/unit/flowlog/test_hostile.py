"""Hostile and broken documents by name: what each costs, and that it costs nothing else.

Each shape stands in a document before a sound record. What comes of it is written beside it, the
reference has to agree, and so have all pieces and all sizes of tables. Documents too large for that
are in `tests/integration/test_hostile_sizes.py`; the ones nobody thought of are the fuzzer's.
"""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.flowlog.problems import ProblemCode
from flow_pipeline.flowlog.schema import RejectReason
from tests.torture.documents import ADDRESSES, ODD_ADDRESSES, BytesChoices, blob
from tests.unit.flowlog.agreement import LIMITS, assert_agreement, decode

TUPLE = "1793509200606,10.0.0.6,192.0.2.180,23956,443,6,O,E,NX,3,767,2,1580"
T = f'"{TUPLE}"'
V2 = '"1793509200,10.5.16.4,203.0.113.115,44931,443,T,O,A,C,30,16978,24,14008"'
V1 = '"1793509200,192.0.2.95,10.1.0.4,51529,5358,T,I,D"'


def vnet(tuples: str, rule: str = '"a"', more: str = "", first: str = "") -> str:
    group = f'{{"rule":{rule},"flowTuples":{tuples}}}'
    return (
        f'{{{first}"time":"2026-11-01T05:01:02.1234567Z","flowLogVersion":4,'
        f'"macAddress":"112233445566","category":"FlowLogFlowEvent",'
        f'"flowRecords":{{"flows":[{{"aclID":"x","flowGroups":[{group}]}}]}}{more}}}'
    )


def nsg(tuples: str, more: str = "") -> str:
    group = f'{{"mac":"000D3AF87856","flowTuples":{tuples}}}'
    return (
        f'{{"time":"2026-11-01T05:01:02.1234567Z","category":"NetworkSecurityGroupFlowEvent",'
        f'"resourceId":"n","properties":{{"Version":2,"flows":[{{"rule":"a","flows":[{group}]}}]}}'
        f"{more}}}"
    )


SOUND = vnet(f"[{T}]", rule='"sound"')


@dataclass(frozen=True)
class Shape:
    """What stands before a sound record, how many of its tuples are landed, and what else is."""

    record: str | bytes
    landed: int = 0
    rejects: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    takes_all: bool = False
    """Where it ends cannot be told: the sound record is lost with it."""

    def document(self) -> bytes:
        record = self.record.encode() if isinstance(self.record, str) else self.record
        return b'{"records":[' + record + b"," + SOUND.encode() + b"]}"


def counters(*values: object) -> str:
    return f'"1793509200606,10.0.0.6,192.0.2.180,1,2,6,O,E,NX,{",".join(map(str, values))}"'


def encrypted(code: str) -> str:
    return f'"1793509200606,10.0.0.6,192.0.2.180,1,2,6,O,E,{code},1,2,3,4"'


BRACE = '{"a":'
MALFORMED = ("record_malformed",)
ROOM = 1024 - len(json.loads(encrypted("")))
# The parser allows 1,024 levels. An element of flowTuples stands on the eighth.
DEEPEST_ELEMENT = 1024 - 7

SHAPES = {
    # Equal keys: the last counts.
    "tuples twice": Shape(vnet(f'[{T},{T},{T}],"flowTuples":[{T}]'), 1),
    "tuples twice, empty at last": Shape(vnet(f'[{T}],"flowTuples":[]'), 0),
    "tuples twice, none at last": Shape(
        vnet(f'[{T}],"flowTuples":null'), 0, problems=("group_malformed",)
    ),
    "tuples twice, none at first": Shape(vnet(f'null,"flowTuples":[{T},{T}]'), 2),
    "tuples twice, once escaped": Shape(vnet(f'[{T}],"flow\\u0054uples":[{T},{T}]'), 2),
    "rule twice": Shape(vnet(f'[{T}],"rule":null'), 1, problems=("group_malformed",)),
    "time twice": Shape(vnet(f"[{T}]", first='"time":"yesterday",'), 1),
    "time twice, odd at last": Shape(
        vnet(f"[{T}]", more=',"time":"yesterday"'), 1, problems=("record_time_unreadable",)
    ),
    "category twice": Shape(
        vnet(f"[{T}]", more=',"category":"AuditEvent"'), 0, problems=("foreign_category",)
    ),
    "flows twice": Shape(vnet(f"[{T}]", first='"flowRecords":{"flows":[1,2]},'), 1),
    "flows twice, none at last": Shape(vnet(f"[{T}]", more=',"flowRecords":{"flows":[]}'), 0),
    # Tuples where none belong are nobody's.
    "tuples in the record": Shape(vnet(f"[{T}]", more=f',"flowTuples":[{T},{T}]'), 1),
    "tuples before all": Shape(vnet(f"[{T}]", first=f'"flowTuples":[{T},{T}],'), 1),
    "tuples in something unknown": Shape(
        vnet(f"[{T}]", more=f',"new":[{{"flowTuples":[{T}]}},{{"flowTuples":[{T},{T}]}}]'), 1
    ),
    "tuples in tuples": Shape(vnet(f'[{T},{{"flowTuples":[{T}]}}]'), 1, ("not_text",)),
    "tuples in another service's record": Shape(
        f'{{"category":"AuditEvent","properties":{{"flowTuples":[{T}]}}}}',
        problems=("foreign_category",),
    ),
    "tuples in a rule": Shape(
        vnet(f"[{T}]", rule=f'{{"flowTuples":[{T}]}}'), 1, problems=("group_malformed",)
    ),
    "the other product's tuples": Shape(
        vnet(f"[{V2},{V1},{T}]", more=f',"properties":{{"flows":[{{"flowTuples":[{T}]}}]}}'), 3
    ),
    "all versions in one array": Shape(nsg(f"[{V1},{T},{V2},{V1}]"), 4),
    # Words of the structure as text.
    "a rule called flowTuples": Shape(vnet(f"[{T}]", rule='"flowTuples"'), 1),
    "a rule called time": Shape(vnet(f"[{T}]", rule='"time"'), 1),
    "flowTuples in an array": Shape(vnet(f"[{T}]", more=f',"new":["flowTuples",[{T}]]'), 1),
    "flowTuples as a tuple": Shape(vnet(f'["flowTuples",{T}]'), 1, ("too_few_fields",)),
    "flowTuples in an array with a colon": Shape(
        vnet(f"[{T}]", more=f',"new":["flowTuples":[{T}]]'), problems=MALFORMED
    ),
    "structure in a rule": Shape(vnet(f"[{T}]", rule='"\\"]}]}]}},{\\"records\\":["'), 1),
    # Nesting.
    "an element as deep as can be": Shape(
        vnet(f"[{T},{'[' * DEEPEST_ELEMENT}{']' * DEEPEST_ELEMENT}]"), 1, ("not_text",)
    ),
    "an element deeper than can be": Shape(
        vnet(f"[{T},{'[' * (DEEPEST_ELEMENT + 1)}{']' * (DEEPEST_ELEMENT + 1)}]"),
        problems=MALFORMED,
    ),
    "an element of a hundred thousand brackets": Shape(
        vnet(f"[{T},{'[' * 100_000}{']' * 100_000}]"), problems=MALFORMED
    ),
    "a hundred thousand braces": Shape(
        vnet(f"[{T}]", more=f',"new":{BRACE * 100_000}1{"}" * 100_000}'), problems=MALFORMED
    ),
    "an element of a hundred thousand braces": Shape(
        vnet(f"[{T},{BRACE * 100_000}1{'}' * 100_000}]"), problems=MALFORMED
    ),
    "tuples as deep as can be": Shape(
        vnet(f"[{T}]", more=f',"new":{"[" * 1021}{{"flowTuples":[{T}]}}{"]" * 1021}'), 1
    ),
    "tuples deeper than can be": Shape(
        vnet(f"[{T}]", more=f',"new":{"[" * 1022}{{"flowTuples":[{T}]}}{"]" * 1022}'),
        problems=MALFORMED,
    ),
    "no tuples deeper than can be": Shape(
        vnet(f"[{T}]", more=f',"new":{"[" * 1022}{{"flowTuples":[]}}{"]" * 1022}'),
        problems=MALFORMED,
    ),
    # Brackets, commas, quotes.
    "a bracket too many among tuples": Shape(vnet(f"[{T},[[[],{T}]"), problems=MALFORMED),
    "a bracket too many behind tuples": Shape(vnet(f"[{T}]]"), problems=MALFORMED),
    "a bracket too few behind tuples": Shape(vnet(f"[{T}"), problems=MALFORMED),
    "a brace too many": Shape(
        vnet(f"[{T},{{]"), problems=("record_malformed", "cut_off"), takes_all=True
    ),
    "a quote too many": Shape(vnet(f'[{T},"]'), problems=("cut_off",), takes_all=True),
    "a brace too few": Shape(
        vnet(f"[{T}]")[:-1], problems=("record_malformed", "cut_off"), takes_all=True
    ),
    "no comma between tuples": Shape(vnet(f"[{T} {T}]"), problems=MALFORMED),
    "a comma behind the last tuple": Shape(vnet(f"[{T},]"), problems=MALFORMED),
    "a comma before the first tuple": Shape(vnet(f"[,{T}]"), problems=MALFORMED),
    "two commas between tuples": Shape(vnet(f"[{T},,{T}]"), problems=MALFORMED),
    "a semicolon between tuples": Shape(vnet(f"[{T};{T}]"), problems=MALFORMED),
    "a colon in the place of a tuple": Shape(vnet(f"[:,{T}]"), problems=MALFORMED),
    "single quotes": Shape(vnet(f"['{TUPLE}']"), problems=MALFORMED),
    "no quotes": Shape(vnet(f"[{TUPLE}]"), problems=MALFORMED),
    "a comment": Shape(vnet(f"[{T}/**/]"), problems=MALFORMED),
    "space everywhere": Shape(vnet(f" \t\r\n[ \n{T}\r,\t{T} \n] "), 2),
    "another space": Shape(vnet(f"[\u00a0{T}]"), problems=MALFORMED),
    "a form feed": Shape(vnet(f"[\f{T}]"), problems=MALFORMED),
    "no tuples": Shape(vnet("[]"), 0),
    "no tuples but a space": Shape(vnet("[ \n]"), 0),
    # Elements that are no text.
    "elements of all kinds": Shape(
        vnet(f"[null,true,0,-1.5e3,[],{{}},[[{T}]],{T}]"), 1, ("not_text",) * 7
    ),
    "an element that is nearly a word": Shape(vnet(f"[nulL,{T}]"), problems=MALFORMED),
    "an element that is no number": Shape(vnet(f"[NaN,{T}]"), problems=MALFORMED),
    "an element with leading zeros": Shape(vnet(f"[01,{T}]"), problems=MALFORMED),
    "an element beyond 64 bits": Shape(vnet(f"[{10**30},-{10**30},{T}]"), 1, ("not_text",) * 2),
    # Numbers.
    "counters at the end of 64 bits": Shape(vnet(f"[{counters(2**63 - 1, 0, 0, 0)}]"), 1),
    "counters beyond 64 bits": Shape(
        vnet(f"[{counters(2**63, 0, 0, 0)},{counters(0, 2**64, 0, 0)},{counters(0, 0, 9**99, 0)}]"),
        rejects=("counter_unreadable",) * 3,
    ),
    "counters that wrap around to something small": Shape(
        vnet(f"[{counters(1, 2, 3, 2**64 + 5)},{counters(1, 2, 3, 2**128 + 5)}]"),
        rejects=("counter_unreadable",) * 2,
    ),
    "counters with many zeros": Shape(vnet(f"[{counters('0' * 40 + '7', '00', '', '')}]"), 1),
    "counters with signs": Shape(
        vnet(f"[{counters('+1', 2, 3, 4)},{counters(1, -2, 3, 4)},{counters(1, 2, '3 ', 4)}]"),
        rejects=("counter_unreadable",) * 3,
    ),
    "a time beyond 64 bits": Shape(
        vnet(f"[{T.replace('1793509200606', str(2**64 + 1793509200606))}]"),
        rejects=("flow_time_implausible",),
    ),
    "a port beyond 16 bits, and 32": Shape(
        vnet(f"[{T.replace(',443,', ',65979,')},{T.replace(',443,', f',{2**32 + 443},')}]"),
        rejects=("port_unreadable",) * 2,
    ),
    "a version beyond 64 bits": Shape(
        vnet(f"[{T}]", more=f',"flowLogVersion":{2**64 + 4}'), 1, problems=("unknown_version",)
    ),
    "a version with a point": Shape(
        vnet(f"[{T}]", more=',"flowLogVersion":4.0'), 1, problems=("unknown_version",)
    ),
    "numbers that are none": Shape(vnet(f"[{T}]", more=',"new":NaN'), problems=MALFORMED),
    "an infinite number": Shape(vnet(f"[{T}]", more=',"new":-Infinity'), problems=MALFORMED),
    "a number of many digits": Shape(vnet(f"[{T}]", more=f',"new":{"9" * 300}'), 1),
    # Bytes.
    "invalid UTF-8 in a tuple": Shape(
        vnet(f"[{T},{encrypted('Ä')}]").encode("latin-1"), problems=MALFORMED
    ),
    "invalid UTF-8 in a rule": Shape(
        vnet(f"[{T}]", rule='"\u00ff"').encode("latin-1"), problems=MALFORMED
    ),
    "invalid UTF-8 in a key": Shape(
        vnet(f"[{T}]", more=',"\u00ff":1').encode("latin-1"), problems=MALFORMED
    ),
    "UTF-8 of a surrogate": Shape(
        vnet(f"[{encrypted('?')}]").encode().replace(b"?", b"\xed\xa0\x80"), problems=MALFORMED
    ),
    "UTF-8 longer than need be": Shape(
        vnet(f"[{encrypted('?')}]").encode().replace(b"?", b"\xc0\xaf"), problems=MALFORMED
    ),
    "a character cut in two": Shape(
        vnet(f"[{encrypted('?')}]").encode().replace(b"?", b"\xf0\x9f\x98"), problems=MALFORMED
    ),
    "a byte-order mark before a record": Shape(
        b"\xef\xbb\xbf" + vnet(f"[{T}]").encode(),
        1,
        problems=("record_malformed", "unreadable_json"),
    ),
    "a byte-order mark in a tuple": Shape(
        vnet(f'["\ufeff{TUPLE}"]'), rejects=("flow_time_unreadable",)
    ),
    "NUL in a tuple": Shape(vnet(f'["{TUPLE}\0"]'), problems=MALFORMED),
    "NUL between tuples": Shape(vnet(f"[{T}\0,{T}]"), problems=MALFORMED),
    "NUL in a tuple, escaped": Shape(
        vnet(f'["{TUPLE}\\u0000","\\u0000"]'), rejects=("counter_unreadable", "too_few_fields")
    ),
    "NUL in a rule, escaped": Shape(vnet(f"[{T}]", rule='"a\\u0000b"'), 1),
    "a line break in a tuple": Shape(vnet(f'["{TUPLE}\n"]'), problems=MALFORMED),
    "a control character that was seen escaped before": Shape(
        vnet(f"[{encrypted('N' + chr(92) + 'u0001')},{encrypted('N' + chr(1))}]"),
        problems=MALFORMED,
    ),
    "a tab that was seen escaped before": Shape(
        vnet(f"[{encrypted('N' + chr(92) + 't')},{encrypted('N' + chr(9))}]"), problems=MALFORMED
    ),
    "an encryption code of any text": Shape(
        vnet(f"[{','.join(encrypted(code) for code in ('é', 'é', '😀', ' ', 'N' * 300) * 2)}]"), 10
    ),
    # Escapes.
    "escapes in a tuple": Shape(
        vnet(f"[{T.replace('1793', chr(92) + 'u0031793')},{T.replace(',', chr(92) + 'u002c')}]"), 2
    ),
    "a quote in a tuple, escaped": Shape(
        vnet(f'["{TUPLE}\\"","\\"{TUPLE}"]'), rejects=("counter_unreadable", "flow_time_unreadable")
    ),
    "a backslash at the end of a tuple": Shape(
        vnet(f'["{TUPLE}\\\\"]'), rejects=("counter_unreadable",)
    ),
    "an unknown escape": Shape(vnet(f'["{TUPLE}\\x"]'), problems=MALFORMED),
    "half an escape": Shape(vnet(f'["{TUPLE}\\u12"]'), problems=MALFORMED),
    "a lone surrogate": Shape(vnet(f"[{encrypted(chr(92) + 'ud800')}]"), problems=MALFORMED),
    "surrogates in the wrong order": Shape(
        vnet(f"[{encrypted(chr(92) + 'ude00' + chr(92) + 'ud83d')}]"), problems=MALFORMED
    ),
    "a pair of surrogates": Shape(vnet(f"[{encrypted(chr(92) + 'ud83d' + chr(92) + 'ude00')}]"), 1),
    "escapes in keys": Shape(
        vnet(f"[{T}]")
        .replace('"flowTuples"', '"\\u0066lowTuples"')
        .replace('"flowRecords"', '"flow\\u0052ecords"')
        .replace('"time"', '"\\u0074\\u0069\\u006d\\u0065"'),
        1,
    ),
    "escapes in names": Shape(vnet(f"[{T}]", rule='"\\u00e9\\n\\/\\ud83d\\ude00"'), 1),
    # Lengths.
    "a tuple as long as can be": Shape(vnet(f"[{encrypted('N' * ROOM)}]"), 1),
    "a tuple longer than can be": Shape(
        vnet(f"[{encrypted('N' * (ROOM + 1))}]"), rejects=("too_long",)
    ),
    "a tuple as long as can be, counted in characters": Shape(
        vnet(f"[{encrypted('é' * ROOM)},{encrypted('é' * (ROOM + 1))}]"), 1, ("too_long",)
    ),
    "a name longer than can be": Shape(
        vnet(f"[{T}]", rule=f'"{"r" * 1025}"'), 1, problems=("group_malformed",)
    ),
    "a name as long as can be": Shape(vnet(f"[{T}]", rule=f'"{"é" * 1024}"'), 1),
    # Names that would do harm if anybody took them for more than text.
    "a rule that climbs out": Shape(vnet(f"[{T}]", rule='"../../../../etc/passwd"'), 1),
    "a rule that ends a statement": Shape(vnet(f"[{T}]", rule='"\'); drop table flows; --"'), 1),
    # No record at all.
    "null": Shape("null", problems=MALFORMED),
    "nothing": Shape("", problems=("unreadable_json",)),
    "an array of records": Shape(f"[{vnet(f'[{T}]')}]", problems=MALFORMED),
    "a record as text": Shape(json.dumps(vnet(f"[{T}]")), problems=MALFORMED),
    "an empty record": Shape("{}", problems=("foreign_category",)),
    "a record of metrics": Shape('{"count":1,"metricName":"x"}', problems=("foreign_category",)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_costs_what_is_written_beside_it(name: str):
    shape = SHAPES[name]
    answer = assert_agreement(shape.document())
    reasons = [row["reject_reason"] for row in answer.rows if row["reject_reason"]]
    is_sound = [row["rule"] == "sound" for row in answer.rows]
    assert sum(is_sound) == (0 if shape.takes_all else 1)
    assert len(answer.rows) - len(reasons) - sum(is_sound) == shape.landed
    assert tuple(reasons) == shape.rejects
    assert Counter(code for code, _ in answer.problems) == Counter(shape.problems)


@pytest.mark.parametrize("limits", range(len(LIMITS)))
@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_read_the_same_in_any_pieces(name: str, limits: int):
    data = SHAPES[name].document()
    step = 1 if len(data) < 1500 else len(data) // 3
    assert_agreement(data, range(step, len(data), step), limits=limits)


def test_a_shape_does_nothing_to_those_beside_it():
    """All of them in one document, so that what one leaves behind would meet the next."""
    shapes = [shape for shape in SHAPES.values() if not shape.takes_all]
    parts = [shape.document()[len(b'{"records":[') : -len(b"]}")] for shape in shapes]
    data = b'{"records":[' + b",".join(parts) + b"]}"
    for limits in range(len(LIMITS)):
        answer = assert_agreement(data, range(9973, len(data), 9973), limits=limits)
        assert sum(row["rule"] == "sound" for row in answer.rows) == len(shapes)


# Three records of which each has something that the scanner leaves to others.
MIXED = (
    '{"records":['
    + vnet(f"[{T},{encrypted('é')},null]", more=',"new":{"a":[{}]}')
    + ","
    + nsg(f'[{V1}, {V2},"\\u0031"]')
    + ",\n"
    + vnet(f'[{encrypted("NX_NEW")},"x"]', rule='"\\u00e9"').replace('"time"', '"tim\\u0065"')
    + "]}\n"
).encode()


def test_a_document_may_end_at_any_byte():
    for end in range(len(MIXED) + 1):
        assert_agreement(MIXED[:end], limits=2)


def test_a_document_may_come_in_two_pieces_cut_at_any_byte():
    for edge in range(1, len(MIXED)):
        assert_agreement(MIXED, [edge], limits=3)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 65])
def test_a_document_may_come_in_pieces_of_any_size(size: int):
    for limits in range(len(LIMITS)):
        assert_agreement(MIXED, range(size, len(MIXED), size), limits=limits)


@pytest.mark.parametrize("byte", [b'"', b"\\", b"}", b"[", b",", b"\xff", b""])
def test_any_byte_may_be_another_or_missing(byte: bytes):
    for at in range(0, len(MIXED), 3):
        assert_agreement(MIXED[:at] + byte + MIXED[at + 1 :], limits=3)


def test_reading_on_behind_any_record_gives_the_rest():
    records = [
        vnet(f"[{T}]"),
        nsg(f"[{V1},null]"),
        '"null"',
        vnet("[]"),
        vnet(f"[{encrypted('X')}]"),
    ]
    whole, summary = decode(f'{{"records":[{",".join(records)}]}}'.encode())
    for kept in range(1, len(records) + 1):
        # A number or a word ends with what follows it.
        head = f'{{"records":[{",".join(records[:kept])} '.encode()
        first_rows, first = decode(head)
        assert first.records == kept
        rest = "".join(f",{record}" for record in records[kept:]) + "]}"
        assert_agreement(rest.encode(), range(1, len(rest)), kept, first.digest)
        rows, second = decode(rest.encode(), (), kept, first.digest)
        assert first_rows + rows == whole
        assert second.digest == summary.digest


# The reference reads addresses with Python's own module, as the program does: the C library is a
# second opinion of what is one.


def is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return True
    return False


near_addresses = st.one_of(
    st.sampled_from(ADDRESSES + ODD_ADDRESSES),
    st.text("0123456789abcdefABCDEF.:", max_size=20),
    st.lists(st.integers(0, 300).map(str), min_size=3, max_size=5).map(".".join),
    st.lists(st.text("0123456789abcdef", max_size=4), min_size=5, max_size=9).map(":".join),
)


@given(texts=st.lists(near_addresses, min_size=1, max_size=10))
def test_an_address_is_what_the_c_library_takes_for_one(texts: list[str]):
    tuples = [f"1793509200606,{text},10.0.0.1,1,2,6,O,E,NX,,,," for text in texts]
    rows, _ = decode(f'{{"records":[{vnet(json.dumps(tuples))}]}}'.encode())
    for row, text in zip(rows, texts, strict=True):
        assert (row["reject_reason"] is None) == is_address(text), text
        if row["src_ip"] is not None:
            family = socket.AF_INET6 if ":" in text else socket.AF_INET
            assert socket.inet_pton(family, row["src_ip"]) == socket.inet_pton(family, text)


def test_what_chance_makes_reaches_every_reason_and_every_problem():
    """The short form of the fuzzer; and that its inputs are worth their time."""
    chance = random.Random(20261101)
    reasons: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    landed: Counter[int] = Counter()
    for _ in range(1500):
        made = blob(BytesChoices(chance.randbytes(chance.choice((20, 100, 300)))))
        answer = assert_agreement(
            made.data, made.edges, made.first_record_no, made.digest, made.limits
        )
        reasons.update(row["reject_reason"] for row in answer.rows if row["reject_reason"])
        codes.update(code for code, _ in answer.problems)
        landed.update(row["log_version"] for row in answer.rows if row["log_version"])
    assert set(reasons) == {reason.value for reason in RejectReason}
    assert set(codes) == {code.value for code in ProblemCode}
    assert set(landed) == {1, 2, 4}
    assert landed.total() > 1500
