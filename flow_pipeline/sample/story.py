"""The story of the sample's day: every number that it is made of.

Belongs here: machines, moments, shares, ports, countries and habits, as tables that can be read and
changed without reading any code. Nothing here draws or writes.

Where the numbers come from: the ranking of the ports (3389 left out: 445, 80, 22, 23, 1433, 2323,
5060, 5555), the two machines in West Europe with 3389 open, the million flows of one day and China
as the commonest origin are those of the study of 2018 that this project repeats. The habits behind
them (worms that retransmit, stateless botnets, brute-forcers in campaigns, SIP scanners with a
source port of their own, sweeps) and the long tail are what public telescopes and honeypots have
reported ever since; their shares are round figures chosen to keep the study's ranking. Everything
else, the machines and their subscription above all, is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
DAY_MINUTES = 24 * 60
DAY_MS = DAY_MINUTES * MINUTE_MS

DEFAULT_FLOWS = 1_000_000
DEFAULT_SEED = 2018
# Below this the habits have too few flows to show their ranking.
SMALLEST_FLOWS = 1_000
# Countries have only so many addresses: a larger day has busier sources, not more of them.
MOST_FLOWS_WITH_NEW_SOURCES = 5_000_000

TCP = 6
UDP = 17

# ---------------------------------------------------------------------------------- the machines

SUBSCRIPTION = "3f2a91c4-6b0d-4e57-9c18-d2750ae6b843"
RESOURCE_GROUP = "study-rg"
VNET = "study-vnet"
FLOW_LOG = "study-vnet-flowlog"
REGION = "WESTEUROPE"
FLOW_LOG_GUID = "c1d7e8a2-50f4-4b39-8e6d-7a92b3c4d5e6"


@dataclass(frozen=True)
class Machine:
    """One virtual machine with one NIC. Moments are milliseconds after midnight of the day.

    Its address answers from `address_assigned_ms`; the first probe from the internet comes at
    `first_probe_ms`, while the machine still starts; its own first packet at `first_outbound_ms`.
    """

    name: str
    mac: str
    private_address: str
    system_id: str
    address_assigned_ms: int
    first_probe_ms: int
    first_outbound_ms: int
    weight: int  # its share of the attacks
    clock_ms: int  # where its five-minute clock of C tuples stands
    write_delay_ms: int  # from the end of a minute to the writing of its record, 1 to 4 s


MACHINES = (
    Machine(
        name="study-vm-1",
        mac="000D3A4B17C2",
        private_address="10.0.0.4",
        system_id="8d1f0c5e-93a7-4d26-b1e4-60f27c9a5b38",
        address_assigned_ms=72_000,
        first_probe_ms=79_412,
        first_outbound_ms=468_935,
        weight=53,
        clock_ms=143_271,
        write_delay_ms=1_905,
    ),
    Machine(
        name="study-vm-2",
        mac="000D3A4B1E90",
        private_address="10.0.0.5",
        system_id="f6b23a70-1c9d-4e85-a0d7-3b54e8c1f269",
        address_assigned_ms=151_000,
        first_probe_ms=173_068,
        first_outbound_ms=665_210,
        weight=47,
        clock_ms=57_846,
        write_delay_ms=3_188,
    ),
)

CLOCK_MS = 300_000  # a C tuple comes every five minutes


class Rule(IntEnum):
    """The rules that decide, in the order in which a record of the VNet layout lists them."""

    INTERNET_OUT = 0
    ALLOW_RDP = 1
    DENY_ALL_IN = 2
    PLATFORM_IN = 3
    PLATFORM_OUT = 4


class State(IntEnum):
    """The state of a tuple; D is a denial."""

    B = 0
    C = 1
    E = 2
    D = 3


# -------------------------------------------------------------------------------- where they are

# Households and small firms: where worms and botnets live.
_HOMES: Mapping[str, int] = {
    "CN": 370, "VN": 75, "BR": 72, "RU": 65, "IN": 62, "ID": 48, "TW": 47, "KR": 46, "US": 45,
    "TH": 26, "TR": 28, "IR": 20, "UA": 17, "MX": 15, "EG": 14, "IT": 11, "AR": 10, "MY": 9,
    "JP": 9, "PH": 6, "CO": 5,
}  # fmt: skip
# Rented servers: where brute-forcers work from.
_SERVERS: Mapping[str, int] = {
    "CN": 360, "US": 130, "RU": 110, "NL": 75, "DE": 45, "FR": 42, "KR": 38, "BR": 34, "SG": 30,
    "VN": 28, "IN": 26, "HK": 24, "GB": 20, "UA": 14, "TR": 12, "ID": 12,
}  # fmt: skip
# Those who measure the whole internet, for good or ill.
_SCANNERS: Mapping[str, int] = {
    "US": 400, "NL": 180, "CN": 120, "RU": 90, "GB": 80, "DE": 70, "SG": 30, "FR": 30,
}  # fmt: skip

# ------------------------------------------------------------------------------------ the habits

SHARES_OUT_OF = 10_000
RDP_SHARE = 2_450
PROBE_SHARE = 110
OUTBOUND_SHARE = 160

RDP_PORT = 3389
ANY_PORT = 0  # in a table of ports: any of them, all alike

_ONE_PACKET = (1,)
_EPHEMERAL = (1_024, 65_535)
# Stateless scanners of the zmap kind take their source ports from here.
_SCANNER_PORTS = (32_768, 61_000)
# A SYN that stays unanswered is sent again after 1, 2 and 4 s.
RETRANSMISSIONS_MS = (0, 1_000, 3_000, 7_000)


# Most of the time any port; else one of those that something interesting listens on.
_MANY_PORTS: Mapping[int, int] = {
    ANY_PORT: 600,
    21: 8, 22: 8, 23: 8, 25: 8, 80: 8, 110: 8, 143: 8, 443: 8, 445: 8, 587: 8, 873: 8,
    993: 8, 995: 8, 1080: 8, 1723: 8, 2082: 8, 2083: 8, 3000: 8, 3128: 8, 4443: 8, 4567: 8,
    5000: 8, 5432: 8, 5601: 8, 5672: 8, 5900: 8, 5984: 8, 6443: 8, 7001: 8, 7777: 8,
    8080: 8, 8081: 8, 8443: 8, 8545: 8, 9000: 8, 9090: 8, 9200: 8, 10250: 8, 27017: 8,
    50070: 8,
}  # fmt: skip


@dataclass(frozen=True)
class Habit:
    """How one kind of attacker behaves.

    `share`: its new flows (retransmissions included) out of 10,000. `sources`: addresses in a day
    of a million flows. `ports`: port -> weight. `packets`: weight of one, two, three, four packets
    with one four-tuple. `concentration`: the r-th busiest source has the weight 1/(r + this), 0
    makes all alike. `campaign_minutes`: how long a source is active (shortest, longest), None: all
    day. `source_ports`: least and most, drawn for each attempt or once for each source.
    `sources_per_network`: how many sit side by side. `listed_percent`: how many of its addresses,
    or of its networks, are on the threat list. `sweeps`: every port in its turn, whatever `ports`.
    """

    name: str
    share: int
    sources: int
    countries: Mapping[str, int]
    listed_percent: int
    ports: Mapping[int, int] = field(default_factory=dict[int, int])
    protocol: int = TCP
    packets: tuple[int, ...] = _ONE_PACKET
    concentration: int = 0
    campaign_minutes: tuple[int, int] | None = None
    source_ports: tuple[int, int] = _EPHEMERAL
    keeps_source_port: bool = False
    sources_per_network: int = 1
    listed_by_network: bool = False
    sweeps: bool = False


RDP_BRUTE_FORCE = Habit(
    "rdp brute force",
    share=RDP_SHARE,
    sources=900,
    countries=_SERVERS,
    listed_percent=65,
    ports={RDP_PORT: 1},
    concentration=4,
    campaign_minutes=(12, 720),
)

DENIED_HABITS = (
    Habit(
        "smb worm",
        share=2_000,
        sources=11_000,
        countries=_HOMES,
        listed_percent=38,
        ports={445: 1},
        packets=(8, 22, 45, 25),
        concentration=400,
    ),
    Habit(
        "web crawler",
        share=1_000,
        sources=2_600,
        countries=_SERVERS,
        listed_percent=45,
        ports={
            80: 700, 8080: 100, 443: 55, 8088: 45, 81: 40, 8443: 25, 8000: 15, 8888: 12, 9000: 8,
        },
        packets=(55, 20, 15, 10),
        concentration=60,
        campaign_minutes=(30, 1_200),
    ),
    Habit(
        "ssh brute force",
        share=580,
        sources=1_300,
        countries=_SERVERS,
        listed_percent=70,
        ports={22: 97, 2222: 3},
        packets=(40, 20, 25, 15),
        concentration=20,
        campaign_minutes=(20, 900),
    ),
    Habit(
        "botnet",
        share=1_100,
        sources=13_000,
        countries=_HOMES,
        listed_percent=42,
        ports={23: 480, 2323: 310, 5555: 192, 37215: 42, 7547: 36, 52869: 20, 60001: 12, 9527: 8},
        concentration=900,
    ),
    Habit(
        "database guesser",
        share=470,
        sources=850,
        countries={"CN": 720, "KR": 70, "US": 60, "HK": 60, "RU": 50, "BR": 40},
        listed_percent=55,
        ports={1433: 385, 3306: 75, 1521: 10},
        packets=(30, 20, 30, 20),
        concentration=15,
        campaign_minutes=(15, 600),
    ),
    Habit(
        "sip scanner",
        share=270,
        sources=130,
        countries={"FR": 30, "NL": 25, "DE": 18, "US": 15, "PS": 8, "GB": 8, "CN": 30},
        listed_percent=75,
        ports={5060: 252, 5061: 10, 5070: 5, 5080: 3},
        protocol=UDP,
        concentration=6,
        campaign_minutes=(40, 1_000),
        source_ports=(5_060, 5_160),
        keeps_source_port=True,
    ),
    Habit(
        "amplifier seeker",
        share=280,
        sources=240,
        countries=_SCANNERS,
        listed_percent=50,
        ports={123: 65, 1900: 60, 53: 55, 11211: 40, 161: 25, 389: 20, 137: 15},
        protocol=UDP,
        concentration=10,
        source_ports=_SCANNER_PORTS,
    ),
    Habit(
        "opportunist",
        share=650,
        sources=1_500,
        countries=_SERVERS,
        listed_percent=48,
        ports={
            6379: 115, 5900: 80, 139: 65, 9200: 55, 135: 50, 27017: 45, 21: 45, 25: 40, 2375: 40,
            8291: 35, 5432: 30, 3128: 25, 5985: 20, 110: 15, 1723: 15, 5901: 10, 1080: 10,
        },
        packets=(70, 15, 10, 5),
        concentration=30,
        campaign_minutes=(30, 1_200),
    ),
    Habit(
        "internet-wide scanner",
        share=520,
        sources=320,
        countries=_SCANNERS,
        listed_percent=55,
        ports=_MANY_PORTS,
        source_ports=_SCANNER_PORTS,
        sources_per_network=10,
        listed_by_network=True,
    ),
    Habit(
        "sweep of all ports",
        share=250,
        sources=4,
        countries={"RU": 2, "NL": 1, "BG": 1},
        listed_percent=75,
        campaign_minutes=(35, 140),
        source_ports=(40_000, 60_000),
        keeps_source_port=True,
        sweeps=True,
    ),
)  # fmt: skip

# Two that measure the internet for research say themselves from where (Censys, Shadowserver): one
# packet a port, and never on the threat list.
RESEARCH = Habit(
    "research scanner",
    share=160,
    sources=150,
    countries={},
    listed_percent=0,
    ports=_MANY_PORTS,
    source_ports=_SCANNER_PORTS,
)
RESEARCH_NETWORKS = (
    "162.142.125.0/24", "167.94.138.0/24", "206.168.34.0/24", "64.62.197.0/24", "184.105.139.64/26",
)  # fmt: skip

# Attacks ebb and flow a little over the hours of the day (UTC).
HOURLY_WEIGHTS = (
    97, 95, 98, 102, 106, 108, 109, 107, 105, 104, 103, 102,
    101, 103, 104, 105, 103, 101, 98, 96, 95, 94, 93, 94,
)  # fmt: skip

# ------------------------------------------------------------- what a connection to 3389 looks like


@dataclass(frozen=True)
class Session:
    """A kind of connection: weight, and (least, most) of its length, packets and packet sizes."""

    name: str
    weight: int
    length_ms: tuple[int, int]
    packets_out: tuple[int, int]  # from the one who opened it
    packets_back: tuple[int, int]
    bytes_per_packet_out: tuple[int, int]
    bytes_per_packet_back: tuple[int, int]


RDP_SESSIONS = (
    Session("knock", 180, (90, 900), (2, 3), (1, 2), (54, 66), (54, 66)),
    Session("failed login", 785, (700, 14_000), (9, 31), (7, 26), (95, 190), (110, 240)),
    Session("refused late", 31, (15_000, 110_000), (30, 90), (25, 80), (90, 160), (100, 220)),
    Session("long", 4, (360_000, 5_400_000), (900, 30_000), (1_200, 42_000), (90, 140), (180, 900)),
)
# Allowed by the rule, but the machine still starts: SYNs, and nothing comes back.
RDP_UNANSWERED = Session("unanswered", 1, (9_000, 21_000), (3, 4), (0, 0), (66, 66), (0, 0))

# --------------------------------------------------------------- the traffic of the machine itself


@dataclass(frozen=True)
class Service:
    """A destination that a normal machine talks to. `addresses` are in `networks`, all alike."""

    port: int
    protocol: int
    rule: Rule
    networks: tuple[str, ...]
    session: Session
    has_twins: bool = False


# Azure's virtual address for DNS, health probes and the guest agent, and its metadata service.
PLATFORM_ADDRESS = "168.63.129.16"
_METADATA_ADDRESS = "169.254.169.254"
PLATFORM_NETWORKS = (f"{PLATFORM_ADDRESS}/32", f"{_METADATA_ADDRESS}/32")

# Public addresses of Microsoft: telemetry, storage, sign-in in West Europe, updates, time; then the
# certificate checks of a Windows machine.
SERVICES = (
    Service(53, UDP, Rule.PLATFORM_OUT, PLATFORM_NETWORKS[:1],
            Session("dns", 190, (2, 90), (1, 1), (1, 1), (70, 110), (90, 300))),
    Service(80, TCP, Rule.PLATFORM_OUT, PLATFORM_NETWORKS[:1],
            Session("guest agent", 150, (3, 60), (5, 7), (4, 6), (90, 190), (150, 700))),
    Service(32526, TCP, Rule.PLATFORM_OUT, PLATFORM_NETWORKS[:1],
            Session("host plug-in", 110, (3, 60), (5, 9), (4, 8), (120, 260), (90, 240))),
    Service(80, TCP, Rule.PLATFORM_OUT, PLATFORM_NETWORKS[1:],
            Session("metadata", 40, (2, 30), (5, 6), (4, 5), (80, 130), (150, 500))),
    Service(443, TCP, Rule.INTERNET_OUT, ("13.69.109.130/31", "20.50.201.194/31"),
            Session("telemetry", 260, (900, 9_000), (10, 22), (9, 18), (180, 420), (250, 600)),
            has_twins=True),
    Service(443, TCP, Rule.INTERNET_OUT, ("52.239.140.0/25",),
            Session("storage", 90, (40, 70_000), (8, 60), (8, 70), (120, 900), (200, 900))),
    Service(443, TCP, Rule.INTERNET_OUT, ("40.126.31.0/28", "20.190.159.0/28"),
            Session("sign-in", 60, (120, 4_000), (9, 20), (8, 18), (130, 400), (300, 900))),
    Service(443, TCP, Rule.INTERNET_OUT, ("20.54.24.69/32", "13.107.4.50/32"),
            Session("update", 34, (500, 900_000), (20, 4_000), (30, 9_000), (60, 99), (700, 999))),
    Service(123, UDP, Rule.INTERNET_OUT, ("20.101.57.9/32",),
            Session("time", 26, (10, 40), (1, 1), (1, 1), (90, 90), (90, 90))),
    Service(80, TCP, Rule.INTERNET_OUT, ("192.229.221.95/32",),
            Session("certificate check", 40, (80, 5_000), (5, 8), (4, 7), (80, 160), (200, 900))),
)  # fmt: skip
FIRST_CONTACT = 1  # the machine's first packet goes to the guest agent's endpoint: SERVICES[1]
OUTBOUND_PORTS = (49_152, 65_535)

# Of the flows of a service with twins, those that come as a second, byte-identical one on the same
# socket within the same millisecond: seen in 3 of 48 and 1 of 76 tuples of real blobs.
TWIN_PERCENT = 8

HEALTH_PROBE = Session("health probe", 1, (1, 40), (4, 5), (3, 4), (54, 66), (54, 66))
HEALTH_PROBE_PORT = 59_999

# ---------------------------------------------------------------------------------- the threat list

# Addresses that never appear, as in any real list: for a day of a million flows.
DECOYS = 9_000
DECOY_NETWORKS = 40

# -------------------------------------------------------------------------------------- the writing

# A busy minute is written as several records with one time.
MOST_TUPLES_IN_A_RECORD = 250
# How far the moment of writing strays from one minute to the next.
WRITE_JITTER_MS = 180
