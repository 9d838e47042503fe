"""The tables about rules and open ports held against plain Python, over drawn flows of many seeds.

Belongs here: drawing flows with rules, counting them again without SQL, and comparing. The SQL is
dbt's own, compiled once and run over a table of the drawn flows, day by day as the pipeline does.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import pytest

from flow_pipeline.enrichment.address_class import AddressClass, class_of
from tests.integration.drawn_tables import replace_flows

pytestmark = pytest.mark.integration

SEEDS = range(60)
FIRST = datetime(2026, 3, 1)
DAYS = [FIRST.date() + timedelta(days=n) for n in range(3)]
DAILY = ("rules_daily", "allowed_daily", "malicious_daily")
VIEWS = ("rules", "open_ports", "broad_rules", "rule_replay")
KINDS = {
    "UserRule_web": "user", "UserRule": "user", "DefaultRule_DenyAllInBound": "default",
    "PlatformRule": "platform", "Admins_{0f}": "other", None: "other",
}  # fmt: skip
STRANGERS = [f"{first}.{second}.1.7" for first in (20, 51, 93, 198) for second in range(9)]
OTHERS = ["10.9.9.9", "168.63.129.16", "100.64.0.9", "fd00::1", "2607:f8b0::5", "2607:f8b0::6"]
NETWORKS = {
    "20.1.1.7": ("office", None),
    "51.1.1.7": (None, "STORAGE"),
    "93.1.1.7": ("home", "SQL"),
}
NOT_INTERNET = set(AddressClass) - {
    AddressClass.PUBLIC, AddressClass.AZURE, AddressClass.DOCUMENTATION,
}  # fmt: skip
Row = tuple[Any, ...]


class Flow(NamedTuple):
    """As `fct_flows` has it; the names are its columns."""

    date: Any
    flow_time: datetime
    acl_id: str | None
    rule: str | None
    direction: str
    decision: str
    mac: str | None
    src_ip: str
    dst_ip: str
    src_country: str | None
    dst_country: str | None
    protocol: int
    dst_port: int
    service: str | None
    flow_state: str | None
    is_new_flow: bool
    is_malicious: bool
    packets_dst_to_src: int | None
    bytes_src_to_dst: int | None
    bytes_dst_to_src: int | None

    @property
    def acl(self) -> str:
        return (self.acl_id or "").lower()

    @property
    def by(self) -> str:
        return self.rule or ""

    @property
    def ends(self) -> tuple[str, str]:
        """The interface's own address, and the other."""
        return (self.dst_ip, self.src_ip) if self.direction == "I" else (self.src_ip, self.dst_ip)

    @property
    def remote(self) -> str:
        return self.ends[1]

    @property
    def remote_country(self) -> str | None:
        return self.src_country if self.direction == "I" else self.dst_country

    @property
    def nic(self) -> tuple[str, str]:
        return (self.mac or "").upper(), self.ends[0]


def country_of(address: str) -> str | None:
    return {"2": "US", "5": "NL", "9": "CN"}.get(address[0])


def draw(seed: int) -> list[Flow]:
    """Flows of few rules, ports and ends, so that many share a row."""
    dice = random.Random(seed)
    remotes = dice.sample(STRANGERS, dice.choice([3, 30])) + dice.sample(OTHERS, 3)
    rules = dice.choice([list(KINDS), ["UserRule_web"]])
    flows: list[Flow] = []
    for _ in range(dice.randint(1, 250)):
        at = FIRST + timedelta(seconds=dice.randrange(3 * 86_400))
        own, remote = dice.choice(["10.0.0.4", "10.0.0.5"]), dice.choice(remotes)
        is_inbound = dice.random() < 0.7
        src, dst = (remote, own) if is_inbound else (own, remote)
        port, state = dice.choice([53, 80]), dice.choice([None, "B", "C", "E"])
        counters = [dice.choice([None, 0, 7]) for _ in range(3)]
        flows.append(
            Flow(
                at.date(), at, dice.choice(["/NSG/A", "/nsg/a", "/nsg/B", None]),
                dice.choice(rules), "I" if is_inbound else "O", dice.choice("AD"),
                dice.choice(["000d3a", "000D3A", None]), src, dst, country_of(src),
                country_of(dst), dice.choice([6, 17]), port, "domain" if port == 53 else None,
                state, state in (None, "B"), remote[-3] == "1" and dice.random() < 0.7, *counters,
            )
        )  # fmt: skip
    return flows


# ------------------------------------------------------------------------------------ without SQL


def groups(flows: Iterable[Flow], key: Callable[[Flow], Row]) -> dict[Row, list[Flow]]:
    found: dict[Row, list[Flow]] = defaultdict(list)
    for flow in flows:
        found[key(flow)].append(flow)
    return found


def new(flows: Iterable[Flow]) -> list[Flow]:
    return [flow for flow in flows if flow.is_new_flow]


def counts(flows: list[Flow]) -> tuple[int, int, int]:
    return len(new(flows)), len(flows), sum(flow.is_malicious for flow in new(flows))


def known_bytes(flows: list[Flow]) -> int | None:
    known = [
        size
        for flow in flows
        for size in (flow.bytes_src_to_dst, flow.bytes_dst_to_src)
        if size is not None
    ]
    return sum(known) if known else None


def span(flows: list[Flow]) -> tuple[datetime, datetime]:
    return min(f.flow_time for f in flows), max(f.flow_time for f in flows)


def answered(flows: list[Flow]) -> bool | None:
    told = [
        flow.packets_dst_to_src > 0
        for flow in flows
        if flow.flow_state in ("C", "E") and flow.packets_dst_to_src is not None
    ]
    return any(told) if told else None


def country(flows: list[Flow]) -> str | None:
    return max((f.remote_country for f in flows if f.remote_country), default=None)


def wide(address: str) -> str:
    mark = ":" if ":" in address else "."
    return mark.join(address.split(mark)[:2])


def is_stranger(address: str) -> bool:
    return class_of(address) not in NOT_INTERNET


def listed(flows: list[Flow]) -> set[str]:
    return {flow.remote for flow in flows if flow.is_malicious}


def expected_rules_daily(flows: list[Flow]) -> list[Row]:
    found = groups(flows, lambda f: (f.date, f.acl, f.by, f.direction, f.decision))
    return [
        (
            *key, *counts(group), known_bytes(group), len({f.src_ip for f in group}),
            len({f.dst_ip for f in group}), len({(f.protocol, f.dst_port) for f in group}),
            *span(group),
        )
        for key, group in found.items()
    ]  # fmt: skip


def allowed(flows: list[Flow]) -> list[Flow]:
    return [flow for flow in flows if flow.decision == "A"]


def expected_allowed_daily(flows: list[Flow]) -> list[Row]:
    found = groups(
        allowed(flows),
        lambda f: (f.date, f.acl, f.by, f.direction, *f.nic, f.remote, f.protocol, f.dst_port),
    )
    return [
        (
            *key[:7], country(group), *key[7:], group[0].service, *counts(group),
            bool(listed(group)), known_bytes(group), answered(group), *span(group),
        )
        for key, group in found.items()
    ]  # fmt: skip


def expected_malicious_daily(flows: list[Flow]) -> list[Row]:
    found = groups(
        (f for f in flows if f.is_malicious),
        lambda f: (f.date, f.direction, f.decision, *f.nic, f.acl, f.by, f.remote_country),
    )
    return [
        (*key, *counts(group)[:2], known_bytes(group), len(listed(group)), *span(group))
        for key, group in found.items()
    ]


def expected_rules(flows: list[Flow]) -> list[Row]:
    days = {flow.date for flow in flows}
    rows: list[Row] = []
    for (acl, rule), group in groups(flows, lambda f: (f.acl, f.by)).items():
        first, last = span(group)
        hits = [
            [f for f in new(group) if f.decision == decision and (f.is_malicious or not is_listed)]
            for is_listed in (False, True)
            for decision in "AD"
        ]
        rows.append((
            acl, rule, KINDS[rule or None], first, last, (max(days) - last.date()).days,
            len({f.date for f in group}), len(days), *counts(group)[:2], *map(len, hits),
        ))  # fmt: skip
    return rows


def let_in(flows: list[Flow]) -> list[Flow]:
    return [f for f in allowed(flows) if f.direction == "I" and is_stranger(f.remote)]


def expected_open_ports(flows: list[Flow]) -> list[Row]:
    rows: list[Row] = []
    for key, group in groups(
        let_in(flows), lambda f: (*f.nic, f.protocol, f.dst_port, f.acl, f.by)
    ).items():
        # Whether one was answered is told day by day.
        told = {k: answered(g) for k, g in groups(group, lambda f: (f.date, f.remote)).items()}
        is_answered = True if True in told.values() else False if False in told.values() else None
        rows.append((
            *key, group[0].service, *span(group), *counts(group), known_bytes(group),
            len({f.remote for f in group}), len(listed(group)),
            len({f.remote_country for f in group if f.remote_country}),
            len({remote for (_, remote), it in told.items() if it}), is_answered,
            min(listed(group) or {f.remote for f in group}),
        ))  # fmt: skip
    return rows


def expected_broad_rules(flows: list[Flow]) -> list[Row]:
    rows: list[Row] = []
    of_users = [f for f in let_in(flows) if KINDS[f.rule] == "user"]
    for key, group in groups(of_users, lambda f: (f.acl, f.by)).items():
        sources = {f.remote for f in group}
        networks = {wide(source) for source in sources}
        fresh, _, malicious = counts(group)
        rows.append((
            *key, *span(group), len(sources), len(networks),
            len({f.remote_country for f in group if f.remote_country}), len(listed(group)),
            len(listed(group)) / len(sources), len({f.ends[0] for f in group}),
            len({(f.protocol, f.dst_port) for f in group}), min(f.dst_port for f in group),
            max(f.dst_port for f in group), fresh, malicious, known_bytes(group),
            len(networks) >= 20,
        ))  # fmt: skip
    return rows


def expected_rule_replay(flows: list[Flow]) -> list[Row]:
    denied: dict[Row, Counter[str]] = defaultdict(Counter)
    for flow in flows:
        if flow.decision == "D":
            denied[flow.acl, flow.direction][flow.by] += flow.is_new_flow
    of_ports = groups(allowed(flows), lambda f: (f.acl, f.direction, f.protocol, f.dst_port))

    def network(flow: Flow) -> str:
        named, service = NETWORKS.get(flow.remote, (None, None))
        return named or service or wide(flow.remote)

    rows: list[Row] = []
    for key, group in groups(
        allowed(flows), lambda f: (f.acl, f.by, f.direction, f.protocol, f.dst_port, network(f))
    ).items():
        acl, rule, direction, protocol, port, _ = key
        others = {f.by for f in of_ports[acl, direction, protocol, port]} - {rule}
        # With more than one of them it is the first by name, or the last if that is ours.
        names = sorted({rule, *others})
        other = None if not others else names[0] if names[0] != rule else names[-1]
        most = sorted(denied[acl, direction].items(), key=lambda item: (-item[1], item[0]))
        rows.append((
            *key, group[0].service, *span(group), *counts(group), known_bytes(group),
            len({f.remote for f in group}), len(listed(group)), len({f.ends[0] for f in group}),
            len(others), other, most[0][0] if most else None,
        ))  # fmt: skip
    return rows


EXPECTED: dict[str, Callable[[list[Flow]], list[Row]]] = {
    "rules_daily": expected_rules_daily,
    "allowed_daily": expected_allowed_daily,
    "malicious_daily": expected_malicious_daily,
    "rules": expected_rules,
    "open_ports": expected_open_ports,
    "broad_rules": expected_broad_rules,
    "rule_replay": expected_rule_replay,
}


# --------------------------------------------------------------------------------------- with SQL


def tables_of(flows: list[Flow], compiled: dict[str, str]) -> dict[str, list[Row]]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute(
            "create table dim_ip (ip varchar, network varchar, azure_service varchar)"
        )
        for ip, known in NETWORKS.items():
            connection.execute("insert into dim_ip values (?, ?, ?)", [ip, *known])
        for number, day in enumerate(DAYS):
            rows = [flow for flow in flows if flow.date == day]
            columns = {name: [getattr(row, name) for row in rows] for name in Flow._fields}
            replace_flows(connection, columns, compiled)
            for name in DAILY:
                way = f"insert into {name}" if number else f"create table {name} as"
                connection.execute(f"{way} {compiled[name]}")
        for name in VIEWS:
            connection.execute(f"create view {name} as {compiled[name]}")
        return {name: connection.execute(f"select * from {name}").fetchall() for name in EXPECTED}


def in_order(rows: list[Row]) -> list[str]:
    """Rows as text, for nulls have no order."""
    return sorted(map(repr, rows))


@pytest.mark.timeout(300)
def test_every_table_about_rules_is_what_plain_python_counts(compiled: dict[str, str]) -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        flows = draw(seed)
        found = tables_of(flows, compiled)
        for name, expected in EXPECTED.items():
            assert in_order(found[name]) == in_order(expected(flows)), (seed, name)
        seen.update(f"answered: {row[-2]}" for row in found["open_ports"])
        seen.update(f"broad: {row[-1]}" for row in found["broad_rules"])
        seen.update(f"since: {row[5]}" for row in found["rules"])
        seen.update(f"denied: {row[-1] is None}" for row in found["rule_replay"])
    # What was drawn has each of the cases, so that the rules were asked.
    assert {
        "answered: True", "answered: False", "answered: None", "broad: True", "broad: False",
        "since: 0", "since: 1", "denied: True", "denied: False",
    } <= set(seen)  # fmt: skip
