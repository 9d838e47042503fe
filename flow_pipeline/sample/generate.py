"""A generated day as a folder: blobs, threat list, and what is true of them.

Belongs here: putting the parts together and writing files.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from socket import inet_aton

import numpy as np

from flow_pipeline.errors import SettingError
from flow_pipeline.sample.addresses import AddressBook, draw_addresses
from flow_pipeline.sample.blobs import (
    WRITTEN_HOURS,
    Layout,
    SampleBlob,
    container_of,
    is_new_flow,
    resource_directory,
    write_blobs,
)
from flow_pipeline.sample.story import (
    DEFAULT_FLOWS,
    DEFAULT_SEED,
    MACHINES,
    SMALLEST_FLOWS,
    Machine,
    Rule,
    State,
)
from flow_pipeline.sample.traffic import Rows, draw_traffic

THREAT_LIST = "threats.txt"
SUMMARY = "sample.json"
_PORTS_SHOWN = 30


@dataclass(frozen=True)
class MachineSummary:
    """What is true of one machine; moments are times of day, UTC, `HH:MM:SS.mmm`."""

    name: str
    mac: str
    private_address: str
    address_assigned: str
    first_probe: str
    first_outbound: str
    flows: int
    probes_before_first_outbound: int


@dataclass(frozen=True)
class PortSummary:
    """New flows to one destination port, of both directions."""

    port: int
    protocol: int
    flows: int


@dataclass(frozen=True)
class SampleSummary:
    """What is true of a generated day, counted before it was written.

    `flows` are new flows, `tuples` all rows; `allowed`, `denied` and `malicious` (an end is on the
    threat list) are of new flows. `sources` are the distinct addresses that come in from outside,
    the platform's included. `ports` are the commonest 30; `flows_by_hour` is by event hour.
    """

    date: str
    seed: int
    layout: Layout
    flows: int
    tuples: int
    allowed: int
    denied: int
    malicious: int
    blobs: int
    sources: int
    malicious_sources: int
    threat_entries: int
    machines: list[MachineSummary]
    ports: list[PortSummary]
    sources_by_country: dict[str, int]
    flows_by_hour: list[int]


def generate(
    out: Path,
    day: date,
    flows: int = DEFAULT_FLOWS,
    seed: int = DEFAULT_SEED,
    layout: Layout = "vnet",
    on_progress: Callable[[int, int], None] | None = None,
    attackers: Sequence[str] = (),
) -> SampleSummary:
    """Write a day of flow logs under `out`: the container, `threats.txt` and `sample.json`.

    The same arguments give the same bytes on every machine, and the counts do not depend on the
    day. The blobs of an earlier sample in `out` are replaced, nothing else there is touched;
    `sample.json` is written last, so where it is, the sample is whole. `attackers` are IPv4
    addresses (canonical text) that take part in place of drawn ones. `on_progress` gets the written
    hours done, and all of them. Raises SettingError for too few flows or a negative seed.
    """
    sample = _Day(day, flows, seed, layout, attackers)
    (out / SUMMARY).unlink(missing_ok=True)
    old_layouts: tuple[Layout, ...] = ("vnet", "nsg2")
    for every in old_layouts:
        for machine in MACHINES:
            old = out / container_of(every) / resource_directory(every, machine)
            if old.exists():
                shutil.rmtree(old)
    blobs = 0
    for blob in sample.blobs():
        path = out / blob.container / blob.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.content)
        blobs += 1
        if on_progress is not None:
            begun = blob.written_hour - datetime.combine(day, time.min)
            on_progress(begun // timedelta(hours=1) + 1, WRITTEN_HOURS)
    # The last hours of a small day may have no blob.
    if on_progress is not None:
        on_progress(WRITTEN_HOURS, WRITTEN_HOURS)
    summary = sample.summary(blobs)
    (out / THREAT_LIST).write_bytes(_threat_list(sample.book).encode())
    (out / SUMMARY).write_bytes((json.dumps(asdict(summary), indent=2) + "\n").encode())
    return summary


def sample_blobs(
    day: date,
    flows: int = DEFAULT_FLOWS,
    seed: int = DEFAULT_SEED,
    layout: Layout = "vnet",
    attackers: Sequence[str] = (),
) -> Iterator[SampleBlob]:
    """The blobs that `generate` writes, by written hour, without writing them. Raises the same."""
    yield from _Day(day, flows, seed, layout, attackers).blobs()


class _Day:
    """A day's addresses and tuples, drawn."""

    def __init__(
        self, day: date, flows: int, seed: int, layout: Layout, attackers: Sequence[str]
    ) -> None:
        if flows < SMALLEST_FLOWS:
            raise SettingError(
                "--flows",
                f"{flows} is too small a day",
                f"at least {SMALLEST_FLOWS}",
                "Ask for more flows",
            )
        if seed < 0:
            raise SettingError("--seed", f"{seed} is negative", "0 or more", "Choose another seed")
        self.day = day
        self.seed = seed
        self.layout: Layout = layout
        self.book = draw_addresses(flows, seed, attackers)
        rows = draw_traffic(flows, seed, self.book)
        # Version 1 knows no states: there one tuple is one flow.
        self.rows: Rows = rows[is_new_flow(rows)] if layout == "nsg1" else rows

    def blobs(self) -> Iterator[SampleBlob]:
        return write_blobs(self.rows, self.book.texts, self.day, self.seed, self.layout)

    def summary(self, blobs: int) -> SampleSummary:
        new = self.rows[is_new_flow(self.rows)]
        listed = np.asarray(self.book.is_listed(), dtype=np.bool_)
        outbound = (new["rule"] == Rule.INTERNET_OUT) | (new["rule"] == Rule.PLATFORM_OUT)
        ports = np.where(outbound, new["remote_port"], new["local_port"]).astype(np.int64)
        by_port = Counter((ports * 256 + new["protocol"]).tolist())
        commonest = sorted(by_port.items(), key=lambda item: (-item[1], item[0]))[:_PORTS_SHOWN]
        incoming = np.unique(new["remote"][~outbound]).tolist()
        countries = Counter(self.book.countries[number] or "" for number in incoming)
        countries.pop("", None)
        return SampleSummary(
            date=self.day.isoformat(),
            seed=self.seed,
            layout=self.layout,
            flows=len(new),
            tuples=len(self.rows),
            allowed=int(np.count_nonzero(new["state"] == State.B)),
            denied=int(np.count_nonzero(new["state"] == State.D)),
            malicious=int(np.count_nonzero(listed[new["remote"]])),
            blobs=blobs,
            sources=len(incoming),
            malicious_sources=int(np.count_nonzero(listed[incoming])),
            threat_entries=len(self.book.listed_addresses) + len(self.book.listed_networks),
            machines=[
                _machine_summary(machine, new[new["machine"] == number])
                for number, machine in enumerate(MACHINES)
            ],
            ports=[PortSummary(key // 256, key % 256, count) for key, count in commonest],
            sources_by_country=dict(sorted(countries.items(), key=lambda c: (-c[1], c[0]))),
            flows_by_hour=np.bincount(new["at"] // 3_600_000, minlength=24).tolist(),
        )


def _machine_summary(machine: Machine, new: Rows) -> MachineSummary:
    early = new["at"] < machine.first_outbound_ms
    return MachineSummary(
        name=machine.name,
        mac=machine.mac,
        private_address=machine.private_address,
        address_assigned=_time_of_day(machine.address_assigned_ms),
        first_probe=_time_of_day(machine.first_probe_ms),
        first_outbound=_time_of_day(machine.first_outbound_ms),
        flows=len(new),
        probes_before_first_outbound=int(np.count_nonzero(early)),
    )


def _time_of_day(at_ms: int) -> str:
    seconds, millisecond = divmod(at_ms, 1_000)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}.{millisecond:03}"


_THREAT_LIST_HEAD = """\
# A made-up threat list for the generated sample of flow-pipeline.
# It holds part of the sample's attackers and many addresses that take no part, all of them drawn at
# random: it says nothing about whoever holds an address, and is of no use against real traffic.
# One IPv4 address or network (CIDR) a line.
"""


def _threat_list(book: AddressBook) -> str:
    addresses = sorted(set(book.listed_addresses), key=inet_aton)
    networks = sorted(set(book.listed_networks), key=lambda entry: inet_aton(entry.split("/")[0]))
    return _THREAT_LIST_HEAD + "\n".join(["# networks", *networks, "# addresses", *addresses, ""])
