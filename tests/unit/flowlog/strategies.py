"""Flow logs for hypothesis: tuples good and odd, records and documents that are whole.

Belongs here: what is well-formed as JSON and as an envelope, so that a test can say how many tuples
there are without reading them back. Documents that are odd down to their bytes are made in
`tests.torture.documents`; `blobs` draws them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from tests.torture.documents import Blob, blob

SECONDS = 1793509200  # 2026-11-01T05:00:00Z

addresses = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded.upper()),
    st.ip_addresses(v=4).map("::ffff:{}".format),
)
ports = st.integers(0, 65535).map(str)
counters = st.one_of(st.just(""), st.just("0"), st.integers(0, 2**63 - 1).map(str))
seconds = st.integers(SECONDS - 7200, SECONDS + 7200).map(str)
milliseconds = st.integers((SECONDS - 7200) * 1000, (SECONDS + 7200) * 1000).map(str)
directions = st.sampled_from("IO")
start = (addresses, addresses, ports, ports)
nsg = (*start, st.sampled_from("TU"), directions, st.sampled_from("AD"))
v1 = st.tuples(seconds, *nsg)
v2 = st.tuples(seconds, *nsg, st.sampled_from("BCE"), *[counters] * 4)
v4 = st.tuples(
    st.one_of(seconds, milliseconds),
    *start,
    st.integers(0, 255).map(str),
    directions,
    st.sampled_from("BCED"),
    st.sampled_from(["NX", "X", "NX_ALL", "", "new code"]),
    *[counters] * 4,
)
good = st.one_of(v1, v2, v4)
good_texts = good.map(",".join)

odd_numbers = ["0", "-1", "+1", "007", "0x1", "0X1F", "1e3", "1.0", "1 ", " 1", "\t1", "1\n"]
large_numbers = ["256", "65536", "70000", str(2**63), "9" * 30, "\u0661", "\ufeff1"]
odd_times = ["1262303999", "1262304000", str(SECONDS + 7201), f"{SECONDS + 7200}001"]
odd_texts = ["", " ", "NULL", "nan", "true", '"', '"1"', "'", "\\", "\r", "\0"]
letters = ["T", "U", "t", "X", "6", "A", "B", "C", "D", "E", "I", "O", "NX"]
odd_addresses = ["01.2.3.4", "1.2.3", "::1", "fe80::1%1", "::ffff:1.2.3.4", "1.2.3.4/8"]
odd_fields = st.one_of(
    st.sampled_from(odd_numbers + large_numbers + odd_times + odd_texts + letters + odd_addresses),
    st.text(max_size=3),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good tuple with some fields replaced, taken away, doubled or swapped."""
    fields = list(draw(good))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(fields) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                del fields[at:]
            case 1:
                fields.insert(at, draw(odd_fields))
            case 2:
                other = draw(st.integers(0, len(fields) - 1))
                fields[at], fields[other] = fields[other], fields[at]
            case _:
                fields[at] = draw(odd_fields)
        if not fields:
            break
    return ",".join(fields)


odd = st.one_of(
    mutated(),
    mutated(),
    st.sampled_from(["", "\n", ",", "," * 7, "," * 12, "," * 13]),
    st.text(max_size=20),
    st.none() | st.booleans() | st.integers(-9, 9) | st.just([]) | st.just({}),
)
tuples_lists = st.one_of(
    st.lists(v1.map(",".join), max_size=8),
    st.lists(v2.map(",".join), max_size=8),
    st.lists(v4.map(",".join), max_size=8),
    st.lists(st.one_of(good.map(",".join), odd), max_size=8),
)
names = st.text(max_size=6)
times = st.datetimes(datetime(2026, 11, 1, 5), datetime(2026, 11, 1, 6)).map(
    lambda time: time.isoformat(timespec="microseconds") + "7Z"
)


@st.composite
def nsg_records(draw: st.DrawFn) -> dict[str, Any]:
    def group() -> dict[str, Any]:
        mac = {"mac": draw(names)} if draw(st.booleans()) else {}
        return mac | {"flowTuples": draw(tuples_lists)}

    def flow() -> dict[str, Any]:
        return {"rule": draw(names), "flows": [group() for _ in range(draw(st.integers(0, 2)))]}

    flows = [flow() for _ in range(draw(st.integers(0, 3)))]
    return {
        "time": draw(times),
        "macAddress": draw(names),
        "category": "NetworkSecurityGroupFlowEvent",
        "resourceId": draw(names),
        "properties": {"Version": draw(st.sampled_from([1, 2])), "flows": flows},
    }


@st.composite
def vnet_records(draw: st.DrawFn) -> dict[str, Any]:
    def group() -> dict[str, Any]:
        return {"rule": draw(names), "flowTuples": draw(tuples_lists)}

    def flow() -> dict[str, Any]:
        groups = [group() for _ in range(draw(st.integers(0, 2)))]
        return {"aclID": draw(names), "flowGroups": groups}

    return {
        "flowRecords": {"flows": [flow() for _ in range(draw(st.integers(0, 3)))]},
        "time": draw(times),
        "flowLogVersion": 4,
        "flowLogGUID": draw(names),
        "macAddress": draw(names),
        "category": "FlowLogFlowEvent",
        "flowLogResourceID": draw(names),
        "targetResourceID": draw(names),
    }


foreign = st.just({"time": "2026-11-01T05:00:00Z", "category": "AuditEvent", "properties": {}})
documents = st.lists(st.one_of(nsg_records(), vnet_records(), vnet_records(), foreign), max_size=4)
"""Lists of records of both products and of neither."""


class _Drawn:
    """Choices that hypothesis makes, so that it can make them smaller."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, count: int) -> int:
        return self._draw(st.integers(0, count - 1))


@st.composite
def blobs(draw: st.DrawFn) -> Blob:
    """Near what Azure writes, odd in any way, in any pieces."""
    return blob(_Drawn(draw))
