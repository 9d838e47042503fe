"""What the addresses of the day do: the rows that become flow tuples.

Belongs here: how a habit of story.py becomes flows. How they are written is blobs.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flow_pipeline.sample.addresses import AddressBook
from flow_pipeline.sample.draws import Draws, Floats, Ints, apportion
from flow_pipeline.sample.story import (
    ANY_PORT,
    CLOCK_MS,
    DAY_MS,
    DENIED_HABITS,
    FIRST_CONTACT,
    HEALTH_PROBE,
    HEALTH_PROBE_PORT,
    HOURLY_WEIGHTS,
    MACHINES,
    MINUTE_MS,
    OUTBOUND_PORTS,
    OUTBOUND_SHARE,
    PROBE_SHARE,
    RDP_BRUTE_FORCE,
    RDP_PORT,
    RDP_SESSIONS,
    RDP_SHARE,
    RDP_UNANSWERED,
    RESEARCH,
    RETRANSMISSIONS_MS,
    SERVICES,
    SHARES_OUT_OF,
    TCP,
    TWIN_PERCENT,
    Habit,
    Rule,
    Session,
    State,
)

# One row is one flow tuple. `at` is milliseconds after midnight, `machine` and `remote` are numbers
# in MACHINES and in the address book, counters are those of the tuple (since the one before it),
# `turn` keeps the tuples of a connection in order where they share a millisecond.
ROW = np.dtype(
    [
        ("at", "<i4"),
        ("machine", "u1"),
        ("rule", "u1"),
        ("state", "u1"),
        ("protocol", "u1"),
        ("remote", "<u4"),
        ("remote_port", "<u2"),
        ("local_port", "<u2"),
        ("packets_src_to_dst", "<u4"),
        ("bytes_src_to_dst", "<u4"),
        ("packets_dst_to_src", "<u4"),
        ("bytes_dst_to_src", "<u4"),
        ("turn", "<u4"),
    ]
)
COUNTERS = ("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src")
Rows = NDArray[np.void]

_FIRST_PROBE_MS = np.asarray([machine.first_probe_ms for machine in MACHINES], dtype=np.int64)
_FIRST_OUTBOUND_MS = np.asarray([one.first_outbound_ms for one in MACHINES], dtype=np.int64)
_CLOCK_MS = np.asarray([machine.clock_ms for machine in MACHINES], dtype=np.int64)
_WEIGHTS = [machine.weight for machine in MACHINES]


def draw_traffic(flows: int, seed: int, book: AddressBook) -> Rows:
    """All tuples of a day with exactly `flows` new flows, in the order of their writing.

    That is by machine and minute, and within a minute nearly by time.
    """
    shares = [RDP_SHARE, PROBE_SHARE, OUTBOUND_SHARE, RESEARCH.share]
    shares += [habit.share for habit in DENIED_HABITS]
    if sum(shares) != SHARES_OUT_OF:
        raise ValueError(f"the shares of the story add up to {sum(shares)}, not {SHARES_OUT_OF}")
    rdp, probes, outbound, research, *denied = apportion(flows, shares)
    parts = [
        _rdp(rdp, seed, book),
        _health_probes(probes, seed, book),
        _outbound(outbound, seed, book),
        _denied(RESEARCH, research, seed, book),
    ]
    parts += [
        _denied(habit, count, seed, book)
        for habit, count in zip(DENIED_HABITS, denied, strict=True)
    ]
    rows = np.concatenate(parts)
    parts.clear()
    return rows[_writing_order(rows)]


def _writing_order(rows: Rows) -> Ints:
    """By machine and minute; one connection in eight stands up to 2.5 s behind its time."""
    socket = rows["remote_port"].astype(np.int64) * 31 + rows["local_port"]
    delay = np.where(socket % 8 == 0, socket * 37 % 2_500, 0)
    minute = rows["machine"].astype(np.int64) * (DAY_MS // MINUTE_MS) + rows["at"] // MINUTE_MS
    return np.lexsort((rows["turn"], rows["at"] + delay, minute))


@dataclass(frozen=True)
class _Attempts:
    """First packets from the internet: one element each."""

    source: Ints  # place among the habit's sources
    machine: Ints
    at: Ints
    source_port: Ints


def _attempts(habit: Habit, count: int, sources: int, margin_ms: int, draws: Draws) -> _Attempts:
    """Who tries what machine when; `margin_ms` are kept free at the end of the day."""
    if habit.concentration:
        weights = [10**12 // (rank + habit.concentration) for rank in range(sources)]
    else:
        weights = [1] * sources
    source = draws.pick(weights, count)
    machine = draws.pick(_WEIGHTS, count)
    first = _FIRST_PROBE_MS[machine]
    part = _part_of_day(habit, source, sources, draws)
    at = first + (part * (DAY_MS - margin_ms - first)).astype(np.int64)
    if habit.keeps_source_port:
        source_port = draws.between(habit.source_ports, sources)[source]
    else:
        source_port = draws.between(habit.source_ports, count)
    return _Attempts(source, machine, at, source_port)


def _part_of_day(habit: Habit, source: Ints, sources: int, draws: Draws) -> Floats:
    """When an attempt is made, as a part of the time from the first probe to midnight."""
    count = len(source)
    if habit.campaign_minutes is None:
        return (draws.pick(HOURLY_WEIGHTS, count) + draws.units(count)) / len(HOURLY_WEIGHTS)
    least, most = habit.campaign_minutes
    # Most campaigns are short: the square of a uniform draw leans to the lower end.
    leaning = draws.units(sources)
    length = (least + leaning * leaning * (most - least)) * MINUTE_MS / DAY_MS
    begin = draws.units(sources) * (1 - length)
    return begin[source] + draws.units(count) * length[source]


def _denied(habit: Habit, count: int, seed: int, book: AddressBook) -> Rows:
    """`count` tuples that DenyAllInBound refuses, retransmissions included."""
    draws = Draws(seed, f"flows of {habit.name}")
    numbers = book.sources[habit.name]
    packets = 1 + draws.pick(habit.packets, count)
    ends = np.cumsum(packets)
    tried = int(np.searchsorted(ends, count)) + 1
    packets, ends = packets[:tried], ends[:tried]
    margin = RETRANSMISSIONS_MS[len(habit.packets) - 1] + 100
    attempts = _attempts(habit, tried, len(numbers), margin, draws)
    if habit.sweeps:
        port = _sweep(attempts, draws)
    else:
        port = np.asarray(list(habit.ports), dtype=np.int64)[
            draws.pick(list(habit.ports.values()), tried)
        ]
        port = np.where(port == ANY_PORT, draws.between((1, 65_535), tried), port)
    # The open port belongs to the habit that goes through it.
    port = np.where((port == RDP_PORT) & (habit.protocol == TCP), RDP_PORT + 1, port)

    owner = np.repeat(np.arange(tried, dtype=np.int64), packets)[:count]
    place = (np.arange(count, dtype=np.int64) - (ends - packets)[owner]).astype(np.int64)
    waited = np.asarray(RETRANSMISSIONS_MS, dtype=np.int64)[place]
    late = np.where(place > 0, draws.below(40, count), 0)

    rows = np.zeros(count, ROW)
    rows["at"] = attempts.at[owner] + waited + late
    rows["machine"] = attempts.machine[owner]
    rows["rule"] = Rule.DENY_ALL_IN
    rows["state"] = State.D
    rows["protocol"] = habit.protocol
    rows["remote"] = numbers[attempts.source[owner]]
    rows["remote_port"] = attempts.source_port[owner]
    rows["local_port"] = port[owner]
    if habit is RESEARCH:
        # They are the first to look at a new address, within seconds.
        for number, machine in enumerate(MACHINES):
            rows["machine"][number] = number
            rows["at"][number] = machine.first_probe_ms
    return rows


def _sweep(attempts: _Attempts, draws: Draws) -> Ints:
    """One port after the other, from a port of the source's own upwards."""
    count = len(attempts.at)
    order = np.lexsort((attempts.at, attempts.machine, attempts.source))
    port = np.empty(count, dtype=np.int64)
    port[order] = np.arange(count, dtype=np.int64)
    begin = int(draws.below(65_535, 1)[0])
    return 1 + (begin + port) % 65_535


def _rdp(count: int, seed: int, book: AddressBook) -> Rows:
    """`count` connections to the open port."""
    draws = Draws(seed, "flows of rdp")
    numbers = book.sources[RDP_BRUTE_FORCE.name]
    attempts = _attempts(RDP_BRUTE_FORCE, count, len(numbers), 1, draws)
    kinds = [*RDP_SESSIONS, RDP_UNANSWERED]
    kind = draws.pick([session.weight for session in RDP_SESSIONS], count)
    starting = attempts.at < _FIRST_OUTBOUND_MS[attempts.machine]
    kind = np.where(starting, len(kinds) - 1, kind)
    return _connections(
        _Connections(
            machine=attempts.machine,
            at=attempts.at,
            remote=numbers[attempts.source],
            remote_port=attempts.source_port,
            local_port=np.full(count, RDP_PORT, dtype=np.int64),
            length=_drawn(kinds, kind, "length_ms", draws),
            totals=_totals(kinds, kind, draws),
        ),
        Rule.ALLOW_RDP,
        TCP,
    )


def _health_probes(count: int, seed: int, book: AddressBook) -> Rows:
    """Azure's own probes, at even distances from the first outbound packet on."""
    draws = Draws(seed, "health probes")
    machine = np.repeat(
        np.arange(len(MACHINES), dtype=np.int64), apportion(count, [1] * len(MACHINES))
    )
    place = np.arange(count, dtype=np.int64) - np.searchsorted(machine, machine)
    begin = _FIRST_OUTBOUND_MS[machine] + 1_500
    at = begin + place * (DAY_MS - 1_000 - begin) // np.bincount(machine)[machine]
    kind = np.zeros(count, dtype=np.int64)
    platform = int(book.services[FIRST_CONTACT][0])
    return _connections(
        _Connections(
            machine=machine,
            at=at + draws.below(400, count),
            remote=np.full(count, platform, dtype=np.int64),
            remote_port=draws.between(OUTBOUND_PORTS, count),
            local_port=np.full(count, HEALTH_PROBE_PORT, dtype=np.int64),
            length=_drawn([HEALTH_PROBE], kind, "length_ms", draws),
            totals=_totals([HEALTH_PROBE], kind, draws),
        ),
        Rule.PLATFORM_IN,
        TCP,
    )


def _outbound(count: int, seed: int, book: AddressBook) -> Rows:
    """`count` connections that the machines open themselves."""
    parts: list[Rows] = []
    counts = apportion(count, [service.session.weight for service in SERVICES])
    for place, (service, part) in enumerate(zip(SERVICES, counts, strict=True)):
        draws = Draws(seed, f"flows of service {place}")
        machine = np.arange(part, dtype=np.int64) % len(MACHINES)
        # The first to be contacted alone decides when a machine is seen to be alive.
        begin = _FIRST_OUTBOUND_MS[machine] + (0 if place == FIRST_CONTACT else 200)
        at = begin + (draws.units(part) * (DAY_MS - begin)).astype(np.int64)
        if place == FIRST_CONTACT:
            at[: len(MACHINES)] = begin[: len(MACHINES)]
        kind = np.zeros(part, dtype=np.int64)
        numbers = book.services[place]
        connections = _Connections(
            machine=machine,
            at=at,
            remote=numbers[draws.below(len(numbers), part)],
            remote_port=np.full(part, service.port, dtype=np.int64),
            local_port=draws.between(OUTBOUND_PORTS, part),
            length=_drawn([service.session], kind, "length_ms", draws),
            totals=_totals([service.session], kind, draws),
        )
        if service.has_twins:
            _twin(connections)
        parts.append(_connections(connections, service.rule, service.protocol))
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Connections:
    """Allowed connections, one element each; `totals` are the four counters over all of it."""

    machine: Ints
    at: Ints
    remote: Ints
    remote_port: Ints
    local_port: Ints
    length: Ints  # ms
    totals: tuple[Ints, Ints, Ints, Ints]


def _twin(connections: _Connections) -> None:
    """Make the last ones of a service pairs that open and end in one millisecond, in place.

    B, E, B, E on one socket; in every other pair the second one lives on, as is seen more often.
    """
    twins = max(1, len(connections.at) * TWIN_PERCENT // 200)
    second = len(connections.at) - 1 - 2 * np.arange(twins, dtype=np.int64)
    first = second - 1
    short = second[::2]
    columns = (
        connections.machine,
        connections.at,
        connections.remote,
        connections.remote_port,
        connections.local_port,
    )
    for column in columns:
        column[second] = column[first]
    connections.length[first] = 0
    connections.length[short] = 0
    for column, total in zip(connections.totals, (3, 723, 2, 323), strict=True):
        column[first] = total
        column[short] = total


def _connections(connections: _Connections, rule: Rule, protocol: int) -> Rows:
    """B, C on the five-minute clock of the NIC, and E, each C and E counting since the one before.

    What comes after midnight belongs to another day and is left out.
    """
    count = len(connections.at)
    every = np.arange(count, dtype=np.int64)
    at, clock = connections.at, _CLOCK_MS[connections.machine]
    end = at + connections.length
    before = (at - clock) // CLOCK_MS
    ticks = (np.minimum(end, DAY_MS) - 1 - clock) // CLOCK_MS - before
    ticks = np.maximum(ticks, 0)

    owner_c = np.repeat(every, ticks)
    tick = np.arange(len(owner_c), dtype=np.int64) - (np.cumsum(ticks) - ticks)[owner_c]
    at_c = clock[owner_c] + (before[owner_c] + 1 + tick) * CLOCK_MS
    owner_e = every[end < DAY_MS]
    at_e = end[owner_e]

    owner = np.concatenate([every, owner_c, owner_e])
    moment = np.concatenate([at, at_c, at_e])
    last_tick = clock[owner_e] + (before + ticks)[owner_e] * CLOCK_MS
    since = np.concatenate(
        [at, np.maximum(at_c - CLOCK_MS, at[owner_c]), np.maximum(last_tick, at[owner_e])]
    )
    state = np.repeat(
        np.asarray([State.B, State.C, State.E], dtype=np.uint8),
        [count, len(owner_c), len(owner_e)],
    )

    rows = np.zeros(len(owner), ROW)
    rows["at"] = moment
    rows["machine"] = connections.machine[owner]
    rows["rule"] = rule
    rows["state"] = state
    rows["protocol"] = protocol
    rows["remote"] = connections.remote[owner]
    rows["remote_port"] = connections.remote_port[owner]
    rows["local_port"] = connections.local_port[owner]
    rows["turn"] = owner * 3 + state
    length = np.maximum(connections.length, 1)[owner]
    for name, total in zip(COUNTERS, connections.totals, strict=True):
        until_now = total[owner] * np.minimum(moment - at[owner], length) // length
        until_then = total[owner] * (since - at[owner]) // length
        counted = until_now - until_then
        # One without length has everything in its E.
        counted = np.where((state == State.E) & (connections.length[owner] == 0),
                           total[owner], counted)  # fmt: skip
        rows[name] = np.where(state == State.B, 0, counted)
    return rows


def _drawn(kinds: list[Session], kind: Ints, quantity: str, draws: Draws) -> Ints:
    """One quantity of each connection, between the least and the most of its kind."""
    ranges = np.asarray([getattr(session, quantity) for session in kinds], dtype=np.int64)
    least, most = ranges[:, 0][kind], ranges[:, 1][kind]
    return least + draws.below(most - least + 1, len(kind))


def _totals(kinds: list[Session], kind: Ints, draws: Draws) -> tuple[Ints, Ints, Ints, Ints]:
    packets_out = _drawn(kinds, kind, "packets_out", draws)
    packets_back = _drawn(kinds, kind, "packets_back", draws)
    bytes_out = packets_out * _drawn(kinds, kind, "bytes_per_packet_out", draws)
    bytes_back = packets_back * _drawn(kinds, kind, "bytes_per_packet_back", draws)
    return packets_out, bytes_out, packets_back, bytes_back
