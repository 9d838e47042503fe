"""Merged flows, rollups and who talks with whom held against plain Python, over 60 seeds.

Belongs here: drawing tuples as fct_flows has them, merging and adding them up again without SQL,
and comparing. The SQL is dbt's own, compiled once.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import duckdb
import pyarrow as pa
import pytest

pytestmark = pytest.mark.integration

SEEDS = range(60)
FIRST = datetime(2026, 2, 28)
DAYS = [FIRST.date() + timedelta(days=n) for n in range(2)]
HOURS = (0, 7, 23)

# What is known: class, country, Azure region and service, own network, virtual network, region.
KNOWN: dict[str, tuple[str | None, ...]] = {
    "10.0.0.4": ("private", None, None, None, "front", "hub", "westeurope"),
    "10.0.0.5": ("private", None, None, None, "back", None, "westeurope"),
    "10.9.0.4": ("private", None, None, None, "far", "spoke", "northeurope"),
    "198.51.100.7": ("public", "NL", None, None, None, None, None),
    "203.0.113.9": ("public", "CN", None, None, None, None, None),
    "20.0.0.1": ("azure", None, "northeurope", "STORAGE", None, None, None),
    "2001:db8::1": ("public", None, None, None, None, None, None),
    "10.7.0.4": ("private", None, None, None, None, None, None),
    "10.7.0.5": ("private", None, None, None, None, None, None),
    "10.7.0.6": ("private", None, None, None, None, None, None),
    "100.64.0.4": ("shared", None, None, None, None, None, None),
    # Not looked up at all.
    "192.0.2.1": (),
}
# In no list. The last is a stranger whose flows go through an appliance.
UNLISTED = {
    "10.7.0.4": "sub-b", "10.7.0.5": "sub-b", "10.7.0.6": "sub-b", "100.64.0.4": "sub-b",
    "198.51.100.7": "sub-b",
}  # fmt: skip
OWN = ("10.0.0.4", "10.0.0.5", "10.9.0.4", *UNLISTED)
SUBSCRIPTIONS = {"10.0.0.4": "Sub-A", "10.0.0.5": "SUB-A", "10.9.0.4": "sub-b", **UNLISTED}
# What VNet flow logs name. An address takes one of its own at random each time.
TARGETS = {
    "10.0.0.4": ["/virtualNetworks/Hub/subnets/front", "/virtualNetworks/hub"],
    "10.0.0.5": ["/networkInterfaces/n", "/virtualNetworks/Hub"],
    "10.9.0.4": ["/virtualNetworks/spoke"],
    "10.7.0.4": ["/virtualNetworks/Lab/subnets/a", "/virtualNetworks/lab"],
    "10.7.0.5": ["/virtualNetworks/lab/subnets/a", "/virtualNetworks/lab/subnets/b"],
    "10.7.0.6": ["/virtualNetworks/lab/subnets/a", "/virtualNetworks/far/subnets/a"],
    "100.64.0.4": ["/networkInterfaces/n"],
    "198.51.100.7": ["/virtualNetworks/hub"],
}

COLUMNS = {
    "date": "date", "hour": "integer", "flow_time": "timestamp", "src_ip": "varchar",
    "dst_ip": "varchar", "src_port": "integer", "dst_port": "integer", "protocol": "smallint",
    "direction": "varchar", "decision": "varchar", "flow_state": "varchar",
    "encryption": "varchar", "packets_src_to_dst": "bigint", "bytes_src_to_dst": "bigint",
    "packets_dst_to_src": "bigint", "bytes_dst_to_src": "bigint", "rule": "varchar",
    "acl_id": "varchar", "flow_log_id": "varchar", "target_resource_id": "varchar",
    "mac": "varchar", "log_version": "smallint", "src_country": "varchar",
    "dst_country": "varchar", "is_malicious": "boolean", "threat_type": "varchar",
    "threat_feed": "varchar", "service": "varchar", "flow_type": "varchar",
    "is_new_flow": "boolean", "is_counted": "boolean", "is_attempt": "boolean",
}  # fmt: skip
LOOKUP_COLUMNS = (
    "ip varchar, address_class varchar, country varchar, azure_region varchar, "
    "azure_service varchar, network varchar, vnet varchar, network_region varchar"
)


@dataclass(frozen=True)
class Tuple:
    """A row of fct_flows, of its columns those that are used here."""

    cells: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        return self.cells[name]

    @property
    def own(self) -> str:
        return self.dst_ip if self.direction == "I" else self.src_ip

    @property
    def remote(self) -> str:
        return self.src_ip if self.direction == "I" else self.dst_ip

    @property
    def bytes(self) -> int | None:
        return total([self.bytes_src_to_dst, self.bytes_dst_to_src])

    @property
    def subscription(self) -> str | None:
        for text in (self.target_resource_id, self.acl_id, self.flow_log_id):
            parts = (text or "").lower().lstrip("/").split("/")
            if parts[0] == "subscriptions" and len(parts) > 1:
                return parts[1]
        return None


def draw(seed: int) -> list[Tuple]:
    dice = random.Random(seed)
    rows: list[Tuple] = []
    for _ in range(dice.randint(1, 150)):
        row = one(dice)
        rows.append(row)
        rows += [again(dice, row) for _ in range(dice.choice([0, 0, 1, 3]))]
    return rows


def again(dice: random.Random, row: Tuple) -> Tuple:
    """More of the same flow, from another port and at another time of its hour."""
    changed = {
        "src_port": dice.randint(50_000, 50_003),
        "flow_time": row.flow_time.replace(minute=dice.randint(0, 59)),
        "bytes_src_to_dst": dice.choice([None, 0, 11]),
        "is_counted": dice.random() < 0.5,
    }
    return Tuple(row.cells | changed)


def one(dice: random.Random) -> Tuple:
    day, hour = dice.choice(DAYS), dice.choice(HOURS)
    at = datetime(day.year, day.month, day.day, hour) + timedelta(
        milliseconds=dice.choice([0, 1, 3_599_999, dice.randrange(3_600_000)])
    )
    # Now and then one of the unlisted, so that there are days on which nobody logs them.
    own = dice.choice(OWN if dice.random() < 0.3 else OWN[:3])
    remote = dice.choice(list(KNOWN))
    direction = dice.choice("IO")
    src, dst = (remote, own) if direction == "I" else (own, remote)
    version, decision = dice.choice([1, 2, 4]), dice.choice("AD")
    state = None if version == 1 or (version == 4 and decision == "D") else dice.choice("BCE")
    counts = [None] * 4 if state in (None, "B") else [dice.choice([None, 0, 7]) for _ in range(4)]
    port = dice.choice([22, 443])
    base = f"/subscriptions/{SUBSCRIPTIONS[own]}/resourceGroups/rg/providers/Microsoft.Network"
    base = dice.choice([base, base.upper()])
    is_new = version == 1 or state == "B" or (version == 4 and decision == "D")
    is_malicious = dice.random() < 0.3
    mac = {"10.0.0.4": "000D3A000004", "10.0.0.5": "000d3a000005"}.get(own)
    return Tuple({
        "date": day, "hour": hour, "flow_time": at, "src_ip": src, "dst_ip": dst,
        "src_port": dice.randint(50_000, 50_003), "dst_port": port,
        "protocol": dice.choice([6, 17]), "direction": direction, "decision": decision,
        "flow_state": state, "encryption": dice.choice(["X", "NX"]) if version == 4 else None,
        "packets_src_to_dst": counts[0], "bytes_src_to_dst": counts[1],
        "packets_dst_to_src": counts[2], "bytes_dst_to_src": counts[3],
        "rule": dice.choice(["UserRule_a", "UserRule_A", None]),
        "acl_id": dice.choice([None, "unspecified", base + "/networkSecurityGroups/n"]),
        "flow_log_id": None if version < 4 else base + "/networkWatchers/w/flowLogs/f",
        "target_resource_id": None
        if version < 4
        else dice.choice([None, base + dice.choice(TARGETS[own])]),
        "mac": dice.choice([mac, mac and mac.lower()]), "log_version": version,
        "src_country": country(src), "dst_country": country(dst),
        "is_malicious": is_malicious, "threat_type": "Botnet" if is_malicious else None,
        "threat_feed": "feed" if is_malicious else None, "service": {22: "ssh"}.get(port),
        "flow_type": "MaliciousFlow" if is_malicious else dice.choice(["S2S", "ExternalPublic"]),
        "is_new_flow": is_new, "is_counted": dice.random() < 0.7,
        "is_attempt": is_new and dice.random() < 0.8,
    })  # fmt: skip


def country(ip: str) -> str | None:
    return KNOWN[ip][1] if KNOWN[ip] else None


def place(ip: str) -> str | None:
    return (KNOWN[ip][2] or KNOWN[ip][6]) if KNOWN[ip] else None


# ------------------------------------------------------------------------------------ without SQL

Row = tuple[Any, ...]


def total(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def low(text: str | None) -> str | None:
    return None if text is None else text.lower()


def up(text: str | None) -> str | None:
    return None if text is None else text.upper()


def grouped(rows: Iterable[Tuple], key: Callable[[Tuple], Row]) -> dict[Row, list[Tuple]]:
    found: dict[Row, list[Tuple]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def sums(rows: Sequence[Tuple]) -> Row:
    new = [row for row in rows if row.is_new_flow]
    return (
        len(new),
        len(rows),
        sum(row.is_attempt for row in rows),
        sum(row.is_counted for row in new),
        sum(row.is_malicious for row in new),
        sum(row.flow_state == "E" for row in rows),
        total(row.packets_src_to_dst for row in rows),
        total(row.bytes_src_to_dst for row in rows),
        total(row.packets_dst_to_src for row in rows),
        total(row.bytes_dst_to_src for row in rows),
        total(row.bytes for row in rows if row.is_counted),
    )


def ends(rows: Sequence[Tuple]) -> Row:
    return min(row.flow_time for row in rows), max(row.flow_time for row in rows)


def expected_merged(rows: list[Tuple]) -> Iterable[Row]:
    def key(row: Tuple) -> Row:
        return (
            row.date, row.hour, row.src_ip, row.dst_ip, row.dst_port, row.protocol, row.direction,
            row.decision, low(row.acl_id), row.rule, up(row.mac), row.log_version == 4,
            low(row.flow_log_id), low(row.target_resource_id), row.subscription, row.encryption,
            row.flow_type, row.is_malicious, row.service, row.src_country, row.dst_country,
            row.threat_type, row.threat_feed,
        )  # fmt: skip

    for at, group in grouped(rows, key).items():
        begun = [row.flow_time for row in group if row.is_new_flow]
        yield *at, *sums(group), *ends(group), max(begun, default=None)


def dimensions(row: Tuple) -> Row:
    return (
        row.direction, row.decision, row.protocol, row.flow_type, row.is_malicious,
        row.encryption, row.subscription, place(row.own), country(row.remote), place(row.remote),
        KNOWN[row.remote][3] if KNOWN[row.remote] else None,
    )  # fmt: skip


def expected_hourly(rows: list[Tuple]) -> Iterable[Row]:
    for at, group in grouped(rows, lambda row: (row.date, row.hour, *dimensions(row))).items():
        yield *at, *sums(group)


def expected_daily(rows: list[Tuple]) -> Iterable[Row]:
    for at, group in grouped(rows, lambda row: (row.date, *dimensions(row))).items():
        yield *at, *sums(group)


def expected_monthly(rows: list[Tuple]) -> Iterable[Row]:
    months = grouped(rows, lambda row: (row.date.replace(day=1), *dimensions(row)))
    for at, group in months.items():
        yield *at, *sums(group)


def only(texts: Iterable[str | None]) -> str | None:
    """The one that all that name one name; None if there are two."""
    named = {text for text in texts if text is not None}
    return named.pop() if len(named) == 1 else None


def expected_hosts(rows: list[Tuple]) -> Iterable[Row]:
    for at, group in grouped(rows, lambda r: (r.date, up(r.mac) or "", r.own)).items():
        new = [row for row in group if row.is_new_flow]
        inward = [r.bytes_src_to_dst if r.direction == "I" else r.bytes_dst_to_src for r in group]
        outward = [r.bytes_dst_to_src if r.direction == "I" else r.bytes_src_to_dst for r in group]
        ways = [
            sum((row.direction, row.decision) == way for row in new) for way in product("IO", "AD")
        ]
        harm = [sum(row.is_malicious and row.decision == made for row in new) for made in "AD"]
        yield (
            *at, only(row.subscription for row in group), *logged(group), *sums(group)[:4],
            *ways, *harm, total(inward), total(outward), sums(group)[-1],
            len({row.remote for row in group}),
            len({row.dst_port for row in group if row.direction == "I"}), *ends(group),
        )  # fmt: skip


def logged(rows: Sequence[Tuple]) -> Row:
    """The virtual network and the subnet that VNet flow logs name for an address."""
    vnets: set[str] = set()
    subnets: set[str] = set()
    for row in rows:
        parts = str(row.target_resource_id or "").lower().split("/")
        for kind, named in (("virtualnetworks", vnets), ("subnets", subnets)):
            if kind in parts:
                named.add("/".join(parts[: parts.index(kind) + 2]))
    return only(vnets), only(subnets) if len(vnets) == 1 else None


def expected_pairs(rows: list[Tuple]) -> Iterable[Row]:
    def key(row: Tuple) -> Row:
        return (
            row.date, row.src_ip, row.dst_ip, row.dst_port, row.protocol, row.direction,
            row.decision, row.encryption, row.service, row.src_country, row.dst_country,
        )  # fmt: skip

    for at, group in grouped(rows, key).items():
        yield *at, any(row.is_malicious for row in group), *sums(group), *ends(group)


def differ(one: str | None, other: str | None) -> bool | None:
    return None if one is None or other is None else one != other


def expected_regions(rows: list[Tuple]) -> Iterable[Row]:
    def key(row: Tuple) -> Row:
        src, dst = place(row.src_ip), place(row.dst_ip)
        return row.date, row.direction, src, dst, differ(src, dst)

    for at, group in grouped(rows, key).items():
        yield *at, *sums(group)


def network(ip: str, interfaces: list[Row] | None) -> Row:
    """Network, virtual network, what that rests on, and the resource id.

    `interfaces` are what the logs of each interface name that has the address as its own.
    """
    kind, listed, vnet = (KNOWN[ip][0], *KNOWN[ip][4:6]) if KNOWN[ip] else (None, None, None)
    if listed is not None and (vnet is not None or listed != "back"):
        return listed, vnet, "list", None
    found, subnet = None, None
    if interfaces is not None and kind in ("private", "shared"):
        found = only(each[0] for each in interfaces)
        subnet = only(each[1] for each in interfaces) if found else None
    name = found and found.rsplit("/", 1)[1]
    if listed is not None:
        return listed, name, "list", None
    if found is not None:
        told = subnet or found
        return told.rsplit("/", 1)[1], name, "log", told
    is_own = interfaces is not None and kind in ("private", "shared")
    return None, None, "nic" if is_own else None, None


def expected_networks(rows: list[Tuple]) -> Iterable[Row]:
    interfaces: dict[Row, list[Row]] = defaultdict(list)
    for at, group in grouped(rows, lambda row: (row.date, row.own, up(row.mac))).items():
        interfaces[at[:2]].append(logged(group))

    def key(row: Tuple) -> Row:
        src, dst = (network(ip, interfaces.get((row.date, ip))) for ip in (row.src_ip, row.dst_ip))
        return row.date, *src, *dst, row.direction, row.decision, row.encryption

    for at, group in grouped(rows, key).items():
        yield *at, *sums(group)


def expected_subscriptions(rows: list[Tuple]) -> Iterable[Row]:
    own = {
        at: only(row.subscription for row in group)
        for at, group in grouped(rows, lambda row: (row.date, row.own)).items()
    }

    def key(row: Tuple) -> Row:
        src, dst = own.get((row.date, row.src_ip)), own.get((row.date, row.dst_ip))
        return row.date, row.direction, src, dst, differ(src, dst)

    for at, group in grouped(rows, key).items():
        yield *at, *sums(group)


EXPECTED: dict[str, Callable[[list[Tuple]], Iterable[Row]]] = {
    "merged_flows": expected_merged,
    "traffic_hourly": expected_hourly,
    "traffic_daily": expected_daily,
    "traffic_monthly": expected_monthly,
    "hosts_daily": expected_hosts,
    "pairs_daily": expected_pairs,
    "regions_daily": expected_regions,
    "networks_daily": expected_networks,
    "subscriptions_daily": expected_subscriptions,
}


# --------------------------------------------------------------------------------------- with SQL


def tables_of(rows: list[Tuple], compiled: dict[str, str]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"threads": 1})
    types = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"create table fct_flows ({types})")
    drawn = pa.table({name: [row.cells[name] for row in rows] for name in COLUMNS})
    connection.register("drawn", drawn)
    connection.execute("insert into fct_flows select * from drawn")
    connection.execute(f"create table known ({LOOKUP_COLUMNS})")
    connection.executemany(
        "insert into known values (?, ?, ?, ?, ?, ?, ?, ?)",
        [[ip, *known] for ip, known in KNOWN.items() if known],
    )
    connection.execute(
        "create view dim_ip as select *, false as is_malicious, null as threat_type, "
        "null as threat_feed, null as scanner, 1 as asn, null as organisation, "
        "case network when 'back' then 'subnet' end as network_kind from known"
    )
    # A look-up of an hour before said otherwise, and does not count.
    connection.execute("create schema staging")
    connection.execute(
        "create view staging.stg_ip_lookup as "
        "select ip, azure_region, azure_service, network_region, date '2026-03-01' as written_date,"
        " 5 as written_hour, timestamp '2026-03-02' as looked_up_at, null as valid_to from known "
        "union all select ip, 'nowhere', 'OLD', null, date '2026-03-01', 4, "
        "timestamp '2026-03-03', null from known "
        "union all select ip, 'past', 'PAST', null, date '2026-03-01', 5, "
        "timestamp '2026-03-03', timestamp '2026-01-01' from known"
    )
    connection.execute("create schema intermediate")
    for name in (*EXPECTED, "public_addresses_daily", "NTANetAnalytics"):
        if name == "networks_daily":
            own = compiled["int_own_networks"]
            connection.execute(f"create view intermediate.int_own_networks as {own}")
        connection.execute(f"create table {name} as {compiled[name]}")
    return connection


def in_order(rows: Iterable[Row]) -> list[str]:
    """Rows as text, for nulls have no order."""
    return sorted(map(repr, rows))


@pytest.mark.timeout(300)
def test_every_table_is_what_plain_python_counts(compiled: dict[str, str]) -> None:
    crossing = merged = 0
    rested_on: Counter[str | None] = Counter()
    for seed in SEEDS:
        rows = draw(seed)
        with tables_of(rows, compiled) as connection:
            for name, expected in EXPECTED.items():
                found = connection.execute(f"select * from {name}").fetchall()
                assert in_order(found) == in_order(expected(rows)), (seed, name)
            crossing += connection.execute(
                "select count(*) from subscriptions_daily where is_crossing"
            ).fetchall()[0][0]
            rested_on.update(
                row[3] for row in connection.execute("select * from networks_daily").fetchall()
            )
            merged += len(rows) - len(list(expected_merged(rows)))
    # What was drawn has what the rules are about.
    assert crossing > 10
    assert merged > 1_000
    assert all(rested_on[each] > 100 for each in ("list", "log", "nic", None))


@pytest.mark.timeout(120)
def test_their_view_has_the_counts_under_their_names(compiled: dict[str, str]) -> None:
    rows = draw(3)
    with tables_of(rows, compiled) as connection:
        found = connection.execute(
            "select FlowDirection, FlowStatus, L4Protocol, sum(AllowedInFlows), "
            "sum(DeniedInFlows), sum(AllowedOutFlows), sum(DeniedOutFlows), "
            "sum(CompletedFlows), sum(BytesSrcToDest) from NTANetAnalytics "
            "where SubType = 'FlowLog' and TimeGenerated > timestamp '2026-02-01' group by all"
        ).fetchall()
        public = connection.execute("select distinct ip from public_addresses_daily").fetchall()

    def key(row: Tuple) -> Row:
        return (
            {"I": "Inbound", "O": "Outbound"}[row.direction],
            {"A": "Allowed", "D": "Denied"}[row.decision],
            {6: "T", 17: "U"}[row.protocol],
        )

    expected: list[Row] = []
    for at, group in grouped(rows, key).items():
        new, ended = sums(group)[0], sums(group)[5]
        ways = [
            new if at[:2] == way else 0
            for way in product(("Inbound", "Outbound"), ("Allowed", "Denied"))
        ]
        expected.append((*at, *ways, ended, sums(group)[7]))
    assert in_order(found) == in_order(expected)
    strangers = {
        row.remote for row in rows if (KNOWN[row.remote] or ("",))[0] in ("public", "azure")
    }
    assert {ip for (ip,) in public} == strangers
