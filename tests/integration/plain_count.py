"""The answers counted the plain way: `json` and loops over the blobs, nothing of the pipeline.

Belongs here: what the tests of the whole way hold tables against. Every rule is written a second
time on purpose, from the description of the logs.
"""

from __future__ import annotations

import ipaddress
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

_PROTOCOLS = {"T": 6, "U": 17}

Key = tuple[Any, ...]


@dataclass(frozen=True)
class LoggedFlow:
    """One tuple of a log. `position` is record, entry, group and tuple, counted from 0."""

    blob: str
    position: tuple[int, int, int, int]
    at: datetime
    src_ip: str
    dst_ip: str
    src_port: int
    dst_port: int
    protocol: int
    direction: str
    decision: str
    state: str | None
    counters: tuple[int | None, int | None, int | None, int | None]
    is_new: bool

    @property
    def event_hour(self) -> datetime:
        return self.at.replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Measures:
    """What a row of a summary measures, in the order of its columns."""

    flows: int
    tuples: int
    allowed: int
    denied: int
    malicious: int
    bytes: int | None
    distinct_sources: int
    distinct_targets: int


def flows_in(folder: Path) -> list[LoggedFlow]:
    """Every tuple of the blobs under a folder; each has to be whole and readable."""
    found: list[LoggedFlow] = []
    for path in sorted(folder.rglob("PT1H.json")):
        blob = path.relative_to(folder).as_posix()
        for record_no, record in enumerate(json.loads(path.read_bytes())["records"]):
            for place, text in _tuples(record):
                found.append(_flow(blob, (record_no, *place), text))
    return found


def _tuples(record: Mapping[str, Any]) -> Iterator[tuple[tuple[int, int, int], str]]:
    if "flowRecords" in record:
        for flow_no, entry in enumerate(record["flowRecords"]["flows"]):
            for group_no, group in enumerate(entry["flowGroups"]):
                for tuple_no, text in enumerate(group["flowTuples"]):
                    yield (flow_no, group_no, tuple_no), text
        return
    for flow_no, entry in enumerate(record["properties"]["flows"]):
        for group_no, group in enumerate(entry["flows"]):
            for tuple_no, text in enumerate(group["flowTuples"]):
                yield (flow_no, group_no, tuple_no), text


def _flow(blob: str, position: tuple[int, int, int, int], text: str) -> LoggedFlow:
    time, src_ip, dst_ip, src_port, dst_port, protocol, direction, *rest = text.split(",")
    milliseconds = int(time) if len(time) == 13 else int(time) * 1000
    if protocol in _PROTOCOLS:
        decision = rest[0]
        state = rest[1] if len(rest) > 1 else None
        is_new = state in (None, "B")
        counters = rest[2:] or [""] * 4
    else:
        decision = "D" if rest[0] == "D" else "A"
        state = None if rest[0] == "D" else rest[0]
        is_new = rest[0] in ("B", "D")
        counters = rest[2:]
    packets_out, bytes_out, packets_back, bytes_back = (int(c) if c else None for c in counters)
    return LoggedFlow(
        blob=blob,
        position=position,
        at=datetime.fromtimestamp(milliseconds // 1000, UTC).replace(
            microsecond=milliseconds % 1000 * 1000, tzinfo=None
        ),
        src_ip=src_ip,
        dst_ip=dst_ip,
        src_port=int(src_port),
        dst_port=int(dst_port),
        protocol=_PROTOCOLS.get(protocol) or int(protocol),
        direction=direction,
        decision=decision,
        state=state,
        counters=(packets_out, bytes_out, packets_back, bytes_back),
        is_new=is_new,
    )


def listed_in(threat_list: Path) -> Callable[[str], bool]:
    """Whether an address stands on a list of addresses and networks, one a line."""
    lines = [line.split("#")[0].strip() for line in threat_list.read_text().splitlines()]
    networks = [ipaddress.ip_network(line) for line in lines if line]

    def is_listed(text: str) -> bool:
        address = ipaddress.ip_address(text)
        return any(address in network for network in networks)

    answers: dict[str, bool] = {}
    return lambda text: answers.setdefault(text, is_listed(text))


def top(
    flows: Iterable[LoggedFlow],
    key: Callable[[LoggedFlow], Key],
    n: int,
    is_listed: Callable[[str], bool],
    *,
    is_left_out: Callable[[LoggedFlow], bool] = lambda _flow: False,
) -> dict[date, dict[tuple[int | None, Key | None], Measures]]:
    """Day to (rank, key) to measures; the row for everything else is (None, None)."""
    days: dict[date, list[LoggedFlow]] = defaultdict(list)
    for flow in flows:
        days[flow.at.date()].append(flow)
    answer: dict[date, dict[tuple[int | None, Key | None], Measures]] = {}
    for day, of_day in days.items():
        counts: Counter[Key] = Counter()
        for flow in of_day:
            if not is_left_out(flow):
                counts[key(flow)] += flow.is_new
        ranked = sorted(counts, key=lambda it: (-counts[it], it))[:n]
        ranks = {it: rank for rank, it in enumerate(ranked, start=1)}
        rows: dict[tuple[int | None, Key | None], list[LoggedFlow]] = defaultdict(list)
        for flow in of_day:
            rank = None if is_left_out(flow) else ranks.get(key(flow))
            rows[rank, key(flow) if rank else None].append(flow)
        answer[day] = {label: _measures(group, is_listed) for label, group in rows.items()}
    return answer


def _measures(flows: list[LoggedFlow], is_listed: Callable[[str], bool]) -> Measures:
    new = [flow for flow in flows if flow.is_new]
    byte_counts = [
        count
        for flow in flows
        for count in (flow.counters[1], flow.counters[3])
        if count is not None
    ]
    return Measures(
        flows=len(new),
        tuples=len(flows),
        allowed=sum(flow.decision == "A" for flow in new),
        denied=sum(flow.decision == "D" for flow in new),
        malicious=sum(is_listed(flow.src_ip) or is_listed(flow.dst_ip) for flow in new),
        bytes=sum(byte_counts) if byte_counts else None,
        distinct_sources=len({flow.src_ip for flow in flows}),
        distinct_targets=len({flow.dst_ip for flow in flows}),
    )
