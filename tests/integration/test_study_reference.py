"""The study's tables held against plain Python, over randomised flows of many seeds.

Belongs here: drawing flows, counting them again without SQL, and comparing. The SQL is dbt's own,
compiled once and run over a table of the drawn flows, day by day as the pipeline does.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any, TypeVar

import duckdb
import pytest

from tests.integration.drawn_tables import replace_flows

pytestmark = pytest.mark.integration

Key = TypeVar("Key")

SEEDS = range(60)
FIRST = datetime(2026, 3, 1)
DAYS = [FIRST.date() + timedelta(days=n) for n in range(3)]
HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
EXCLUDED = {3389, 22}
# Not strangers: the networks that RFCs keep from the internet, and Azure's platform.
NOT_STRANGERS = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32",
        "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "224.0.0.0/3", "::/3", "4000::/2", "8000::/1", "2001::/23",
    )
]  # fmt: skip
ADDRESSES = [
    "198.51.100.7", "198.51.100.70", "100.63.255.9", "100.64.0.9", "100.127.9.9", "100.128.0.1",
    "172.15.0.1", "172.16.0.1", "172.31.9.9", "172.32.0.1", "169.254.169.254", "168.63.129.16",
    "168.63.129.160", "192.168.7.7", "11.0.0.1", "223.9.9.9", "224.0.0.1", "2001:db8::1",
    "fd00::1", "fe80::1", "ff02::1", "2607:f8b0::5", "10.9.9.9", "198.19.7.7", "100::7",
]  # fmt: skip
DAILY = (
    "nic_contacts_daily", "nic_sources_daily", "ports_daily", "services_daily", "protocols_daily",
    "sources_daily",
)  # fmt: skip
VIEWS = (
    "nic_first_contacts",
    "new_ports",
    "countries_daily",
    "origins_daily",
    "concentration_daily",
)
# What is known of an address: autonomous system, organisation, Azure region and service, scanner.
KNOWN: dict[str, tuple[Any, ...]] = {
    "198.51.100.7": (64500, "Net", None, None, None),
    "198.51.100.70": (64500, "Net", None, None, "Censys"),
    "100.63.255.9": (64500, "Net", None, None, None),
    "172.15.0.1": (64501, None, None, None, None),
    "11.0.0.1": (8075, "Microsoft", "westeurope", "STORAGE", None),
    "223.9.9.9": (8075, "Microsoft", "westeurope", "AZURECLOUD", None),
    "2607:f8b0::5": (8075, "Microsoft", "westeurope", "STORAGE", None),
}
SERVICES = {22: "ssh", 80: "http", 3389: "rdp", 8080: "http"}


@dataclass(frozen=True)
class Flow:
    at: datetime
    recorded_at: datetime
    mac: str
    ip: str
    remote: str
    is_inbound: bool
    port: int
    protocol: int
    is_allowed: bool
    is_new: bool
    is_malicious: bool
    is_attempt: bool
    is_counted: bool

    @property
    def source(self) -> str:
        return self.remote if self.is_inbound else self.ip

    @property
    def is_probe(self) -> bool:
        return self.is_inbound and is_stranger(self.remote)

    @property
    def row(self) -> tuple[Any, ...]:
        ends = (self.remote, self.ip) if self.is_inbound else (self.ip, self.remote)
        return (
            self.at.date(), self.at.hour, self.at, self.recorded_at, self.mac, *ends, self.port,
            self.protocol, SERVICES.get(self.port), "I" if self.is_inbound else "O",
            "A" if self.is_allowed else "D", self.is_new, self.is_malicious,
            country_of(self.source), self.is_attempt, self.is_counted,
        )  # fmt: skip


NAMES = (
    "date", "hour", "flow_time", "record_time", "mac", "src_ip", "dst_ip", "dst_port", "protocol",
    "service", "direction", "decision", "is_new_flow", "is_malicious", "src_country",
    "is_attempt", "is_counted",
)  # fmt: skip


@cache
def is_stranger(address: str) -> bool:
    return not any(ip_address(address) in network for network in NOT_STRANGERS)


def country_of(address: str) -> str | None:
    return {"1": "CN", "2": "NL"}.get(address[0])


@dataclass(frozen=True)
class Drawn:
    flows: list[Flow]
    online: dict[str, datetime]
    logs_begin: datetime


def draw(seed: int) -> Drawn:
    """Some machines over three days, each with a beginning of its own."""
    dice = random.Random(seed)
    flows: list[Flow] = []
    online: dict[str, datetime] = {}
    for number in range(dice.randint(1, 4)):
        mac, ip = f"000D3A00000{number}", f"10.0.0.{number + 4}"
        begin = FIRST + dice.choice([0, 30, 60, 3_600, 90_000]) * timedelta(seconds=1)
        alive = begin + dice.choice([0, 20, 600, 100_000, 10**7]) * timedelta(seconds=1)
        if dice.random() < 0.4:
            known = begin + dice.choice([-60, 5, 700, 86_400, 120_000]) * timedelta(seconds=1)
            online[dice.choice([mac, ip])] = known
        known_addresses = dice.sample(ADDRESSES, dice.randint(3, len(ADDRESSES)))
        for _ in range(dice.randint(5, 120)):
            span = dice.choice([MINUTE, HOUR, 2 * DAY])
            at = begin + dice.random() * span
            # Whole seconds, whole hours and the ends of a day are where rules break.
            at = dice.choice([at, at.replace(microsecond=0), at.replace(minute=0, second=0)])
            at = at.replace(microsecond=at.microsecond // 1000 * 1000)
            if at.date() not in DAYS:
                continue
            is_inbound = at < alive or dice.random() < 0.6
            recorded_at = at.replace(second=0, microsecond=0) + MINUTE
            remote, port = dice.choice(known_addresses), dice.choice([22, 80, 3389, 8080, 50_000])
            is_new = dice.random() < 0.8
            flow = Flow(
                at, recorded_at, mac, ip, remote, is_inbound, port, dice.choice([6, 17]),
                dice.random() < 0.5, is_new, is_inbound and remote[-1] in "179",
                is_new and dice.random() < 0.7, dice.random() < 0.9,
            )  # fmt: skip
            # Now and then a burst, and one that comes again just an hour later.
            copies = 130 if dice.random() < 0.02 else 1
            flows += [flow] * copies
            if dice.random() < 0.2 and (at + HOUR).date() in DAYS:
                late = recorded_at + HOUR
                flows.append(Flow(at + HOUR, late, *list(vars(flow).values())[2:]))
    return Drawn(flows, online, FIRST + dice.choice([0, 1]) * HOUR)


# ------------------------------------------------------------------------------------ without SQL


def groups(flows: Iterable[Flow], key: Callable[[Flow], Key]) -> dict[Key, list[Flow]]:
    found: dict[Key, list[Flow]] = defaultdict(list)
    for flow in flows:
        found[key(flow)].append(flow)
    return found


def first(flows: Iterable[Flow]) -> datetime | None:
    return min((flow.at for flow in flows), default=None)


def is_too_late(
    flows: list[Flow], outbound: list[Flow], online: datetime | None, logs_begin: datetime
) -> bool:
    if online is not None:
        return online < logs_begin
    first_record = min(flow.recorded_at for flow in flows)
    is_alive_in_it = any(flow.recorded_at == first_record for flow in outbound)
    return is_alive_in_it or min(flow.at for flow in flows) < logs_begin + MINUTE


def expected_first_contacts(drawn: Drawn) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for (mac, ip), flows in groups(drawn.flows, lambda flow: (flow.mac, flow.ip)).items():
        probes = [flow for flow in flows if flow.is_probe]
        outbound = [flow for flow in flows if not flow.is_inbound]
        times = [drawn.online[nic] for nic in (mac, ip) if nic in drawn.online]
        # A time is known from its day on, where there is a flow of that day or later.
        known = [time for time in times if max(f.at for f in flows).date() >= time.date()]
        online = min(known, default=None)
        came = online or first(outbound)
        first_probe = first(probes)
        early = [flow for flow in probes if came is None or flow.at < came]
        prober = min((f.remote for f in probes if f.at == first_probe), default=None)
        visits = sorted(flow.at for flow in probes if flow.remote == prober)
        returned = next((b for a, b in pairwise(visits) if b - a >= HOUR), None)
        seconds = None
        if came is not None and first_probe is not None:
            distance = first_probe - came
            seconds = int(abs(distance) / timedelta(seconds=1)) * (-1 if distance < 0 * HOUR else 1)
        if came is None:
            verdict = "never_online"
        elif is_too_late(flows, outbound, online, drawn.logs_begin):
            verdict = "logs_begin_too_late"
        elif early:
            verdict = "probed_before_online"
        else:
            verdict = "not_probed_before_online"
        rows.append((
            mac, ip, min(f.at for f in flows), first_probe, prober, returned,
            first(f for f in probes if f.is_allowed), first(f for f in probes if f.is_malicious),
            first(outbound), online, came, seconds, sum(f.is_new for f in early),
            len({f.remote for f in early}), verdict,
        ))  # fmt: skip
    return rows


def measures(flows: list[Flow]) -> tuple[int, ...]:
    new = [flow for flow in flows if flow.is_new]
    return (
        len(new),
        len(flows),
        sum(flow.is_allowed for flow in new),
        sum(not flow.is_allowed for flow in new),
        sum(flow.is_malicious for flow in new),
        len({flow.source for flow in flows}),
        len({flow.source for flow in new if flow.is_allowed}),
        len({flow.source for flow in new if not flow.is_allowed}),
        sum(flow.is_attempt for flow in new),
        sum(flow.is_counted for flow in new),
    )


def way(flow: Flow) -> str:
    return "I" if flow.is_inbound else "O"


def expected_ports(drawn: Drawn) -> list[tuple[Any, ...]]:
    found = groups(drawn.flows, lambda f: (f.at.date(), way(f), f.protocol, f.port))
    return [
        (*key, SERVICES.get(key[3]), key[3] in EXCLUDED, *measures(flows))
        for key, flows in found.items()
    ]


def expected_services(drawn: Drawn) -> list[tuple[Any, ...]]:
    found = groups(
        drawn.flows,
        lambda f: (f.at.date(), way(f), f.protocol, SERVICES.get(f.port), f.port in EXCLUDED),
    )
    return [(*key, *measures(flows)) for key, flows in found.items()]


def expected_protocols(drawn: Drawn) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for has_excluded in (True, False):
        flows = [flow for flow in drawn.flows if has_excluded or flow.port not in EXCLUDED]
        found = groups(flows, lambda f: (f.at.date(), way(f), f.protocol))
        rows += [(*key, has_excluded, *measures(group)) for key, group in found.items()]
    return rows


def expected_new_ports(drawn: Drawn) -> list[tuple[Any, ...]]:
    newest = max(flow.at.date() for flow in drawn.flows)
    earlier = [flow for flow in drawn.flows if flow.at.date() < newest]
    days = {flow.at.date() for flow in earlier}
    before = groups(earlier, lambda f: (way(f), f.protocol, f.port))
    rows: list[tuple[Any, ...]] = []
    today = [flow for flow in drawn.flows if flow.at.date() == newest]
    for key, flows in groups(today, lambda f: (way(f), f.protocol, f.port)).items():
        old = before.get(key, [])
        mean = sum(f.is_new for f in old) / len(days) if days else None
        is_new = not old if days else None
        last = max((f.at.date() for f in old), default=None)
        rows.append((
            newest, *key, SERVICES.get(key[2]), key[2] in EXCLUDED, sum(f.is_new for f in flows),
            len({f.source for f in flows}), last, len(days), len(days), mean, is_new, is_new,
        ))  # fmt: skip
    return rows


def bursts(drawn: Drawn) -> set[tuple[date, str]]:
    new = [flow for flow in drawn.flows if flow.is_probe and flow.is_new]
    of_hour = Counter(flow.at.replace(minute=0, second=0, microsecond=0) for flow in new)
    of_source = Counter(
        (flow.at.replace(minute=0, second=0, microsecond=0), flow.remote) for flow in new
    )
    return {
        (hour.date(), source)
        for (hour, source), count in of_source.items()
        if count >= 100 and count * 20 >= of_hour[hour]
    }


def expected_sources(drawn: Drawn) -> list[tuple[Any, ...]]:
    marked = bursts(drawn)
    probes = [flow for flow in drawn.flows if flow.is_probe]
    rows: list[tuple[Any, ...]] = []
    for (day, source), flows in groups(probes, lambda f: (f.at.date(), f.remote)).items():
        hours = Counter(flow.at.hour for flow in flows if flow.is_new)
        new, tuples, allowed, denied, malicious, *_, attempts, _ = measures(flows)
        rows.append((
            day, source, country_of(source), malicious > 0, new, tuples, attempts, allowed, denied,
            malicious, min(f.at for f in flows), max(f.at for f in flows),
            max(hours.values(), default=0),
            (day, source) in marked,
        ))  # fmt: skip
    return rows


def expected_countries(drawn: Drawn) -> list[tuple[Any, ...]]:
    marked = bursts(drawn)
    probes = [flow for flow in drawn.flows if flow.is_probe]
    of_day = Counter(flow.at.date() for flow in probes if flow.is_new)
    rows: list[tuple[Any, ...]] = []
    for (day, country), flows in groups(
        probes, lambda f: (f.at.date(), country_of(f.remote))
    ).items():
        new, _, allowed, denied, malicious, sources, *_, attempts, _ = measures(flows)
        rows.append((
            day, country, new, attempts, allowed, denied, malicious,
            sum(f.is_new and (day, f.remote) in marked for f in flows), sources,
            len({f.remote for f in flows if f.is_new and f.is_malicious}),
            len({f.remote for f in flows if (day, f.remote) in marked}),
            new / of_day[day] if of_day[day] else None, malicious / new if new else None,
        ))  # fmt: skip
    return rows


def expected_origins(drawn: Drawn) -> list[tuple[Any, ...]]:
    marked = bursts(drawn)

    def key(flow: Flow) -> tuple[Any, ...]:
        day = flow.at.date()
        known = KNOWN.get(flow.remote, (None,) * 5)
        return day, country_of(flow.remote), *known, (day, flow.remote) in marked

    rows: list[tuple[Any, ...]] = []
    for at, flows in groups((flow for flow in drawn.flows if flow.is_probe), key).items():
        new, tuples, allowed, denied, malicious, sources, *_, attempts, _ = measures(flows)
        listed = {flow.remote for flow in flows if flow.is_new and flow.is_malicious}
        rows.append((
            *at, new, tuples, attempts, allowed, denied, malicious, sources, len(listed),
        ))  # fmt: skip
    return rows


def expected_concentration(drawn: Drawn) -> list[tuple[Any, ...]]:
    marked = bursts(drawn)
    rows: list[tuple[Any, ...]] = []
    for is_without in (False, True):
        kept = [
            flow
            for flow in drawn.flows
            if flow.is_probe and not (is_without and (flow.at.date(), flow.remote) in marked)
        ]
        for day, flows in groups(kept, lambda f: f.at.date()).items():
            of_source = {f.remote: 0 for f in flows}
            for flow in flows:
                of_source[flow.remote] += flow.is_new
            counts = sorted(of_source.values(), reverse=True)
            total = sum(counts)
            shares = [sum(counts[:n]) / total if total else None for n in (1, 10, 100)]
            squares = sum((n / total) ** 2 for n in counts) if total else None
            rows.append((day, is_without, len(counts), total, *shares, squares))
    return rows


EXPECTED: dict[str, Callable[[Drawn], list[tuple[Any, ...]]]] = {
    "nic_first_contacts": expected_first_contacts,
    "ports_daily": expected_ports,
    "services_daily": expected_services,
    "protocols_daily": expected_protocols,
    "new_ports": expected_new_ports,
    "sources_daily": expected_sources,
    "countries_daily": expected_countries,
    "origins_daily": expected_origins,
    "concentration_daily": expected_concentration,
}


# --------------------------------------------------------------------------------------- with SQL


def tables_of(drawn: Drawn, compiled: dict[str, str]) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        ports = ", ".join(map(str, sorted(EXCLUDED)))
        connection.execute(f"set variable top_excluded_ports = [{ports}]")
        connection.execute("create table coverage_hourly (written_date date, written_hour integer)")
        begin = drawn.logs_begin
        connection.execute("insert into coverage_hourly values (?, ?)", [begin.date(), begin.hour])
        for number, day in enumerate(DAYS):
            rows = [flow.row for flow in drawn.flows if flow.at.date() == day]
            columns = {name: [row[n] for row in rows] for n, name in enumerate(NAMES)}
            replace_flows(connection, columns, compiled)
            end = datetime.combine(day, datetime.min.time()) + DAY
            known = ", ".join(
                f"{{'nic': '{nic}', 'online_at': timestamp '{time}'}}"
                for nic, time in drawn.online.items()
                if time < end
            )
            connection.execute(f"set variable online_times = [{known}]")
            for name in DAILY:
                way = f"insert into {name}" if number else f"create table {name} as"
                connection.execute(f"{way} {compiled[name]}")
        connection.execute(
            "create table dim_ip (ip varchar, asn bigint, organisation varchar, "
            "azure_region varchar, azure_service varchar, scanner varchar)"
        )
        connection.executemany(
            "insert into dim_ip values (?, ?, ?, ?, ?, ?)",
            [[ip, *known] for ip, known in KNOWN.items()],
        )
        for name in VIEWS:
            connection.execute(f"create view {name} as {compiled[name]}")
        return {name: connection.execute(f"select * from {name}").fetchall() for name in EXPECTED}


def in_order(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows as text, for nulls have no order; shares to nine digits, as sums of them may differ."""
    return sorted(
        repr(tuple(f"{cell:.9f}" if isinstance(cell, float) else cell for cell in row))
        for row in rows
    )


@pytest.mark.timeout(300)
def test_every_table_is_what_plain_python_counts(compiled: dict[str, str]) -> None:
    verdicts: Counter[str] = Counter()
    marked = 0
    for seed in SEEDS:
        drawn = draw(seed)
        found = tables_of(drawn, compiled)
        for name, expected in EXPECTED.items():
            rows = expected(drawn)
            assert in_order(found[name]) == in_order(rows), (seed, name)
        verdicts.update(row[-1] for row in found["nic_first_contacts"])
        marked += sum(row[-1] for row in found["sources_daily"])
    # What was drawn has each of the cases, so that the rules were asked.
    assert len(verdicts) == 4
    assert marked > 10
