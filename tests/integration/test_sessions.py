"""Sessions held against plain Python over whole histories, and the way in which they are kept.

Belongs here: drawing tuples of some hours, joining them again without SQL, and what a lake does
when an hour is landed again, comes late or fills a gap.
"""

from __future__ import annotations

import random
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from flow_pipeline.errors import LakeError
from flow_pipeline.partitions import floor_hour
from flow_pipeline.pipeline import Pipeline
from tests.integration.lakes import (
    ask,
    bring_up_to_date,
    failures_of,
    file_names,
    pipeline_over,
    rows_of,
)
from tests.unit.blobs import HOUR, flow, put_flows

pytestmark = pytest.mark.integration

SEEDS = range(60)
TIMEOUT = timedelta(minutes=15)
FIRST = datetime(2026, 3, 1, 21)
HOURS = [FIRST + n * timedelta(hours=1) for n in range(6)]
ONE_HOUR, MINUTE, MS = timedelta(hours=1), timedelta(minutes=1), timedelta(milliseconds=1)
SUMS = ("packets_src_to_dst", "bytes_src_to_dst", "packets_dst_to_src", "bytes_dst_to_src")
COLUMNS = {
    "flow_time": "timestamp", "date": "date", "hour": "integer", "src_ip": "varchar",
    "dst_ip": "varchar", "src_port": "integer", "dst_port": "integer", "protocol": "smallint",
    "direction": "varchar", "decision": "varchar", "flow_state": "varchar",
    "encryption": "varchar", **dict.fromkeys(SUMS, "bigint"), "rule": "varchar",
    "acl_id": "varchar", "flow_log_id": "varchar", "target_resource_id": "varchar",
    "mac": "varchar", "log_version": "smallint", "blob": "varchar", "record_no": "integer",
    "flow_no": "integer", "group_no": "integer", "tuple_no": "integer", "src_country": "varchar",
    "dst_country": "varchar", "is_malicious": "boolean", "threat_feed": "varchar",
    "service": "varchar", "flow_type": "varchar", "is_counted": "boolean",
}  # fmt: skip
PLACE = ("blob", "record_no", "flow_no", "group_no", "tuple_no")
OF_FIRST = (
    "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "direction", "src_country",
    "dst_country", "service", "flow_type", "is_counted", "encryption", "rule", "acl_id",
    "flow_log_id", "target_resource_id", "mac", "log_version", *PLACE,
)  # fmt: skip
STATES = {
    name: COLUMNS.get(name, "bigint")
    for name in ("started_at", "ended_at", "is_orphan", "tuples", *SUMS, "is_malicious",
                 "threat_feed", *OF_FIRST)
} | {"started_at": "timestamp", "ended_at": "timestamp", "is_orphan": "boolean"}  # fmt: skip

Row = dict[str, Any]


def draw(seed: int) -> list[Row]:
    """Tuples of a few connections, so close together that each rule is met."""
    dice = random.Random(seed)
    rows: list[Row] = []
    for _ in range(dice.randint(1, 6)):
        version = dice.choice([1, 2, 2, 4, 4, 4])
        logs = ["/subscriptions/s/A", "/SUBSCRIPTIONS/S/a", "/subscriptions/s/b"]
        src, port = dice.choice(["10.0.0.4", "192.0.2.1"]), dice.choice([22, 443])
        at = FIRST + dice.random() * 6 * ONE_HOUR
        for _ in range(dice.randint(1, 40)):
            # The limit itself, a millisecond beside it, the whole hour, and the same moment again.
            step = dice.choice([0 * MS, MS, MINUTE, 5 * MINUTE, 15 * MINUTE, 15 * MINUTE + MS,
                                40 * MINUTE])  # fmt: skip
            at = (at + step).replace(microsecond=at.microsecond // 1000 * 1000)
            at = at.replace(minute=0, second=0, microsecond=0) if dice.random() < 0.05 else at
            if not FIRST <= at < FIRST + 6 * ONE_HOUR:
                continue
            state = dice.choice("BCCCCE") if version > 1 else None
            is_denied = dice.random() < 0.1
            has_counters = version > 1 and state != "B" and dice.random() < 0.8
            log, is_bad = dice.choice(logs), dice.random() < 0.1
            rows.append({
                "flow_time": at, "date": at.date(), "hour": at.hour, "src_ip": src,
                "dst_ip": "10.0.0.9", "src_port": 40_000, "dst_port": port,
                "protocol": dice.choice([6, 6, 6, 17]), "direction": dice.choice("IIIO"),
                "decision": "D" if is_denied else "A",
                "flow_state": None if is_denied and version == 4 else state,
                "encryption": "NX" if version == 4 else None,
                **{name: dice.randint(0, 9) if has_counters else None for name in SUMS},
                "rule": dice.choice(["r", "s"]), "acl_id": "acl" if version == 4 else log,
                "flow_log_id": log if version == 4 else None, "target_resource_id": None,
                "mac": dice.choice(["000D3A", "000d3a", "000D3B"]), "log_version": version,
                "blob": dice.choice("xyz"), "record_no": len(rows), "flow_no": dice.randint(0, 3),
                "group_no": 0, "tuple_no": 0, "src_country": None, "dst_country": "NL",
                "is_malicious": is_bad, "threat_feed": dice.choice("fg") if is_bad else None,
                "service": "ssh" if port == 22 else None, "flow_type": dice.choice("EU"),
                "is_counted": dice.random() < 0.8,
            })  # fmt: skip
    return rows


def vantage_of(row: Row) -> tuple[Any, ...]:
    is_vnet = row["log_version"] == 4
    log = row["flow_log_id"] if is_vnet else row["acl_id"]
    five = (row["src_ip"], row["dst_ip"], row["src_port"], row["dst_port"], row["protocol"])
    return (*five, row["direction"], row["mac"].upper(), is_vnet, log.lower())


@dataclass
class Joined:
    tuples: list[Row]
    ended_by: str | None = None
    ended_in: datetime | None = None

    @property
    def silent_at(self) -> datetime:
        return self.tuples[-1]["flow_time"] + TIMEOUT


def joined(rows: Iterable[Row], end: datetime) -> list[Joined]:
    """The sessions of a whole history until a moment, walked tuple by tuple."""
    of_vantage: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row["decision"] == "A" and row["flow_state"] is not None:
            of_vantage[vantage_of(row)].append(row)
    sessions: list[Joined] = []
    for tuples in of_vantage.values():
        tuples.sort(key=lambda row: (row["flow_time"], *(row[name] for name in PLACE)))
        current: Joined | None = None
        for row in tuples:
            at, state = row["flow_time"], row["flow_state"]
            if current is not None and at > current.silent_at:
                current.ended_by, current.ended_in = "silence", floor_hour(current.silent_at)
                current = None
            elif current is not None and state == "B":
                current.ended_by, current.ended_in = "new_begin", floor_hour(at)
                current = None
            if current is None:
                current = Joined([])
                sessions.append(current)
            current.tuples.append(row)
            if state == "E":
                current.ended_by, current.ended_in = "end", floor_hour(at)
                current = None
        if current is not None and current.silent_at < end:
            current.ended_by, current.ended_in = "silence", floor_hour(current.silent_at)
    return sessions


def expected(rows: list[Row]) -> list[str]:
    last = HOURS[-1]
    return sorted(repr(as_row(session, last)) for session in joined(rows, last + ONE_HOUR))


def as_row(session: Joined, newest: datetime) -> tuple[Any, ...]:
    first, last = session.tuples[0], session.tuples[-1]
    hour = session.ended_in or newest
    feeds = [row["threat_feed"] for row in session.tuples if row["threat_feed"]]
    known = [[row[name] for row in session.tuples if row[name] is not None] for name in SUMS]
    return (
        hour.date(), hour.hour, first["flow_time"], last["flow_time"],
        (last["flow_time"] - first["flow_time"]) // MS, session.ended_by is None,
        session.ended_by, first["flow_state"] != "B", len(session.tuples),
        *(sum(values) if values else None for values in known),
        any(row["is_malicious"] for row in session.tuples), max(feeds, default=None),
        *(first[name] for name in OF_FIRST),
    )  # fmt: skip


SELECTED = (
    "date, hour, started_at, ended_at, duration_ms, is_open, ended_by, is_orphan, tuples, "
    f"{', '.join(SUMS)}, is_malicious, threat_feed, {', '.join(OF_FIRST)}"
)


def sessions_of(rows: list[Row], compiled: dict[str, str], hours: list[datetime]) -> list[str]:
    """Hour by hour, each going on with what the one before has left open."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        types = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"create table fct_flows ({types})")
        minutes = TIMEOUT // MINUTE
        connection.execute(f"set variable session_timeout = {minutes}")
        connection.execute(f"set variable event_hour = timestamp '{FIRST}'")
        # The columns of a table that does not exist yet are those of its contract: here, of nulls.
        nothing = ", ".join(f"cast(null as {COLUMNS.get(n, k)}) as {n}" for n, k in STATES.items())
        connection.execute(f"create table open_sessions as select {nothing} where false")
        connection.execute(f"create table session_states as {compiled['session_states']}")
        for hour in hours:
            of_hour = [row for row in rows if floor_hour(row["flow_time"]) == hour]
            connection.execute("delete from fct_flows")
            if of_hour:
                columns = {name: [row[name] for row in of_hour] for name in COLUMNS}
                connection.register("drawn", pa.table(columns))
                connection.execute("insert into fct_flows select * from drawn")
            connection.execute(f"set variable event_hour = timestamp '{hour}'")
            query = compiled["session_states"]
            connection.execute(f"insert into session_states {query}")
            [(kept,)] = connection.execute(
                "select coalesce(sum(hour_tuples), 0) from session_states "
                f"where date = date '{hour.date()}' and hour = {hour.hour}"
            ).fetchall()
            assert kept == sum(
                row["decision"] == "A" and row["flow_state"] is not None for row in of_hour
            )
            connection.execute("delete from open_sessions")
            connection.execute(
                f"insert into open_sessions by name select * exclude (hour_tuples, duration_ms, "
                "is_open, ended_by, date, hour) from session_states where is_open and "
                f"date = date '{hour.date()}' and hour = {hour.hour}"
            )
        connection.execute(f"create view sessions as {compiled['sessions']}")
        return sorted(map(repr, connection.execute(f"select {SELECTED} from sessions").fetchall()))


@pytest.mark.parametrize("minutes", [15, 90])
def test_sessions_are_what_plain_python_joins(
    compiled: dict[str, str], minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "TIMEOUT", minutes * MINUTE)
    ways: dict[str | None, int] = defaultdict(int)
    orphans = 0
    for seed in SEEDS:
        rows = draw(seed)
        assert sessions_of(rows, compiled, HOURS) == expected(rows), seed
        for session in joined(rows, HOURS[-1] + ONE_HOUR):
            ways[session.ended_by] += 1
            orphans += session.tuples[0]["flow_state"] != "B"
    # What was drawn has each of the cases, so that the rules were asked.
    assert len(ways) == 4
    assert min(*ways.values(), orphans) > 10


def test_two_sessions_within_a_millisecond_are_two(compiled: dict[str, str]) -> None:
    [row] = draw_one()
    again = [{**row, "flow_state": state, "tuple_no": n} for n, state in enumerate("BEBE")]
    assert sessions_of(again, compiled, HOURS) == expected(again)
    assert len(expected(again)) == 2


def draw_one() -> list[Row]:
    rows = next(rows for seed in SEEDS if (rows := draw(seed)))
    return [{**rows[0], "decision": "A", "log_version": 4, "flow_log_id": "l"}]


# ---------------------------------------------------------------------------------- in the lake


def test_an_hour_that_changes_is_worked_forward_until_nothing_open_changes(
    tmp_path: Path, project_dir: Path
) -> None:
    logs = tmp_path / "logs"
    pipeline = pipeline_over(tmp_path / "lake", logs)
    # One connection from 05:50 to 07:20, another at 05:10; at 09:00 a third. Nothing at 08.
    long = [flow(HOUR + 50 * MINUTE), flow(HOUR + 55 * MINUTE, state="C")]
    put_flows(logs, *long)
    kept = [flow(HOUR + n * MINUTE, state="C") for n in range(60, 120, 5)]
    put_flows(logs, *kept, hour=HOUR + ONE_HOUR)
    put_flows(
        logs,
        *(flow(HOUR + n * MINUTE, state="C") for n in (120, 125, 130, 135)),
        flow(HOUR + 140 * MINUTE, state="E"),
        hour=HOUR + 2 * ONE_HOUR,
    )
    put_flows(logs, flow(HOUR + 240 * MINUTE, port=80), hour=HOUR + 4 * ONE_HOUR)
    assert bring_up_to_date(pipeline, HOUR, HOUR + 5 * ONE_HOUR).failures == ()
    shown = "select hour, dst_port, is_orphan, ended_by, tuples from sessions order by all"
    assert ask(pipeline, shown) == [(7, 3389, False, "end", 19), (9, 80, False, "silence", 1)]

    # Another session that is over within its hour: no later hour is built.
    put_flows(logs, *long, flow(HOUR + 10 * MINUTE, port=22))
    assert built_by(pipeline, HOUR) == [5]
    # An orphan that the beginning at 05:50 ends: what is open at 06:00 is what it was.
    put_flows(logs, *long, flow(HOUR + 10 * MINUTE, port=22), flow(HOUR + 49 * MINUTE, state="C"))
    assert built_by(pipeline, HOUR) == [5]
    # A minute earlier: what is open at 06:00 and 07:00 is another, at 08:00 nothing is open.
    put_flows(logs, flow(HOUR + 49 * MINUTE), flow(HOUR + 54 * MINUTE, state="C"))
    assert built_by(pipeline, HOUR) == [5, 6, 7]
    assert ask(pipeline, shown) == [(7, 3389, False, "end", 19), (9, 80, False, "silence", 1)]
    check_as_made_at_once(pipeline, logs, tmp_path)
    # Nothing changed, nothing is built.
    assert built_by(pipeline, HOUR) == []
    # What the documentation asks is answered.
    page = (project_dir / "docs/how-to/sessions.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    # Both sessions, none that is open, and one line for each way of ending.
    assert [len(ask(pipeline, query)) for query in queries] == [2, 0, 2]


def test_an_hour_that_fills_a_gap_makes_the_next_one_anew(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    pipeline = pipeline_over(tmp_path / "lake", logs)
    put_flows(logs, flow(HOUR + 58 * MINUTE))
    put_flows(
        logs,
        *(flow(HOUR + n * MINUTE, state="C") for n in range(65, 120, 10)),
        hour=HOUR + ONE_HOUR,
    )
    put_flows(logs, flow(HOUR + 121 * MINUTE, state="E"), hour=HOUR + 2 * ONE_HOUR)
    shown = "select hour, is_orphan, ended_by, tuples from sessions order by all"
    for hours_after in (0, 2):
        build_one(pipeline, HOUR + hours_after * ONE_HOUR)
    # The hour between is missing: what was open is over, and the E has no beginning.
    assert ask(pipeline, shown) == [(7, False, "silence", 1), (7, True, "end", 1)]
    build_one(pipeline, HOUR + ONE_HOUR)
    assert ask(pipeline, shown) == [(7, False, "end", 8)]
    check_as_made_at_once(pipeline, logs, tmp_path)


def test_a_later_hour_that_was_left_behind_is_found_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    pipeline = pipeline_over(tmp_path / "lake", logs)
    put_flows(logs, flow(HOUR + 55 * MINUTE))
    put_flows(logs, flow(HOUR + 61 * MINUTE, state="E"), hour=HOUR + ONE_HOUR)
    bring_up_to_date(pipeline, HOUR, HOUR + 2 * ONE_HOUR)
    put_flows(logs, flow(HOUR + 56 * MINUTE))
    pipeline.land([HOUR])
    pipeline.look_up([HOUR])
    model = pipeline.planner.project.models["session_states"]
    committed = pipeline.planner.record_built

    def fails(*arguments: Any) -> None:
        # The hour is committed; the one that rests on it is not looked at any more.
        committed(*arguments)
        raise LakeError("The disk is gone", "A disk", "Find it")

    with monkeypatch.context() as patched:
        patched.setattr(pipeline.planner, "record_built", fails)
        assert len(pipeline.model_hours([HOUR]).unbuilt) == 1
    pipeline.planner.refresh()
    assert pipeline.planner.why_not_current(model, HOUR) is None
    assert pipeline.planner.why_not_current(model, HOUR + ONE_HOUR) == (
        "what was open before (open_sessions) is newer"
    )
    # Asked for the hour that is right, the run finds the later one that rests on it.
    assert built_by(pipeline, HOUR) == [6]
    check_as_made_at_once(pipeline, logs, tmp_path)


def build_one(pipeline: Pipeline, hour: datetime) -> list[int]:
    """Land and build an hour; the hours of which sessions were built."""
    pipeline.land([hour])
    pipeline.look_up([hour])
    modelled = pipeline.model_hours([hour])
    assert failures_of(modelled) == ()
    return [
        built.when.hour
        for built in modelled.partitions["session_states"]
        if built.changed and isinstance(built.when, datetime)
    ]


def built_by(pipeline: Pipeline, hour: datetime) -> list[int]:
    before = file_names(pipeline, "session_states")
    told = build_one(pipeline, hour)
    after = file_names(pipeline, "session_states")
    changed = sorted(int(n.rpartition("=")[2]) for n in after if after[n] != before.get(n))
    assert sorted(told) == changed
    return changed


def check_as_made_at_once(pipeline: Pipeline, logs: Path, tmp_path: Path) -> None:
    hours = [at for (at,) in ask(pipeline, "select distinct date + hour * interval 1 hour "
                                           "from fct_flows order by all")]  # fmt: skip
    anew = pipeline_over(tmp_path / f"anew-{random.random()}", logs)
    assert bring_up_to_date(anew, hours[0], hours[-1] + ONE_HOUR).failures == ()
    assert rows_of(pipeline, "session_states") == rows_of(anew, "session_states")
