"""Copies and retransmissions held against plain Python, over randomised tuples of many seeds.

Belongs here: drawing tuples of few hosts, NICs and logs, so that they meet in every way; deciding
again without SQL, after docs/adr/0012-counted-once.md, which of them count; and comparing.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

import duckdb
import pyarrow as pa
import pytest

pytestmark = pytest.mark.integration

Key = TypeVar("Key")

SEEDS = range(60)
HOUR = datetime(2026, 3, 1, 5)
# The shortest and longest waits before a retransmission stand at either side of the rule's limits.
WAITS_MS = [0, 1, 400, 499, 500, 1000, 1004, 2000, 3000, 4000, 4001, 5000, 6000, 8000, 16000, 64000]


@dataclass(frozen=True)
class Row:
    date: date
    hour: int
    flow_time: datetime
    src_ip: str
    dst_ip: str
    src_port: int
    dst_port: int
    protocol: int
    direction: str
    decision: str
    flow_state: str | None
    bytes_src_to_dst: int | None
    bytes_dst_to_src: int | None
    acl_id: str | None
    flow_log_id: str | None
    mac: str | None
    log_version: int
    blob: str
    record_no: int
    flow_no: int
    group_no: int
    tuple_no: int

    @property
    def connection(self) -> tuple[object, ...]:
        ends = self.src_ip, self.dst_ip, self.src_port, self.dst_port
        return self.date, self.hour, *ends, self.protocol

    @property
    def nic(self) -> str:
        return (self.mac or "").upper()

    @property
    def is_vnet(self) -> bool:
        return self.log_version == 4

    @property
    def log(self) -> str:
        return ((self.flow_log_id if self.is_vnet else self.acl_id) or "").lower()

    @property
    def vantage(self) -> tuple[bool, str, str, str]:
        return self.is_vnet, self.log, self.nic, self.direction

    @property
    def own_ip(self) -> str:
        return self.dst_ip if self.direction == "I" else self.src_ip

    @property
    def is_syn(self) -> bool:
        is_begin = self.flow_state == "B" or (self.is_vnet and self.decision == "D")
        return self.protocol == 6 and self.log_version != 1 and is_begin

    @property
    def place(self) -> tuple[str, int, int, int, int]:
        return self.blob, self.record_no, self.flow_no, self.group_no, self.tuple_no


TYPES = (
    "date date, hour integer, flow_time timestamp, src_ip varchar, dst_ip varchar, "
    "src_port integer, dst_port integer, protocol smallint, direction varchar, decision varchar, "
    "flow_state varchar, bytes_src_to_dst bigint, bytes_dst_to_src bigint, acl_id varchar, "
    "flow_log_id varchar, mac varchar, log_version smallint, blob varchar, record_no integer, "
    "flow_no integer, group_no integer, tuple_no integer"
)


def draw(seed: int) -> list[Row]:
    """Two hours of a few connections, each seen from one vantage or from several."""
    dice = random.Random(seed)
    hosts = ["10.0.0.4", "10.0.0.5", "10.0.0.6", "198.51.100.7", "fd00::4"][: dice.randint(2, 5)]
    nics = ["00AA", "00aa", "00BB", "00CC", None][: dice.randint(1, 5)]
    # Where each address is at home, so that some NICs log none but their own.
    homes = {host: dice.choice(nics) for host in hosts}
    rows: list[Row] = []
    for _ in range(dice.randint(1, 40)):
        src, dst = dice.choice(hosts), dice.choice(hosts)
        ports = dice.choice([1, 2, 3]), dice.choice([22, 443])
        protocol = dice.choice([6, 6, 6, 17])
        start = HOUR + timedelta(milliseconds=dice.choice([0, 1_000, 3_590_000, 3_599_000]))
        for _ in range(dice.choice([1, 1, 2, 3, 4])):
            direction = dice.choice("IO")
            at_home = homes[dst if direction == "I" else src]
            mac = dice.choice([at_home, at_home, dice.choice(nics)])
            version = dice.choice([1, 2, 2, 4, 4, 4])
            log = dice.choice(["/log/one", "/LOG/one", "/log/two", None])
            decision = dice.choice("AAAD")
            at = start
            for _ in range(dice.choice([1, 1, 2, 5, 9])):
                state = None if version == 1 or (version == 4 and decision == "D") else "B"
                if state and dice.random() < 0.2:
                    state = dice.choice("CE")
                rows.append(Row(
                    at.date(), at.hour, at, src, dst, *ports, protocol, direction, decision, state,
                    dice.choice([None, 0, 0, 9]), dice.choice([None, 0, 0, 9]),
                    log if version < 4 or dice.random() < 0.3 else None,
                    log if version == 4 else None, mac, version,
                    f"{version == 4}/{dice.choice('ab')}", dice.randint(0, 2), 0, 0, len(rows),
                ))  # fmt: skip
                at += timedelta(milliseconds=dice.choice(WAITS_MS))
    return rows


# ------------------------------------------------------------------------------------ without SQL


def groups(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    found: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def expected_copies(rows: list[Row]) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    for of_hour in groups(rows, lambda row: row.hour).values():
        own: dict[str, set[str]] = defaultdict(set)
        for row in of_hour:
            own[row.nic].add(row.own_ip)
        for seen in groups(of_hour, lambda row: row.connection).values():
            found |= copies_of(seen, own)
    return found


def copies_of(seen: list[Row], own: dict[str, set[str]]) -> set[tuple[object, ...]]:
    by_vantage = groups(seen, lambda row: row.vantage)

    def is_hop(vantage: tuple[bool, str, str, str]) -> bool:
        nic, ip = vantage[2], by_vantage[vantage][0].own_ip
        if {row.direction for row in seen if row.nic == nic} == {"I", "O"}:
            return True
        return len(own[nic]) > min(len(ips) for ips in own.values() if ip in ips)

    def preference(vantage: tuple[bool, str, str, str]) -> tuple[object, ...]:
        is_vnet, log, nic, direction = vantage
        rows = by_vantage[vantage]
        has_sizes = is_vnet or any(r.bytes_src_to_dst or r.bytes_dst_to_src for r in rows)
        is_allowed = all(row.decision == "A" for row in rows)
        return is_allowed, not is_vnet, is_hop(vantage), not has_sizes, direction, log, nic

    best = min(by_vantage, key=preference)
    first = min(by_vantage[best], key=lambda row: (row.flow_time, row.blob))
    found: set[tuple[object, ...]] = set()
    for vantage, rows in by_vantage.items():
        if vantage == best:
            continue
        if vantage[2:] == best[2:]:
            kind = "other_acl" if not vantage[0] and not best[0] else "other_log"
        else:
            kind = "hop" if is_hop(vantage) else "other_end"
        found |= {(row.date, row.hour, *row.place, kind, first.blob) for row in rows}
    return found


def expected_retransmissions(rows: list[Row]) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    syns = [row for row in rows if row.is_syn]
    for same in groups(syns, lambda row: (row.connection, row.vantage, row.decision)).values():
        same.sort(key=lambda row: (row.flow_time, row.place))
        waits = [
            round((b.flow_time - a.flow_time) / timedelta(milliseconds=1))
            for a, b in pairwise(same)
        ]
        at = 0
        while at < len(waits):
            end = at + 1
            while end < len(waits) and is_longer(waits[end - 1], waits[end]):
                end += 1
            chain = waits[at:end]
            if 500 <= chain[0] <= 4_000 and sum(chain) <= 130_000:
                found |= {(row.date, row.hour, *row.place) for row in same[at + 1 : end + 1]}
            at = end
    return found


def is_longer(before: int, after: int) -> bool:
    return after >= 500 and 1.5 * before - 1_000 <= after <= 2.5 * before + 1_000


# --------------------------------------------------------------------------------------- with SQL


@pytest.mark.timeout(300)
def test_copies_and_retransmissions_are_those_of_plain_python(compiled: dict[str, str]) -> None:
    names = [field.name for field in fields(Row)]
    kinds: Counter[object] = Counter()
    again = 0
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("create schema staging")
        connection.execute(f"create table staging.stg_flow_records ({TYPES})")
        for seed in SEEDS:
            rows = draw(seed)
            drawn = pa.table(
                [list(cells) for cells in zip(*(astuple(row) for row in rows), strict=True)], names
            )
            connection.execute("delete from staging.stg_flow_records")
            connection.register("drawn", drawn)
            connection.execute("insert into staging.stg_flow_records select * from drawn")
            found = {
                name: connection.execute(compiled[name]).fetchall()
                for name in ("int_copies", "int_retransmissions")
            }
            copies, retransmissions = expected_copies(rows), expected_retransmissions(rows)
            assert sorted(found["int_copies"]) == sorted(copies), seed
            assert sorted(found["int_retransmissions"]) == sorted(retransmissions), seed
            kinds.update(copy[-2] for copy in copies)
            again += len(retransmissions)
    # What was drawn has each of the cases, so that the rules were asked.
    assert set(kinds) == {"other_end", "hop", "other_log", "other_acl"}
    assert again > 300
