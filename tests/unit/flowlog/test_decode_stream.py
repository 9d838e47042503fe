"""Documents: how they are cut into records, in whatever pieces and whatever state they come."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace, BlobSummary

HOUR = datetime(2026, 11, 1, 5)
TUPLE = "1793509200606,10.0.0.6,192.0.2.180,23956,443,6,O,E,NX,3,767,2,1580"


def record(*tuples: str, rule: str = "UserRule_a") -> str:
    groups = [{"rule": rule, "flowTuples": tuples or [TUPLE]}]
    value: dict[str, Any] = {
        "time": "2026-11-01T05:01:02.1234567Z",
        "flowLogVersion": 4,
        "category": "FlowLogFlowEvent",
        "flowRecords": {"flows": [{"aclID": "x", "flowGroups": groups}]},
    }
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


A, B, C = record(rule="a"), record(rule="b"), record(rule="c")


def decode(data: bytes | str, chunk: int | None = None) -> tuple[list[Any], BlobSummary]:
    data = data.encode() if isinstance(data, str) else data
    chunk = chunk or len(data) or 1
    decoder = BlobDecoder(BlobPlace("s", "b", HOUR))
    rows: list[Any] = []
    for start in range(0, len(data), chunk):
        for batch in decoder.feed(data[start : start + chunk]):
            rows += batch.to_pylist()
    for batch in decoder.finish():
        rows += batch.to_pylist()
    assert decoder.summary.bytes_read == len(data)
    return rows, decoder.summary


def seen(data: bytes | str) -> tuple[list[tuple[int, Any]], list[tuple[str, int | None]]]:
    """Record number and rule of each row, and the problems; in one piece and byte by byte."""
    whole, summary = decode(data)
    for chunk in (1, 2, 7):
        rows, again = decode(data, chunk)
        assert (rows, again) == (whole, summary)
    return (
        [(row["record_no"], row["rule"]) for row in whole],
        [(problem.code, problem.record_no) for problem in summary.problems],
    )


ALL = [(0, "a"), (1, "b"), (2, "c")]


@pytest.mark.parametrize(
    "data",
    [
        f'{{"records":[{A},{B},{C}]}}',
        f'\ufeff{{"records":[{A},{B},{C}]}}',
        f' \r\n\t{{ "records" : [ {A} , {B} ,\n{C}\n]\n}}\n',
        f'{{"\\u0072ecords":[{A},{B},{C}]}}',
        f'{{"a":1,"b":"]}}{{\\"","c":{{"records":[{A}]}},"d":[[{{}}]],"records":[{A},{B},{C}]}}',
        f'{{"records":[{A},{B},{C}],"next":null,"more":["records"]}}',
        json.dumps({"records": [json.loads(text) for text in (A, B, C)]}, indent=4),
    ],
)
def test_documents_that_are_whole(data: str):
    assert seen(data) == (ALL, [])


def test_records_of_any_key_order_and_with_unknown_keys():
    texts: list[str] = []
    for text in (A, B, C):
        value: dict[str, Any] = json.loads(text)
        first = {"flowRecords": value.pop("flowRecords"), "new": {"deep": {"er": {}}}}
        texts.append(json.dumps(first | value, separators=(",", ":")))
    assert seen(f'{{"records":[{",".join(texts)}]}}') == (ALL, [])
    mixed = [texts[0], B, texts[2]] * 10  # more wrong guesses than are allowed
    rows, problems = seen(f'{{"records":[{",".join(mixed)}]}}')
    assert rows == [(number, "abc"[number % 3]) for number in range(30)]
    assert problems == []


def test_text_that_looks_like_structure():
    rule = 'x"}]}]}]}},{"\\'
    assert seen(f'{{"records":[{record(rule=rule)},{B}]}}') == ([(0, rule), (1, "b")], [])


@pytest.mark.parametrize("data", ['{"records":[]}', '{"records":[\n]}', '{"records": [ ] }\n'])
def test_a_document_without_records_is_fine(data: str):
    assert seen(data) == ([], [])


@pytest.mark.parametrize(
    "data",
    [
        "<html>no</html>",
        "\x1f\x8b\x08",
        "[]",
        f"[{A}]",
        A,
        f"{A}\n{B}\n",
        "{}",
        "null",
        '"records"',
        '{"records":null}',
        f'{{"records":{{"0":{A}}}}}',
        '{"records":"["}',
        f'{{"Records":[{A}]}}',
        f'{{"records";[{A}]}}',
        f"{{records:[{A}]}}",
        '{"a":1}',
        '{"a":1 "records":[]}',
        '\ufeff\ufeff{"records":[]}',
    ],
)
def test_what_is_not_a_flow_log(data: str):
    assert seen(data) == ([], [("not_a_flow_log", None)])


@pytest.mark.parametrize("data", ["", " \n", "\ufeff", "{", '{"rec', '{"records"', '{"records":['])
def test_what_ends_before_its_records_is_cut_off(data: str):
    assert seen(data) == ([], [("cut_off", None)])


def test_cut_off_anywhere():
    data = f'{{"records":[{A},{B},{C}]}}'
    ends = [data.index(text) + len(text) for text in (A, B, C)]
    for end in range(1, len(data)):
        rows, summary = decode(data[:end])
        assert [row["record_no"] for row in rows] == [n for n, at in enumerate(ends) if at <= end]
        assert [problem.code for problem in summary.problems] == ["cut_off"]
        assert f"ends at byte {end} " in summary.problems[0].detail


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (f'{{"records":[{A},{B},{C}]}}x', "trailing_data"),
        (f'{{"records":[{A},{B},{C}]}}{{"records":[{A}]}}', "trailing_data"),
        (f'{{"records":[{A},{B},{C}]]}}', "trailing_data"),
        (f'{{"records":[{A},{B},{C}]}}\0\0', "trailing_data"),
        (f'{{"records":[{A},{B},{C}],"records":[{A}]}}', "unreadable_json"),
        (f'{{"records":[{A}{B},{C}]}}', "unreadable_json"),
        (f'{{"records":[{A},,{B},{C}]}}', "unreadable_json"),
        (f'{{"records":[,{A},{B},{C}]}}', "unreadable_json"),
        (f'{{"records":[{A},{B},{C},]}}', "unreadable_json"),
    ],
)
def test_what_is_wrong_around_records_takes_none_of_them_away(data: str, problem: str):
    assert seen(data) == (ALL, [(problem, None)])


@pytest.mark.parametrize(
    "element",
    [
        b"null",
        b"17",
        b'"text {"',
        b'["}", [{}]]',
        b"nonsense",
        b"}",
        b"{]}",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"rule":"\xff"}',
        b'{"rule":"\xed\xa0\x80"}',
        b'{"rule":"\\ud800"}',
        b'{"rule":"\0"}',
        b'{"rule":"\\x"}',
        b'{"flows":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"flows":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        b"[" * 3000 + b"]" * 3000,
    ],
)
def test_an_element_that_is_no_record_is_reported_the_rest_landed(element: bytes):
    data = f'{{"records":[{A},'.encode() + element + f",{C}]}}".encode()
    assert seen(data) == ([(0, "a"), (2, "c")], [("record_malformed", 1)])


def test_invalid_bytes_spoil_only_the_record_that_they_stand_in():
    data = f'{{"records":[{A},{B},{C}]}}'.encode().replace(b'"b"', b'"\xc3\x28"')
    assert seen(data) == ([(0, "a"), (2, "c")], [("record_malformed", 1)])


def test_escapes_and_non_ascii_text_are_read_as_json_has_them():
    text = A.replace('"a"', '"\\u00e9\\n\\ud83d\\ude00ü"').replace("1793", "\\u0031793")
    rows, summary = decode(f'{{"records":[{text}]}}')
    assert rows[0]["rule"] == "é\n😀ü"
    assert rows[0]["reject_reason"] is None
    assert summary.problems == []


def test_of_two_equal_keys_the_last_counts():
    assert seen(f'{{"records":[{A[:-1]},{B[1:]}]}}') == ([(0, "b")], [])


def test_the_digest_chains_the_bytes_of_the_records():
    _, summary = decode(f'{{"records":[ {A} ,\n{B}]}}')
    digest = b""
    for text in (A, B):
        digest = xxhash.xxh3_128_digest(digest + xxhash.xxh3_128_digest(text.encode()))
    assert summary.digest == digest


@pytest.mark.parametrize("kept", [1, 2])
def test_reading_on_from_where_one_left_off_ends_the_same(kept: int):
    whole, whole_summary = decode(f'{{"records":[{A},{B},{C}]}}')
    head = [A, B, C][:kept]
    first = BlobDecoder(BlobPlace("s", "b", HOUR))
    rows: list[Any] = []
    for batch in [*first.feed(f'{{"records":[{",".join(head)}'.encode()), *first.finish()]:
        rows += batch.to_pylist()
    stopped = first.summary
    second = BlobDecoder(
        BlobPlace("s", "b", HOUR), first_record_no=stopped.records, digest=stopped.digest
    )
    rest = "".join(f",{text}" for text in [A, B, C][kept:]) + "]}"
    for batch in [*second.feed(rest.encode()), *second.finish()]:
        rows += batch.to_pylist()
    assert rows == whole
    assert second.summary.digest == whole_summary.digest
    assert second.summary.problems == []
    assert stopped.records + second.summary.records == whole_summary.records


def test_reading_on_when_nothing_is_new():
    decoder = BlobDecoder(BlobPlace("s", "b", HOUR), first_record_no=3, digest=b"d")
    assert [*decoder.feed(b"]}"), *decoder.finish()] == []
    assert decoder.summary.problems == []
    assert decoder.summary.digest == b"d"


def test_chunks_may_be_empty():
    decoder = BlobDecoder(BlobPlace("s", "b", HOUR))
    for piece in ("", '{"x":[', "", "1", "", '],"records":[', A[:40], "", A[40:], "", "]", "", "}"):
        assert list(decoder.feed(piece.encode())) == []
    assert [batch.num_rows for batch in decoder.finish()] == [1]
    assert decoder.summary.problems == []


# Any JSON, cut into records in any pieces.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text('{}[]",:\\ a\né'),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text('{}[]",:\\ré', max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    records=st.lists(json_values, max_size=6),
    before=st.dictionaries(st.text("ab}", min_size=1), json_values, max_size=2),
    after=st.dictionaries(st.text("ab]", min_size=1), json_values, max_size=2),
    indent=st.sampled_from([None, 0, 2]),
    is_ascii=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_any_records_come_out_as_they_went_in(
    records: list[Any],
    before: dict[str, Any],
    after: dict[str, Any],
    indent: int | None,
    is_ascii: bool,
    cuts: list[int],
):
    after = {key: value for key, value in after.items() if key not in before}
    document = {**before, "records": records, **after}
    data = json.dumps(
        document,
        indent=indent,
        ensure_ascii=is_ascii,
        separators=(",", ":") if indent is None else None,
    ).encode()
    decoder = BlobDecoder(BlobPlace("s", "b", HOUR))
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for start, end in pairwise(edges):
        assert list(decoder.feed(data[start:end])) == []
    assert list(decoder.finish()) == []
    # None of them is a flow log: each is a problem, in order, and its bytes are in the digest.
    numbers = [problem.record_no for problem in decoder.summary.problems]
    assert numbers == list(range(len(records)))
    assert decoder.summary.records == len(records)
    assert decoder.summary.digest == chained(data.decode(), len(records))


SPACE = re.compile(r"[\s,:]*")


def behind_space(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    assert match is not None
    return match.end()


def chained(text: str, count: int) -> bytes:
    """The digest over the elements of `records`, found with the standard library's parser."""
    decoder = json.JSONDecoder()
    at = text.index("{") + 1
    while True:
        key, at = decoder.raw_decode(text, behind_space(text, at))
        at = behind_space(text, at)
        if key == "records":
            at = text.index("[", at) + 1
            break
        _, at = decoder.raw_decode(text, at)
    digest = b""
    for _ in range(count):
        at = behind_space(text, at)
        _, end = decoder.raw_decode(text, at)
        digest = xxhash.xxh3_128_digest(digest + xxhash.xxh3_128_digest(text[at:end].encode()))
        at = end
    return digest


structure = [b'{"records":[', b"]}", b"}}", *(bytes((byte,)) for byte in b'{}[],"\\: ')]
pieces = [A.encode(), A.encode()[:60], b"\xff", b"\0", b"1", b"\xef\xbb\xbf", b"null"]


@given(data=st.lists(st.sampled_from(structure + pieces), max_size=14).map(b"".join))
def test_no_bytes_whatever_crash_it_and_chunks_change_nothing(data: bytes):
    whole = decode(data)
    assert decode(data, 1) == whole
    assert decode(data, 5) == whole
    assert whole[1].tuples == len(whole[0])


# What must not take forever: each of these is a megabyte or more, against a second or so.


def ones(count: int) -> str:
    return ",".join(["1"] * count)


TO_TUPLES = (
    '{"records":[{"category":"FlowLogFlowEvent","flowRecords":{"flows":[{"aclID":"x",'
    '"flowGroups":[{"rule":"r","flowTuples":['
)
LARGE = {
    "braces in a string": '{"records":[' + '{"a":"' + "}}" * 700_000,
    "braces": '{"records":[' + "{" * 1_000_000,
    "brackets": '{"records":[' + "[" * 1_000_000,
    "backslashes": '{"records":["' + "\\\\" * 700_000,
    "quotes": '{"records":["' + '\\"' * 700_000,
    "a number": '{"records":[' + "1" * 1_500_000,
    "commas": '{"records":[' + "," * 1_500_000,
    "records and no commas": '{"records":[' + '{"a":{}}' * 40_000,
    "records": '{"records":[' + '{"a":{},"b":1},' * 40_000,
    "records, one odd at last": '{"records":[' + '{"a":1},' * 40_000 + '{"a":{}}]}',
    "records that are none": '{"records":[' + ones(60_000) + "]}",
    "a string before": '{"a":"' + "x" * 1_500_000,
    "an array before": '{"a":[' + "{}," * 500_000,
    "keys before": "{" + '"a":1,' * 30_000,
    "space before": " " * 1_500_000,
    "a key before": '{"' + "x" * 700_000,
    "a key": '{"records":[{"' + "x" * 1_500_000,
    "a key, escaped": '{"records":[{"\\u0061' + "x" * 1_500_000,
    "space behind a key": '{"records":[{"flowTuples"' + " " * 1_500_000,
    "space behind an escaped key": '{"records":[{"flow\\u0054uples"' + " " * 1_500_000,
    "space behind a colon": '{"records":[{"flowTuples":' + " " * 1_500_000,
    "escaped keys": '{"records":[{' + '"\\u0061":1,' * 40_000,
    "a time": '{"records":[{"time":"' + "x" * 1_500_000,
    "times": '{"records":[{' + '"time":"2026-11-01T05:01:02Z",' * 40_000,
    "a rule": '{"records":[{"rule":"' + '\\"' * 700_000,
    "arrays of tuples": '{"records":[{' + '"flowTuples":[],' * 90_000,
    "records of one tuple": '{"records":[' + '{"flowTuples":["a"]},' * 30_000,
    "brackets among tuples": TO_TUPLES + "[" * 1_000_000,
    "braces among tuples": TO_TUPLES + "{" * 1_000_000,
    "an element of brackets": TO_TUPLES + "[" * 500_000 + "]" * 500_000 + "]}]}]}}]}",
    "an element of arrays": TO_TUPLES + "[" + "[]," * 400_000,
    "an element of strings": TO_TUPLES + "[" + '"",' * 400_000,
    "a tuple": TO_TUPLES + '"' + "x" * 1_500_000,
    "a tuple of quotes": TO_TUPLES + '"' + '\\"' * 700_000,
    "a number among tuples": TO_TUPLES + "1" * 1_500_000,
    "space among tuples": TO_TUPLES + " " * 1_500_000,
    "tuples": TO_TUPLES + '"a",' * 30_000,
    "tuples that are none": TO_TUPLES + "[]," * 30_000,
    "tuples and no commas": TO_TUPLES + '"a"' * 400_000,
}


@pytest.mark.parametrize("chunk", [4096, 1 << 24])
@pytest.mark.parametrize("name", LARGE)
def test_hostile_documents_take_linear_time(name: str, chunk: int):
    began = time.process_time()
    decode(LARGE[name], chunk)
    assert time.process_time() - began < 8


@pytest.mark.parametrize("behind", ["]}", ']\n ,"more":[1]}', '],"records":[]}', "]"])
def test_the_byte_that_ends_the_records_is_told(behind: str):
    before = f'{{"a":[{{}}],"records" : [{A} , {B} '
    for chunk in (None, 1, 7):
        assert decode(before + behind, chunk)[1].records_end == len(before)
    assert decode(before)[1].records_end is None
