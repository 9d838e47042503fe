"""The fast decoder gives what the slow, obvious one gives, on blobs of every kind of tuple."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.torture.documents import Blob
from tests.unit.flowlog.agreement import assert_agreement, decode
from tests.unit.flowlog.reference_decoder import COUNTERS
from tests.unit.flowlog.strategies import blobs, documents, good_texts, odd


@given(
    records=documents,
    indent=st.sampled_from([None, None, 1]),
    edges=st.lists(st.integers(0, 5000), max_size=5),
)
def test_it_decodes_as_the_reference_does(
    records: list[dict[str, Any]], indent: int | None, edges: list[int]
):
    data = json.dumps(
        {"records": records}, indent=indent, separators=(",", ":"), ensure_ascii=False
    ).encode()
    answer = assert_agreement(data, edges)
    assert answer.records == len(records)
    # Whatever is right or wrong with a tuple, there is a row for it.
    assert len(answer.rows) == sum(len(tuples) for tuples in tuple_lists(records))
    assert answer.problems == [
        ("foreign_category", record_no)
        for record_no, record in enumerate(records)
        if record["category"] == "AuditEvent"
    ]


def tuple_lists(value: Any) -> list[list[Any]]:
    """Every `flowTuples` in it, wherever it is."""
    if isinstance(value, list):
        return [found for element in value for found in tuple_lists(element)]
    if not isinstance(value, dict):
        return []
    found = [value["flowTuples"]] if "flowTuples" in value else []
    return found + tuple_lists([value[key] for key in value if key != "flowTuples"])


@given(blob=blobs())
def test_it_decodes_what_is_nearly_a_flow_log_as_the_reference_does(blob: Blob):
    assert_agreement(blob.data, blob.edges, blob.first_record_no, blob.digest, blob.limits)


@given(texts=st.lists(good_texts, max_size=20))
def test_sums_of_counters_are_those_of_the_text(texts: list[str]):
    rows, _ = decode(vnet_document(*texts))
    sums: Counter[str] = Counter()
    for text in texts:
        for name, counter in zip(COUNTERS, text.split(",")[9:], strict=False):
            sums[name] += int(counter or "0")
    assert [row["reject_reason"] for row in rows] == [None] * len(texts)
    for name in COUNTERS:
        assert sum(row[name] or 0 for row in rows) == sums[name]


# As short and as long as an address can be, and ones that begin alike.
_ALIKE = (
    "0.0.0.0", "10.0.0.4", "10.0.0.40", "10.0.0.41", "110.0.0.4", "255.255.255.255",
    "255.255.255.25", "255.255.255.5", "fd00::4", "fd00::40",
)  # fmt: skip


@given(pairs=st.lists(st.tuples(*2 * [st.sampled_from(_ALIKE)]), min_size=1, max_size=12))
def test_an_address_that_was_there_before_is_not_taken_for_another(pairs: list[tuple[str, str]]):
    texts = [f"1793509200000,{one},{other},1,2,6,I,B,NX,,,," for one, other in pairs]
    rows, _ = decode(vnet_document(*texts))
    assert [(row["src_ip"], row["dst_ip"]) for row in rows] == pairs


def test_a_part_of_an_address_is_a_byte():
    parts = [*map(str, range(1_000)), *(f"{part:02}" for part in range(10)), "000", "007", "025"]
    rows, _ = decode(
        vnet_document(*(f"1793509200000,1.{n}.3.{n},9.9.9.9,1,2,6,I,D,NX,,,," for n in parts))
    )
    read = [row["src_ip"] for row in rows if row["reject_reason"] is None]
    assert read == [f"1.{n}.3.{n}" for n in range(256)]
    assert {row["reject_reason"] for row in rows[256:]} == {"address_unreadable"}


@given(tuples=st.lists(st.one_of(good_texts, odd), min_size=1, max_size=12))
def test_a_tuple_means_the_same_in_any_company(tuples: list[Any]):
    together, _ = decode(vnet_document(*tuples))
    alone = [decode(vnet_document(element))[0][0] for element in tuples]
    assert [row | {"tuple_no": 0} for row in together] == alone
    assert_agreement(vnet_document(*tuples))


def vnet_document(*tuples: Any) -> bytes:
    groups = [{"rule": "r", "flowTuples": tuples}]
    value: dict[str, Any] = {
        "time": "2026-11-01T05:00:00Z",
        "macAddress": "m",
        "category": "FlowLogFlowEvent",
        "targetResourceID": "t",
        "flowLogVersion": 4,
        "flowRecords": {"flows": [{"aclID": "a", "flowGroups": groups}]},
    }
    return json.dumps({"records": [value]}).encode()
