"""The answers to the study's three questions, in plain sentences with numbers.

Belongs here: reading the marts for some days and putting what they say into words. What a number
means belongs to the dbt models, how it is printed to `cli`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import DATABASE_NAME, connect

QUESTIONS = (
    "Are virtual machines attacked before they even come online?",
    "What traffic is typical, by port and protocol?",
    "Where does the malicious traffic come from?",
)
_PROTOCOLS = {6: "TCP", 17: "UDP"}
_MACHINES_SHOWN = 3
_PORTS_SHOWN = 8
_COUNTRIES_SHOWN = 3
_TABLES = {"nic_contacts_daily", "nic_sources_daily", "coverage_hourly", "ports_daily",
           "protocols_daily", "sources_daily"}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """A question and the sentences that answer it; names in them are strangers' text."""

    question: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Answers:
    """The three answers, and the days with flows that they are about."""

    days: tuple[date, ...]
    answers: tuple[Answer, ...]


def answers(lake: Lake, days: Sequence[date]) -> Answers | None:
    """The answers for those of some days that have flows; None if none has."""
    if not set(lake.table_names()) >= _TABLES:
        return None
    with _views(lake) as connection:
        connection.execute(f"set variable days = {_days(days)}")
        found = _rows(
            connection,
            "select distinct date from ports_daily "
            "where list_contains(getvariable('days'), date) order by date",
        )
        if not found:
            return None
        told = (_before_online(connection), _typical(connection), _where_from(connection))
    return Answers(
        tuple(day for (day,) in found),
        tuple(
            Answer(question, tuple(sentences))
            for question, sentences in zip(QUESTIONS, told, strict=True)
        ),
    )


def _views(lake: Lake) -> duckdb.DuckDBPyConnection:
    """Those that a run has just made; to make them again takes a second, for a few of them."""
    try:
        return duckdb.connect(str(lake.root / DATABASE_NAME), read_only=True)
    except duckdb.IOException:
        # Somebody has opened it to write, or taken it away.
        return connect(lake)


def _days(days: Sequence[date]) -> str:
    return "cast([" + ", ".join(f"date '{day}'" for day in days) + "] as date[])"


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


# ---------------------------------------------------------------------------- before it was online


def _before_online(connection: duckdb.DuckDBPyConnection) -> list[str]:
    machines = _rows(
        connection,
        "select verdict, mac, ip, seconds_to_first_probe, probes_before_online, "
        "sources_before_online, online_at is not null from nic_first_contacts "
        "where list_contains(getvariable('days'), cast(first_flow_at as date)) "
        "or list_contains(getvariable('days'), cast(came_online_at as date)) "
        "order by first_flow_at, mac, ip",
    )
    if not machines:
        return ["These days no machine was new: none had its first flow or came online."]
    by_verdict: dict[str, list[tuple[Any, ...]]] = {}
    for machine in machines:
        by_verdict.setdefault(machine[0], []).append(machine)
    before = by_verdict.get("probed_before_online", [])
    after = by_verdict.get("not_probed_before_online", [])
    sentences: list[str] = []
    if before or after:
        known = len(before) + len(after)
        sentences.append(
            f"{'Yes' if before else 'No'}: {len(before):,} of {_count(known, 'machine')} "
            f"{'was' if len(before) == 1 else 'were'} probed from the internet before coming "
            "online."
        )
    else:
        sentences.append("The logs do not tell.")
    for _, mac, ip, seconds, probes, sources, is_exact in before[:_MACHINES_SHOWN]:
        when = "the time that you gave" if is_exact else "its first own packet"
        sentences.append(
            f"{_name(mac, ip)} was first probed {_span(-seconds)} before {when}; until then it saw "
            f"{_count(probes, 'probe')} from {_count(sources, 'source')}."
        )
    if len(before) > _MACHINES_SHOWN:
        spans = sorted(-machine[3] for machine in before)
        sentences.append(
            f"Of all of them, the first probe came {_span(spans[0])} to {_span(spans[-1])} before "
            f"(median {_span(spans[len(spans) // 2])})."
        )
    late = len(by_verdict.get("logs_begin_too_late", []))
    silent = len(by_verdict.get("never_online", []))
    if late:
        sentences.append(
            f"Of {_count(late, 'machine')} nobody can know, because the logs begin too late."
        )
    if silent:
        sentences.append(f"{_count(silent, 'machine')} sent nothing, and may never have started.")
    return sentences


# ----------------------------------------------------------------------------------------- typical


def _typical(connection: duckdb.DuckDBPyConnection) -> list[str]:
    inbound = "direction = 'I' and list_contains(getvariable('days'), date)"
    [(flows, allowed)] = _rows(
        connection,
        "select coalesce(sum(flows), 0), coalesce(sum(allowed), 0) "
        f"from ports_daily where {inbound}",
    )
    if not flows:
        return ["There was no inbound flow."]
    protocols = _rows(
        connection,
        f"select protocol, sum(flows) as n from protocols_daily where {inbound} "
        "and has_excluded_ports group by protocol order by n desc, protocol limit 3",
    )
    ports = _rows(
        connection,
        "select port, protocol, any_value(service), sum(flows) as n from ports_daily "
        f"where {inbound} and not is_excluded group by port, protocol "
        f"order by n desc, port, protocol limit {_PORTS_SHOWN}",
    )
    [(excluded,)] = _rows(
        connection,
        f"select count(distinct port) from ports_daily where {inbound} and is_excluded",
    )
    shares = ", ".join(
        f"{_percent(count, flows)} {_PROTOCOLS.get(number, f'protocol {number}')}"
        for number, count in protocols
    )
    without = f", {_count(excluded, 'chosen port')} left out" if excluded else ""
    told = ", ".join(
        f"{port}{'/UDP' if protocol == 17 else ''} ({service or 'no name'}, {count:,})"
        for port, protocol, service, count in ports
    )
    sentences = [
        f"{_count(flows, 'inbound flow')}: {shares}; {_percent(flows - allowed, flows)} denied.",
        f"The commonest ports{without}: {told or 'none'}.",
    ]
    news = _rows(
        connection,
        "select count(*) filter (is_new_in_7_days), max(days_known_of_7), any_value(date) "
        "from new_ports where direction = 'I' and list_contains(getvariable('days'), date)",
    )
    for count, known, day in news:
        if day is not None:
            sentences.append(
                f"On {day} {_count(count, 'port')} had been seen on none of the 7 days before "
                f"({known} of them in the lake)."
                if known
                else "What is new cannot be told: the lake has none of the 7 days before."
            )
    return sentences


# -------------------------------------------------------------------------------------- where from


def _where_from(connection: duckdb.DuckDBPyConnection) -> list[str]:
    connection.execute(
        "create temp view of_source as select src_ip, max(country) as country, "
        "sum(flows) as flows, sum(malicious) as malicious, bool_or(is_burst) as is_burst "
        "from sources_daily where list_contains(getvariable('days'), date) group by src_ip"
    )
    [(sources, flows, malicious, listed)] = _rows(
        connection,
        "select count(*), coalesce(sum(flows), 0), coalesce(sum(malicious), 0), "
        "count(*) filter (malicious > 0) from of_source",
    )
    if not flows:
        return ["Nothing came from the internet."]
    measure = "malicious" if malicious else "flows"
    countries = _rows(
        connection,
        f"select country, sum({measure}) as n, count(*) filter ({measure} > 0) from of_source "
        f"group by country having n > 0 order by n desc, country limit {_COUNTRIES_SHOWN}",
    )
    total = malicious or flows
    told = ", ".join(
        f"{country or 'unknown'} ({_percent(count, total)}, {_count(number, 'source')})"
        for country, count, number in countries
    )
    of_all = f"{_count(flows, 'flow')} from the internet"
    if malicious:
        listed_of = f"{listed:,} listed of {_count(sources, 'source')}"
        first = f"{_percent(malicious, flows)} of {of_all} came from {listed_of}."
        sentences = [first, f"Most of these flows came from {told}."]
    else:
        unlisted = f"No threat feed listed any of {_count(sources, 'source')}"
        first = f"{unlisted}, so what is malicious cannot be told."
        sentences = [first, f"Most of {of_all} came from {told}."]
    counts = [
        count
        for (count,) in _rows(
            connection, "select flows from of_source order by flows desc limit 100"
        )
    ]
    [(bursts, burst_flows)] = _rows(
        connection, "select count(*), coalesce(sum(flows), 0) from of_source where is_burst"
    )
    sentences.append(
        f"The busiest source sent {_percent(counts[0], flows)} of all, the busiest ten "
        f"{_percent(sum(counts[:10]), flows)}, the busiest hundred {_percent(sum(counts), flows)}; "
        f"{_count(bursts, 'source')} made a burst, {_percent(burst_flows, flows)} of all."
    )
    return sentences


# ------------------------------------------------------------------------------------------- words


def _name(mac: str, ip: str) -> str:
    return f"{mac} ({ip})" if mac else ip


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _span(seconds: int) -> str:
    """3661 -> 1 h 1 min; below an hour with seconds."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24:,} days"
    if hours:
        return f"{hours} h {minute} min"
    return f"{minute} min {second} s" if minute else f"{second} s"
