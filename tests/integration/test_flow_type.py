"""How flows are called, held against plain Python: sixty hours of random flows, a seed for each.

The reference shares no code with the pipeline: it decides flow by flow with `ipaddress`,
from the same lists, rule by rule as docs/how-to/networks.md has them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from random import Random
from typing import Any

import pytest

from flow_pipeline.pipeline import Pipeline
from tests.integration.lakes import ask, bring_up_to_date, failures_of, pipeline_over
from tests.unit.blobs import ms, put

pytestmark = pytest.mark.integration

START = datetime(2026, 11, 1)
HOUR = timedelta(hours=1)
SEEDS = 60

NETWORKS = [
    ("10.0.0.0/8", "office", "site"),
    ("10.1.0.0/16", "hub", "vnet"),
    ("10.1.2.0/24", "front", "subnet"),
    ("10.2.0.0/16", "Spoke", "vnet"),
    ("10.3.1.0/24", "lost", "subnet"),
    ("172.20.0.0/24", "clients", "p2s"),
    ("203.0.113.16/28", "gateway", "public"),
    ("fd00:1::/32", "hub", "vnet"),
    # Public addresses that a virtual network uses.
    ("198.51.100.0/24", "hub", "vnet"),
]
AZURE = ["20.0.0.0/8", "2603:1030::/32", "203.0.113.0/26"]
LISTED = ["8.8.4.0/24", "20.1.2.3", "2a00:1::1", "45.1.1.1"]
ENDS = [
    "168.63.129.16", "169.254.169.254", "224.0.0.1", "ff02::1", "10.1.0.4", "10.1.2.4", "10.1.2.5",
    "10.2.0.4", "10.3.1.4", "10.200.0.1", "172.20.0.7", "172.21.0.1", "172.21.0.2", "172.21.0.3",
    "192.168.1.4", "192.168.1.5", "100.64.0.4", "100.64.0.5", "fd00:1::4", "fd00:9::4", "fd00:9::5",
    "203.0.113.17", "203.0.113.60", "203.0.113.90", "198.51.100.7", "20.1.2.3", "20.9.9.9",
    "2603:1030::1", "8.8.4.4", "8.8.8.8", "45.1.1.1", "2a00:1::1", "2a00:1::2", "169.254.7.7",
    "127.0.0.1", "240.0.0.1", "0.0.0.0",
]  # fmt: skip
_GROUP = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network"
TARGETS = [
    f"{_GROUP}/virtualNetworks/Hub",
    f"{_GROUP}/virtualNetworks/Hub".upper(),
    f"{_GROUP}/virtualNetworks/hub/subnets/front",
    f"{_GROUP}/virtualNetworks/spoke",
    # Another of the same name.
    f"{_GROUP.replace('/S/', '/T/')}/virtualNetworks/hub",
    f"{_GROUP}/networkInterfaces/nic",
]


@dataclass(frozen=True)
class Logged:
    """One flow, as far as its type may rest on it."""

    hour: datetime
    src: str
    dst: str
    direction: str
    target: str


def draw(hour: datetime, seed: int) -> list[Logged]:
    """Few hosts an hour, so that ends meet again, in one network or in several."""
    random = Random(seed)
    hosts = random.sample(ENDS, random.randint(4, 20))
    targets = random.sample(TARGETS, random.randint(1, 4))
    flows: list[Logged] = []
    for _ in range(random.randint(1, 60)):
        src, dst = random.choice(hosts), random.choice(hosts)
        flows.append(Logged(hour, src, dst, random.choice("IO"), random.choice(targets)))
    return flows


def write(logs: Path, hour: datetime, flows: list[Logged]) -> None:
    by_target: dict[str, list[Logged]] = defaultdict(list)
    for flow in flows:
        by_target[flow.target].append(flow)
    records: list[Any] = []
    for target, of_target in by_target.items():
        time = ms(hour + timedelta(minutes=5))
        tuples = [
            f"{time},{f.src},{f.dst},{no},443,6,{f.direction},B,NX,0,0,0,0"
            for no, f in enumerate(of_target)
        ]
        group = {"rule": "r", "flowTuples": tuples}
        records.append(
            {
                "time": f"{hour:%Y-%m-%dT%H}:06:00.0000000Z",
                "flowLogVersion": 4,
                "macAddress": "000D3AF87856",
                "category": "FlowLogFlowEvent",
                "targetResourceID": target,
                "flowRecords": {"flows": [{"aclID": "a", "flowGroups": [group]}]},
            }
        )
    put(logs, json.dumps({"records": records}).encode(), hour)


def within(ip: str, *prefixes: str) -> bool:
    address = ip_address(ip)
    networks = [ip_network(prefix) for prefix in prefixes]
    return any(address.version == n.version and address in n for n in networks)


def named(ip: str) -> tuple[str | None, str | None]:
    """Kind of the network that the user has named, and the virtual network in lower case."""
    holding = sorted(
        (each for each in NETWORKS if within(ip, each[0])),
        key=lambda each: -ip_network(each[0]).prefixlen,
    )
    if not holding:
        return None, None
    _, name, kind = holding[0]
    if kind == "subnet":
        return kind, next((n.lower() for _, n, k in holding if k == "vnet"), None)
    return kind, name.lower() if kind == "vnet" else None


class Reference:
    """The types of the flows of one hour."""

    def __init__(self, flows: list[Logged]) -> None:
        self.claims: dict[str, set[str]] = defaultdict(set)
        self.own: set[str] = set()
        for flow in flows:
            ip = flow.dst if flow.direction == "I" else flow.src
            self.own.add(ip)
            parts = flow.target.lower().split("/")
            if "virtualnetworks" in parts:
                self.claims[ip].add("/".join(parts[: parts.index("virtualnetworks") + 2]))

    def place(self, ip: str) -> str:
        kind, _ = named(ip)
        is_private = within(ip, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
        is_shared = within(ip, "100.64.0.0/10")
        rules = [
            (ip in ("168.63.129.16", "169.254.169.254"), "platform"),
            (ip_address(ip).is_multicast, "multicast"),
            (kind is not None, {"subnet": "vnet", "public": "own"}.get(kind or "", kind)),
            ((is_private or is_shared) and ip in self.own, "vnet"),
            (is_private, "private"),
            (is_shared, "shared"),
            # Documentation's.
            (within(ip, "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"), "public"),
            (within(ip, "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "240.0.0.0/4"), "nowhere"),
            (within(ip, *AZURE), "azure"),
            (True, "public"),
        ]
        return next(found for holds, found in rules if holds and found)

    def between(self, *ends: str) -> str:
        listed = [named(ip)[1] for ip in ends]
        logged = [min(self.claims[ip]) if len(self.claims[ip]) == 1 else None for ip in ends]
        if not all(listed):
            names = [each and each.rsplit("/", 1)[1] for each in logged]
            mixed = [a or b for a, b in zip(listed, names, strict=True)]
            listed = logged if all(logged) else mixed
        if not all(listed):
            return "KnownPrivate"
        return "IntraVNet" if listed[0] == listed[1] else "InterVNet"

    def type_of(self, src: str, dst: str) -> str:
        places = {self.place(src), self.place(dst)}
        is_outside = bool(places & {"azure", "public", "own"})
        is_listed = within(src, *LISTED) or within(dst, *LISTED)
        rules = [
            ("platform" in places, "AzurePlatform"),
            ("multicast" in places, "Multicast"),
            (places == {"vnet"}, self.between(src, dst)),
            ("site" in places and not is_outside, "S2S"),
            ("p2s" in places and not is_outside, "P2S"),
            ("azure" in places, "AzurePublic"),
            ("public" in places and is_listed, "MaliciousFlow"),
            ("public" in places, "ExternalPublic"),
            ("own" in places, "OwnPublic"),
            ("shared" in places, "CarrierGrade"),
            (places == {"private", "vnet"}, "UnknownPrivate"),
            (True, "Unknown"),
        ]
        return next(found for holds, found in rules if holds)


@pytest.fixture(scope="module")
def drawn() -> dict[datetime, list[Logged]]:
    return {START + n * HOUR: draw(START + n * HOUR, n) for n in range(SEEDS)}


@pytest.fixture(scope="module")
def pipeline(
    drawn: dict[datetime, list[Logged]], tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    root = tmp_path_factory.mktemp("flow_type")
    for hour, flows in drawn.items():
        write(root / "logs", hour, flows)
    networks = root / "networks.csv"
    lines = [f"{prefix},{name},{kind},\n" for prefix, name, kind in NETWORKS]
    networks.write_text("prefix,name,kind,region\n" + "".join(lines))
    tags = root / "tags.json"
    properties = {"region": "westeurope", "addressPrefixes": AZURE}
    tags.write_text(json.dumps({"values": [{"name": "AzureCloud", "properties": properties}]}))
    feed = root / "listed.txt"
    feed.write_text("\n".join(LISTED))
    built = pipeline_over(
        root / "lake",
        root / "logs",
        networks=networks,
        service_tags=tags,
        threat_feeds=(str(feed),),
    )
    update = bring_up_to_date(built, START, START + SEEDS * HOUR)
    assert failures_of(update.hours) == ()
    return built


def test_every_flow_is_called_as_plain_python_calls_it(
    pipeline: Pipeline, drawn: dict[datetime, list[Logged]]
) -> None:
    expected: Counter[tuple[Any, ...]] = Counter()
    for hour, flows in drawn.items():
        reference = Reference(flows)
        for flow in flows:
            flow_type = reference.type_of(flow.src, flow.dst)
            key = (hour, flow.src, flow.dst, flow.direction, flow.target, flow_type)
            expected[key] += 1
    found: Counter[tuple[Any, ...]] = Counter()
    for *key, count in ask(
        pipeline,
        "select date + hour * interval 1 hour, src_ip, dst_ip, direction, target_resource_id, "
        "flow_type, count(*) from fct_flows group by all",
    ):
        found[tuple(key)] += count
    assert found == expected
    # Every type there is was drawn, or the comparison would be silent about it.
    assert len({key[-1] for key in expected}) == 14


def test_a_list_that_changes_makes_the_flows_stale_and_one_run_mends_them(
    pipeline: Pipeline,
) -> None:
    networks = pipeline.settings.networks
    assert networks is not None
    until = START + SEEDS * HOUR
    assert not [one for one in pipeline.currency("hour").not_current if one.table == "ip_lookup"]
    networks.write_text(networks.read_text() + "192.168.0.0/16,lab,site,\n")
    stale = [one for one in pipeline.currency("hour").not_current if one.table == "ip_lookup"]
    # Each hour of the lake, and the one after the last.
    assert len(stale) == SEEDS + 1
    assert all(one.why.startswith("network_list was networks.csv ") for one in stale)
    assert pipeline.first_stale(START, until) == START
    assert ask(pipeline, "select count(*) from fct_flows where flow_type = 'S2S'") != [(0,)]
    update = bring_up_to_date(pipeline, START, until)
    assert failures_of(update.hours) == ()
    # The hour after the last has no flows, so nothing of it rests on the list.
    changed = [one.when for one in update.hours.partitions["fct_flows"] if one.changed]
    assert changed == [START + n * HOUR for n in range(SEEDS)]
    assert pipeline.currency("hour").not_current == ()
    [(kinds,)] = ask(
        pipeline,
        "select list(distinct flow_type order by flow_type) from fct_flows "
        "where src_ip = '192.168.1.4' and dst_ip in ('172.21.0.1', '10.2.0.4', '10.1.2.4')",
    )
    assert kinds == ["S2S"]
