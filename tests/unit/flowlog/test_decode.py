"""Tuples and envelopes: every layout, every reason to reject, every trap that concerns decoding."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from flow_pipeline.flowlog.decode import (
    BATCH_TUPLES,
    BlobDecoder,
    BlobPlace,
    BlobSummary,
    ProblemCode,
)
from flow_pipeline.flowlog.schema import ENCODED_SCHEMA, RejectReason

HOUR = datetime(2026, 11, 1, 5)
SECONDS = 1793509200  # 2026-11-01T05:00:00Z
NSG = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.NETWORK/NETWORKSECURITYGROUPS/N"
FLOW_LOG = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS/MICROSOFT.NETWORK/FLOWLOGS/F"
VNET = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Network/virtualNetworks/v"

V1 = f"{SECONDS},192.0.2.95,10.1.0.4,51529,5358,T,I,D"
V2 = f"{SECONDS},10.5.16.4,203.0.113.115,44931,443,T,O,A,C,30,16978,24,14008"
V4 = f"{SECONDS}606,10.0.0.6,192.0.2.180,23956,443,6,O,E,NX,3,767,2,1580"


def nsg_record(*tuples: Any, **changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "time": "2026-11-01T05:01:02.1234567Z",
        "systemId": "55ff55ff-aa66-bb77-cc88-99dd99dd99dd",
        "macAddress": "000D3AF87856",
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": NSG,
        "operationName": "NetworkSecurityGroupFlowEvents",
        "properties": {
            "Version": 2,
            "flows": [
                {"rule": "UserRule_web", "flows": [{"mac": "000D3AF8801A", "flowTuples": tuples}]}
            ],
        },
    }
    return record | changes


def vnet_record(*tuples: Any, **changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "time": "2026-11-01T05:01:02.1234567Z",
        "flowLogVersion": 4,
        "flowLogGUID": "66aa66aa-bb77-cc88-dd99-00ee00ee00ee",
        "macAddress": "112233445566",
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": FLOW_LOG,
        "targetResourceID": VNET,
        "operationName": "FlowLogFlowEvent",
        "flowRecords": {
            "flows": [
                {
                    "aclID": "00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
                    "flowGroups": [{"rule": "DefaultRule_Out", "flowTuples": tuples}],
                }
            ]
        },
    }
    return record | changes


def document(*records: Any, indent: int | None = None) -> bytes:
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps({"records": records}, indent=indent, separators=separators).encode()


def decode(
    data: bytes, hour: datetime = HOUR, chunk: int = 1 << 20
) -> tuple[list[dict[str, Any]], BlobSummary]:
    decoder = BlobDecoder(BlobPlace("folder", "container/PT1H.json", hour))
    batches: list[pa.RecordBatch] = []
    for start in range(0, len(data), chunk):
        batches += decoder.feed(data[start : start + chunk])
    batches += decoder.finish()
    assert all(batch.schema.equals(ENCODED_SCHEMA) for batch in batches)
    for batch in batches:
        batch.validate(full=True)
    rows = pa.Table.from_batches(batches, ENCODED_SCHEMA).to_pylist()
    summary = decoder.summary
    assert summary.tuples == len(rows)
    assert summary.rejected == sum(summary.rejects.values())
    assert summary.rejected == sum(row["reject_reason"] is not None for row in rows)
    assert sum(summary.event_hours.values()) == len(rows) - summary.rejected
    assert sum(summary.versions.values()) == len(rows) - summary.rejected
    return rows, summary


def decode_tuples(*tuples: Any, hour: datetime = HOUR) -> list[dict[str, Any]]:
    return decode(document(nsg_record(*tuples)), hour)[0]


def codes(summary: BlobSummary) -> list[tuple[str, int | None]]:
    return [(problem.code, problem.record_no) for problem in summary.problems]


# The documented examples, every column.


def test_version_1_as_documented():
    rows, summary = decode(
        document(
            nsg_record(
                "1487282421,192.0.2.95,10.1.0.4,51529,5358,T,I,D",
                time="2017-02-16T22:00:32.8950000Z",
                properties={
                    "Version": 1,
                    "flows": [
                        {
                            "rule": "DefaultRule_DenyAllInBound",
                            "flows": [
                                {
                                    "mac": "000D3AF8801A",
                                    "flowTuples": [
                                        "1487282421,192.0.2.95,10.1.0.4,51529,5358,T,I,D"
                                    ],
                                }
                            ],
                        }
                    ],
                },
            )
        ),
        datetime(2017, 2, 16, 22),
    )
    assert rows == [
        {
            "flow_time": datetime(2017, 2, 16, 22, 0, 21),
            "date": date(2017, 2, 16),
            "hour": 22,
            "src_ip": "192.0.2.95",
            "dst_ip": "10.1.0.4",
            "src_port": 51529,
            "dst_port": 5358,
            "protocol": 6,
            "direction": "I",
            "decision": "D",
            "flow_state": None,
            "encryption": None,
            "packets_src_to_dst": None,
            "bytes_src_to_dst": None,
            "packets_dst_to_src": None,
            "bytes_dst_to_src": None,
            "rule": "DefaultRule_DenyAllInBound",
            "acl_id": NSG,
            "flow_log_id": None,
            "target_resource_id": None,
            "mac": "000D3AF8801A",
            "log_version": 1,
            "record_time": datetime(2017, 2, 16, 22, 0, 32, 895000),
            "source": "folder",
            "blob": "container/PT1H.json",
            "record_no": 0,
            "flow_no": 0,
            "group_no": 0,
            "tuple_no": 0,
            "reject_reason": None,
            "raw": None,
        }
    ]
    assert summary.problems == []
    assert summary.versions == {1: 1}


def test_version_2_as_documented():
    denied = "1542110402,192.0.2.190,10.5.16.4,28746,443,U,I,D,B,,,,"
    continuing = "1542110379,10.5.16.4,203.0.113.115,44931,443,T,O,A,C,30,16978,24,14008"
    record = nsg_record(denied, continuing, time="2018-11-13T12:00:35.3899262Z")
    rows, summary = decode(document(record), datetime(2018, 11, 13, 12))
    shared = {
        "date": date(2018, 11, 13),
        "encryption": None,
        "rule": "UserRule_web",
        "acl_id": NSG,
        "flow_log_id": None,
        "target_resource_id": None,
        "mac": "000D3AF8801A",
        "log_version": 2,
        "record_time": datetime(2018, 11, 13, 12, 0, 35, 389926),
        "source": "folder",
        "blob": "container/PT1H.json",
        "record_no": 0,
        "flow_no": 0,
        "group_no": 0,
        "reject_reason": None,
        "raw": None,
    }
    assert rows == [
        shared
        | {
            "flow_time": datetime(2018, 11, 13, 12, 0, 2),
            "hour": 12,
            "src_ip": "192.0.2.190",
            "dst_ip": "10.5.16.4",
            "src_port": 28746,
            "dst_port": 443,
            "protocol": 17,
            "direction": "I",
            "decision": "D",
            "flow_state": "B",
            "packets_src_to_dst": None,
            "bytes_src_to_dst": None,
            "packets_dst_to_src": None,
            "bytes_dst_to_src": None,
            "tuple_no": 0,
        },
        shared
        | {
            "flow_time": datetime(2018, 11, 13, 11, 59, 39),
            "hour": 11,
            "src_ip": "10.5.16.4",
            "dst_ip": "203.0.113.115",
            "src_port": 44931,
            "dst_port": 443,
            "protocol": 6,
            "direction": "O",
            "decision": "A",
            "flow_state": "C",
            "packets_src_to_dst": 30,
            "bytes_src_to_dst": 16978,
            "packets_dst_to_src": 24,
            "bytes_dst_to_src": 14008,
            "tuple_no": 1,
        },
    ]
    assert summary.event_hours == {
        datetime(2018, 11, 13, 11): 1,
        datetime(2018, 11, 13, 12): 1,
    }
    assert summary.min_flow_time == datetime(2018, 11, 13, 11, 59, 39)
    assert summary.max_flow_time == datetime(2018, 11, 13, 12, 0, 2)


def test_version_4_as_documented():
    ended = "1663146003606,10.0.0.6,192.0.2.180,23956,443,6,O,E,NX,3,767,2,1580"
    denied = "1663145998065,101.33.218.153,10.0.0.6,55188,22,6,I,D,NX,0,0,0,0"
    record = vnet_record(ended, denied, time="2022-09-14T09:00:52.5625085Z")
    rows, summary = decode(document(record), datetime(2022, 9, 14, 9))
    shared = {
        "date": date(2022, 9, 14),
        "protocol": 6,
        "encryption": "NX",
        "rule": "DefaultRule_Out",
        "acl_id": "00aa00aa-bb11-cc22-dd33-44ee44ee44ee",
        "flow_log_id": FLOW_LOG,
        "target_resource_id": VNET,
        "mac": "112233445566",
        "log_version": 4,
        "record_time": datetime(2022, 9, 14, 9, 0, 52, 562508),
        "source": "folder",
        "blob": "container/PT1H.json",
        "record_no": 0,
        "flow_no": 0,
        "group_no": 0,
        "reject_reason": None,
        "raw": None,
    }
    assert rows == [
        shared
        | {
            "flow_time": datetime(2022, 9, 14, 9, 0, 3, 606000),
            "hour": 9,
            "src_ip": "10.0.0.6",
            "dst_ip": "192.0.2.180",
            "src_port": 23956,
            "dst_port": 443,
            "direction": "O",
            "decision": "A",
            "flow_state": "E",
            "packets_src_to_dst": 3,
            "bytes_src_to_dst": 767,
            "packets_dst_to_src": 2,
            "bytes_dst_to_src": 1580,
            "tuple_no": 0,
        },
        shared
        | {
            "flow_time": datetime(2022, 9, 14, 8, 59, 58, 65000),
            "hour": 8,
            "src_ip": "101.33.218.153",
            "dst_ip": "10.0.0.6",
            "src_port": 55188,
            "dst_port": 22,
            "direction": "I",
            "decision": "D",
            "flow_state": None,
            "packets_src_to_dst": 0,
            "bytes_src_to_dst": 0,
            "packets_dst_to_src": 0,
            "bytes_dst_to_src": 0,
            "tuple_no": 1,
        },
    ]
    assert summary.versions == {4: 2}


# The traps of the flow logs.


def test_trap_01_the_path_names_the_hour_of_writing_not_of_the_flow():
    midnight = datetime(2026, 11, 1)
    before = SECONDS - 5 * 3600 - 10
    rows = decode_tuples(
        V1.replace(str(SECONDS), str(before)), V1.replace(str(SECONDS), str(before + 10)),
        hour=midnight,
    )  # fmt: skip
    assert [(row["date"], row["hour"]) for row in rows] == [
        (date(2026, 10, 31), 23),
        (date(2026, 11, 1), 0),
    ]


def test_trap_02_identical_tuples_are_all_kept():
    rows, _ = decode(document(vnet_record(V4, V4, V4)))
    assert [row["tuple_no"] for row in rows] == [0, 1, 2]
    assert len({row["bytes_src_to_dst"] for row in rows}) == 1


def test_trap_03_records_may_share_time_and_mac():
    rows, summary = decode(document(vnet_record(V4), vnet_record(V4), vnet_record(V4)))
    assert [row["record_no"] for row in rows] == [0, 1, 2]
    assert summary.records == 3


def test_trap_04_the_version_changes_inside_a_blob_and_inside_a_record():
    rows, summary = decode(document(nsg_record(V2, V1, V4, V1, V2), nsg_record(V1)))
    assert [row["log_version"] for row in rows] == [2, 1, 4, 1, 2, 1]
    assert [row["tuple_no"] for row in rows] == [0, 1, 2, 3, 4, 0]
    assert [row["flow_state"] for row in rows] == ["C", None, "E", None, "C", None]
    assert [row["encryption"] for row in rows] == [None, None, "NX", None, None, None]
    assert [row["bytes_dst_to_src"] for row in rows] == [14008, None, 1580, None, 14008, None]
    assert summary.versions == {1: 3, 2: 2, 4: 1}


def test_trap_05_an_empty_counter_is_null_and_zero_is_zero():
    rows, _ = decode(
        document(
            vnet_record(
                f"{SECONDS}000,10.0.0.6,192.0.2.180,1,443,6,O,B,NX,,,,",
                f"{SECONDS}000,10.0.0.6,192.0.2.180,1,443,6,O,B,NX,0,0,0,0",
                f"{SECONDS}000,10.0.0.6,192.0.2.180,1,443,6,O,E,NX,1,,0,",
            )
        )
    )
    names = [name for name in ENCODED_SCHEMA.names if name.startswith(("packets_", "bytes_"))]
    assert [[row[name] for name in names] for row in rows] == [
        [None, None, None, None],
        [0, 0, 0, 0],
        [1, None, 0, None],
    ]


def test_trap_10_a_pretty_printed_blob_gives_the_same_rows():
    records = (nsg_record(V2, V1), vnet_record(V4), nsg_record())
    assert decode(document(*records, indent=2))[0] == decode(document(*records))[0]


def test_trap_10_what_is_whole_of_a_blob_that_is_cut_off_is_landed():
    whole = document(vnet_record(V4), vnet_record(V4, V4), vnet_record(V4))
    rows, summary = decode(whole[:-120])
    assert [row["record_no"] for row in rows] == [0, 1, 1]
    assert codes(summary) == [("cut_off", None)]
    assert f"byte {len(whole) - 120} " in summary.problems[0].detail


def test_trap_11_rows_keep_their_place_whatever_their_times():
    times = [30, 10, 20, 5]
    rows = decode_tuples(*(V1.replace(str(SECONDS), str(SECONDS + t)) for t in times))
    assert [(row["flow_time"] - HOUR).seconds for row in rows] == times


def test_trap_12_a_flow_may_be_seen_without_its_beginning_or_its_end():
    tuples = [V4.replace(",E,", f",{state},") for state in "CEB"]
    rows, summary = decode(document(vnet_record(*tuples)))
    assert [row["flow_state"] for row in rows] == ["C", "E", "B"]
    assert summary.rejected == 0


# Fields.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "not_text"),
        (17, "not_text"),
        (["a"], "not_text"),
        ("", "empty"),
        (" ", "too_few_fields"),
        ("x", "too_few_fields"),
        (V1.rpartition(",")[0], "too_few_fields"),
        (V1 + ",B", "too_few_fields"),
        (V2.rpartition(",")[0], "too_few_fields"),
        (V2 + ",", "too_many_fields"),
        ("," * 1024, "too_many_fields"),
        ("," * 1025, "too_long"),
        (V2 + "0" * 1024, "too_long"),
        (V1.replace(str(SECONDS), ""), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "-1"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "+1793509200"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "0x6AE6E6D0"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "0X6AE6E6D0"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), f" {SECONDS}"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), f"{SECONDS} "), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "1793509200.5"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "1_793_509_200"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "١٧٩٣٥٠٩٢٠٠"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "2026-11-01T05:00:00Z"), "flow_time_unreadable"),
        (V1.replace(str(SECONDS), "0"), "flow_time_implausible"),
        (V1.replace(str(SECONDS), "1262303999"), "flow_time_implausible"),  # 2009-12-31 23:59:59
        (V1.replace(str(SECONDS), str(SECONDS + 7201)), "flow_time_implausible"),
        (V1.replace(str(SECONDS), f"{SECONDS + 7200}001"), "flow_time_implausible"),
        (V1.replace(str(SECONDS), f"{SECONDS}000000"), "flow_time_implausible"),
        (V1.replace(str(SECONDS), "9" * 18), "flow_time_implausible"),
        (V1.replace(str(SECONDS), "9" * 900), "flow_time_implausible"),
        (V1.replace("192.0.2.95", ""), "address_unreadable"),
        (V1.replace("192.0.2.95", "192.0.2.256"), "address_unreadable"),
        (V1.replace("192.0.2.95", "192.0.2"), "address_unreadable"),
        (V1.replace("192.0.2.95", "192.0.2.095"), "address_unreadable"),
        (V1.replace("192.0.2.95", " 192.0.2.95"), "address_unreadable"),
        (V1.replace("192.0.2.95", "192.0.2.95/32"), "address_unreadable"),
        (V1.replace("192.0.2.95", "3221225985"), "address_unreadable"),
        (V1.replace("10.1.0.4", "fe80::1%eth0"), "address_unreadable"),
        (V1.replace("10.1.0.4", "vm-1.example"), "address_unreadable"),
        (V1.replace("51529", ""), "port_unreadable"),
        (V1.replace("51529", "65536"), "port_unreadable"),
        (V1.replace("5358", "-1"), "port_unreadable"),
        (V1.replace("5358", "99999999999"), "port_unreadable"),
        (V1.replace("5358", "http"), "port_unreadable"),
        (V1.replace("5358", "0x50"), "port_unreadable"),
        (V1.replace("5358", "0X50"), "port_unreadable"),
        (V1.replace(",T,", ",,"), "protocol_unreadable"),
        (V1.replace(",T,", ",t,"), "protocol_unreadable"),
        (V1.replace(",T,", ",6,"), "protocol_unreadable"),
        (V2.replace(",T,", ",X,"), "protocol_unreadable"),
        (V2.replace(",T,", ',"T",'), "protocol_unreadable"),
        (V4.replace(",6,", ",256,"), "protocol_unreadable"),
        (V4.replace(",6,", ",-6,"), "protocol_unreadable"),
        (V1.replace(",I,", ",,"), "direction_unknown"),
        (V2.replace(",O,", ",X,"), "direction_unknown"),
        (V4.replace(",O,", ",o,"), "direction_unknown"),
        (V1.replace(",D", ","), "decision_unknown"),
        (V1.replace(",D", ",B"), "decision_unknown"),
        (V2.replace(",A,", ",C,"), "decision_unknown"),
        (V2.replace(",C,", ",,"), "state_unknown"),
        (V2.replace(",C,", ",D,"), "state_unknown"),
        (V2.replace(",C,", ",A,"), "state_unknown"),
        (V4.replace(",E,", ",A,"), "state_unknown"),
        (V4.replace(",E,", ",,"), "state_unknown"),
        (V2.replace(",30,", ",-30,"), "counter_unreadable"),
        (V2.replace(",30,", ",3.5,"), "counter_unreadable"),
        (V2.replace(",30,", ",NULL,"), "counter_unreadable"),
        (V2.replace(",30,", ",nan,"), "counter_unreadable"),
        (V2.replace(",30,", ", ,"), "counter_unreadable"),
        (V2.replace(",30,", f",{2**63},"), "counter_unreadable"),
        (V2.replace(",30,", ",0x1F,"), "counter_unreadable"),
        (V2.replace(",30,", ",0X1F,"), "counter_unreadable"),
        (V2 + "\n", "counter_unreadable"),
        (V2 + "\r", "counter_unreadable"),
        (V2 + "\0", "counter_unreadable"),
        # Several faults: the first in the order of the reasons counts.
        ("x,y,z,-1,-1,X,Y,Z", "flow_time_unreadable"),
        (f"{SECONDS},y,z,-1,-1,X,Y,Z", "address_unreadable"),
        (f"{SECONDS},::1,::2,1,-1,X,Y,Z", "port_unreadable"),
        (f"{SECONDS},::1,::2,1,1,X,Y,Z", "protocol_unreadable"),
        (f"{SECONDS},::1,::2,1,1,T,Y,Z", "direction_unknown"),
    ],
)
def test_a_tuple_is_rejected_with_its_text_and_place(text: Any, reason: str):
    rows = decode_tuples(V2, text, V2)
    assert [row["reject_reason"] for row in rows] == [None, reason, None]
    rejected = rows[1]
    raw = text if isinstance(text, str) else json.dumps(text)
    assert rejected.pop("raw") == raw[:1024]
    known = {
        "rule": "UserRule_web",
        "acl_id": NSG,
        "mac": "000D3AF8801A",
        "record_time": datetime(2026, 11, 1, 5, 1, 2, 123456),
        "source": "folder",
        "blob": "container/PT1H.json",
        "record_no": 0,
        "flow_no": 0,
        "group_no": 0,
        "tuple_no": 1,
        "reject_reason": reason,
    }
    assert {name: value for name, value in rejected.items() if value is not None} == known


def test_every_reason_can_be_met():
    texts = [
        1,
        "",
        "x" * 1025,
        "x",
        "," * 13,
        V1.replace(str(SECONDS), "x"),
        V1.replace(str(SECONDS), "1"),
        V1.replace("10.1.0.4", "x"),
        V1.replace("5358", "x"),
        V1.replace("T", "x"),
        V1.replace("I", "x"),
        V1.replace("D", "x"),
        V2.replace("C", "x"),
        V2.replace("30", "x"),
    ]
    _, summary = decode(document(nsg_record(*texts)))
    assert summary.rejects == dict.fromkeys(RejectReason, 1)


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        (V1.replace(str(SECONDS), "1262304000"), "flow_time", datetime(2010, 1, 1)),
        (V1.replace(str(SECONDS), "1262304000000"), "flow_time", datetime(2010, 1, 1)),
        (V1.replace(str(SECONDS), str(SECONDS + 7200)), "flow_time", HOUR + timedelta(hours=2)),
        (V1.replace(str(SECONDS), f"00{SECONDS}"), "flow_time", HOUR),
        (V4.replace(f"{SECONDS}606", str(SECONDS)), "flow_time", HOUR),
        (V1.replace("51529", "0"), "src_port", 0),
        (V1.replace("51529", "65535"), "src_port", 65535),
        (V1.replace("51529", "000080"), "src_port", 80),
        (V4.replace(",6,", ",0,"), "protocol", 0),
        (V4.replace(",6,", ",255,"), "protocol", 255),
        (V4.replace(",6,", ",17,"), "protocol", 17),
        (V2.replace(",30,", f",{2**63 - 1},"), "packets_src_to_dst", 2**63 - 1),
        (V2.replace(",30,", f",{'0' * 30}7,"), "packets_src_to_dst", 7),
        (V4.replace(",NX,", ",NX_HW_NOT_SUPPORTED,"), "encryption", "NX_HW_NOT_SUPPORTED"),
        (V4.replace(",NX,", ",a new one\n,"), "encryption", "a new one\n"),
        (V4.replace(",NX,", ',"é\0",'), "encryption", '"é\0"'),
        (V4.replace(",NX,", ",NULL,"), "encryption", "NULL"),
        (V4.replace(",NX,", ",,"), "encryption", None),
        (V1.replace("10.1.0.4", "2001:DB8:0:0:0:0:0:1"), "dst_ip", "2001:db8::1"),
        (V1.replace("10.1.0.4", "::FFFF:10.1.0.4"), "dst_ip", "::ffff:10.1.0.4"),
        (V1.replace("10.1.0.4", "::ffff:a01:4"), "dst_ip", "::ffff:10.1.0.4"),
        (V1.replace("10.1.0.4", "0.0.0.0"), "dst_ip", "0.0.0.0"),
        (V1.replace("10.1.0.4", "255.255.255.255"), "dst_ip", "255.255.255.255"),
    ],
)
@pytest.mark.parametrize("others", [0, 2])
def test_a_field_is_read_as(text: str, column: str, value: object, others: int):
    row = decode_tuples(text, *[V4] * others)[0]
    assert row["reject_reason"] is None
    assert row[column] == value


def test_a_tuple_nested_deeper_than_json_can_be_written_is_rejected():
    deep = "[" * 400 + "]" * 400
    data = document(nsg_record(V2, "DEEP")).replace(b'"DEEP"', deep.encode())
    rows, _ = decode(data)
    assert [row["reject_reason"] for row in rows] == [None, "not_text"]
    assert rows[1]["raw"] is not None


# Envelopes.


def test_position_counts_at_each_level_and_through_what_is_empty():
    def flow(rule: str, *groups: list[str]) -> dict[str, Any]:
        return {"rule": rule, "flows": [{"mac": "M", "flowTuples": group} for group in groups]}

    flows = [flow("a"), flow("b", [V2], [], [V2, V2]), flow("c", [V2])]
    rows, summary = decode(
        document(nsg_record(properties={"Version": 2, "flows": flows}), nsg_record(V2))
    )
    places = [
        (row["record_no"], row["flow_no"], row["group_no"], row["tuple_no"], row["rule"])
        for row in rows
    ]
    assert places == [
        (0, 1, 0, 0, "b"),
        (0, 1, 2, 0, "b"),
        (0, 1, 2, 1, "b"),
        (0, 2, 0, 0, "c"),
        (1, 0, 0, 0, "UserRule_web"),
    ]
    assert summary.problems == []


def test_vnet_names_belong_to_their_flow_and_group():
    flows = [
        {"aclID": "x", "flowGroups": [{"rule": "a", "flowTuples": [V4]}]},
        {
            "aclID": "y",
            "flowGroups": [
                {"rule": "b", "flowTuples": [V4]},
                {"rule": "c", "flowTuples": [V4, V4]},
            ],
        },
    ]
    rows, _ = decode(document(vnet_record(flowRecords={"flows": flows})))
    assert [
        (row["acl_id"], row["rule"], row["flow_no"], row["group_no"], row["tuple_no"])
        for row in rows
    ] == [("x", "a", 0, 0, 0), ("y", "b", 1, 0, 0), ("y", "c", 1, 1, 0), ("y", "c", 1, 1, 1)]


def test_ids_fall_back_to_what_the_record_has():
    no_mac = nsg_record(V2)
    del no_mac["properties"]["flows"][0]["flows"][0]["mac"]
    no_flow_log = vnet_record(V4)
    del no_flow_log["flowLogResourceID"]
    rows, summary = decode(document(no_mac, no_flow_log))
    assert rows[0]["mac"] == "000D3AF87856"
    assert rows[1]["flow_log_id"] == "66aa66aa-bb77-cc88-dd99-00ee00ee00ee"
    assert summary.problems == []


def test_missing_ids_are_null_and_no_problem():
    record = vnet_record(V4)
    for key in ("flowLogResourceID", "flowLogGUID", "targetResourceID", "macAddress"):
        del record[key]
    del record["flowRecords"]["flows"][0]["aclID"]
    rows, summary = decode(document(record))
    names = ("flow_log_id", "target_resource_id", "mac", "acl_id")
    assert [rows[0][name] for name in names] == [None] * 4
    assert summary.problems == []


def test_names_are_kept_as_logged():
    rows, _ = decode(
        document(nsg_record(V2, resourceId="/subscriptions/É\0x\u2028/Y", macAddress="00-0d"))
    )
    assert rows[0]["acl_id"] == "/subscriptions/É\0x\u2028/Y"


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-01T05:01:02Z", datetime(2026, 11, 1, 5, 1, 2)),
        ("2026-11-01T05:01:02.5Z", datetime(2026, 11, 1, 5, 1, 2, 500000)),
        ("2026-11-01T05:01:02.0000019Z", datetime(2026, 11, 1, 5, 1, 2, 1)),
        ("2026-11-01T05:01:02", None),
        ("2026-11-31T05:01:02Z", None),
        ("2026-11-01T25:01:02Z", None),
        ("٢٠٢٦-11-01T05:01:02Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_record_time(time: object, expected: datetime | None):
    rows, summary = decode(document(nsg_record(V2, time=time)))
    assert rows[0]["record_time"] == expected
    assert codes(summary) == ([("record_time_unreadable", 0)] if expected is None else [])


@pytest.mark.parametrize(
    "record",
    [
        nsg_record(V2, category="AuditEvent"),
        nsg_record(V2, category="networksecuritygroupflowevent"),
        nsg_record(V2, category=5),
        {"count": 4, "total": 9, "resourceId": "/X", "metricName": "UsedCapacity"},
        {"category": "AuditEvent", "properties": {"id": "https://vault"}},
        {"properties": {"id": "https://vault"}},
        {},
    ],
)
def test_a_record_of_another_category_is_reported_and_left_out(record: dict[str, Any]):
    rows, summary = decode(document(record, vnet_record(V4)))
    assert [row["record_no"] for row in rows] == [1]
    assert codes(summary) == [("foreign_category", 0)]
    assert summary.records == 2


def test_without_a_category_the_shape_decides():
    records = [nsg_record(V2), vnet_record(V4)]
    for record in records:
        del record["category"]
    rows, summary = decode(document(*records))
    assert [row["log_version"] for row in rows] == [2, 4]
    assert summary.problems == []


@pytest.mark.parametrize("version", [3, 0, None, "2", 2.5, True, [2]])
def test_an_unknown_version_is_a_warning(version: object):
    nsg = nsg_record(V2)
    nsg["properties"]["Version"] = version
    rows, summary = decode(document(nsg, vnet_record(V4, flowLogVersion=version)))
    assert len(rows) == 2
    assert codes(summary) == [("unknown_version", 0), ("unknown_version", 1)]


def broken(path: str, value: object) -> dict[str, Any]:
    record = nsg_record(V2) if path.startswith("properties") else vnet_record(V4)
    *parents, last = path.split("/")
    place: Any = record
    for parent in parents:
        place = place[int(parent) if parent.isdigit() else parent]
    place[int(last) if last.isdigit() else last] = value
    return record


@pytest.mark.parametrize("value", [None, 5, "text", {"a": 1}])
@pytest.mark.parametrize(
    "path",
    [
        "properties/flows",
        "properties/flows/0/flows",
        "properties/flows/0/flows/0/flowTuples",
        "flowRecords/flows",
        "flowRecords/flows/0/flowGroups",
        "flowRecords/flows/0/flowGroups/0/flowTuples",
    ],
)
def test_what_should_be_an_array_and_is_none_is_reported_the_rest_landed(path: str, value: object):
    rows, summary = decode(document(broken(path, value), vnet_record(V4)))
    assert [row["record_no"] for row in rows] == [1]
    assert codes(summary) == [("group_malformed", 0)]
    assert path.rpartition("/")[2] in summary.problems[0].detail


@pytest.mark.parametrize("value", [None, 5, "text", []])
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("properties", "record_malformed"),
        ("flowRecords", "record_malformed"),
        ("properties/flows/0", "group_malformed"),
        ("properties/flows/0/flows/0", "group_malformed"),
        ("flowRecords/flows/0", "group_malformed"),
        ("flowRecords/flows/0/flowGroups/0", "group_malformed"),
    ],
)
def test_what_should_be_an_object_and_is_none_is_reported_the_rest_landed(
    path: str, code: str, value: object
):
    rows, summary = decode(document(broken(path, value), vnet_record(V4)))
    assert [row["record_no"] for row in rows] == [1]
    assert codes(summary) == [(code, 0)]


@pytest.mark.parametrize("value", [5, ["x"], {"x": 1}, "x" * 1025])
@pytest.mark.parametrize(
    ("path", "column", "code"),
    [
        ("properties/flows/0/rule", "rule", "group_malformed"),
        ("flowRecords/flows/0/aclID", "acl_id", "group_malformed"),
        ("flowRecords/flows/0/flowGroups/0/rule", "rule", "group_malformed"),
        ("macAddress", "mac", "record_malformed"),
        ("targetResourceID", "target_resource_id", "record_malformed"),
    ],
)
def test_a_name_that_is_no_text_is_null_and_its_tuples_are_landed(
    path: str, column: str, code: str, value: object
):
    rows, summary = decode(document(broken(path, value)))
    assert [row[column] for row in rows] == [None]
    assert codes(summary) == [(code, 0)]


def test_a_group_without_a_rule_is_reported():
    rows, summary = decode(document(broken("properties/flows/0/rule", None)))
    assert [row["rule"] for row in rows] == [None]
    assert codes(summary) == [("group_malformed", 0)]


# Batches and accounts.


@pytest.mark.parametrize("count", [BATCH_TUPLES - 1, BATCH_TUPLES, BATCH_TUPLES + 1])
def test_a_group_larger_than_a_batch_keeps_its_numbers(count: int):
    decoder = BlobDecoder(BlobPlace("s", "b", HOUR))
    data = document(vnet_record(V4), vnet_record(*[V4] * count), vnet_record(V4))
    batches = [*decoder.feed(data), *decoder.finish()]
    assert all(batch.num_rows <= 2 * BATCH_TUPLES for batch in batches)
    table = pa.Table.from_batches(batches)
    assert table.column("tuple_no").to_pylist() == [0, *range(count), 0]
    assert Counter(table.column("record_no").to_pylist()) == {0: 1, 1: count, 2: 1}


def test_a_batch_of_everything_keeps_its_order():
    kinds = [V1, V2, V4, "", "x", None, V2 + "\n", V4.replace("NX", '"'), V1.replace("T", "é")]
    texts = [kinds[(7 * number) % len(kinds)] for number in range(900)]
    rows, summary = decode(document(nsg_record(*texts)))
    assert [row["tuple_no"] for row in rows] == list(range(900))
    alone = {kind: decode(document(nsg_record(kind)))[0][0] for kind in kinds}
    for row, text in zip(rows, texts, strict=True):
        assert row | {"tuple_no": 0} == alone[text]
    assert summary.rejected == 500  # five of the nine kinds


def test_only_the_first_problems_are_kept_and_all_are_counted():
    _, summary = decode(document(*[{"category": "é" * 9000}] * 50))
    assert summary.problem_count == 50
    assert [problem.record_no for problem in summary.problems] == list(range(20))
    assert all(len(problem.detail) <= 200 for problem in summary.problems)


def test_codes_and_reasons_are_plain_text_to_whoever_writes_them_down():
    _, summary = decode(document({}, nsg_record("")))
    assert json.loads(json.dumps(summary.rejects)) == {"empty": 1}
    assert summary.problems[0].code == ProblemCode.FOREIGN_CATEGORY
