"""Matches, retro-hunt and allow-list by SQL, and by a reference that knows no SQL and no bits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from flow_pipeline.dbt_models import load_project
from flow_pipeline.enrichment.threat_feeds import THREAT_SCHEMA, ThreatMatcher
from flow_pipeline.lake_views import connect
from flow_pipeline.pipeline import Pipeline
from tests.integration.lakes import bring_up_to_date, pipeline_over
from tests.unit.blobs import document, flow, put, record

pytestmark = pytest.mark.integration

HOUR = datetime(2025, 11, 1, 5)
NOON = datetime(2026, 3, 1, 12)
MINUTE = timedelta(minutes=1)
# Neighbours on both sides of what is not public, and addresses that entries share prefixes with.
ADDRESSES = [
    "198.51.100.1", "198.51.100.2", "198.51.100.129", "203.0.113.7", "9.255.255.255", "10.0.0.1",
    "100.63.255.255", "100.64.0.1", "127.0.0.1", "169.253.255.255", "169.254.1.1", "172.15.255.255",
    "172.16.0.1", "172.32.0.1", "192.0.0.1", "192.0.1.1", "192.168.1.1", "198.17.255.255",
    "198.18.0.1", "198.20.0.1", "223.255.255.255", "224.0.0.1", "0.0.0.1", "1.0.0.1",
    "2001:db8::1", "2001:db8::2", "2001:db8:0:1::", "3fff::1", "1::1", "4000::1", "fe80::1", "::1",
    "2001:db8:1:2:3:4:5:6", "::ffff:198.51.100.1",
]  # fmt: skip
ENTRIES = [
    "198.51.100.1", "198.51.100.0/24", "198.51.100.0/25", "198.0.0.0/8", "203.0.113.7",
    "172.0.0.0/8", "172.0.0.0/10", "192.0.0.0/8", "100.0.0.0/8", "2001:db8::1", "2001:db8::/32",
    "2001:db8::/64", "2001:d00::/24", "3fff::/20", "169.252.0.0/14", "9.0.0.0/8", "223.0.0.0/8",
]  # fmt: skip
PREFIXES = [
    "198.51.100.0/24", "198.51.100.0/30", "198.51.100.2", "10.0.0.0/8", "fe80::/10",
    "2001:db8::/48", "2001:db8::2", "::/1", "172.16.0.0/12",
]  # fmt: skip
FEEDS = ["a", "b", "c"]


@dataclass(frozen=True)
class Row:
    """A row of the history."""

    feed: str
    entry: str
    listed_from: datetime | None
    listed_to: datetime | None
    threat_type: str | None

    def holds(self, address: str) -> bool:
        return ip_address(address) in ip_network(self.entry)


def is_judged(address: str) -> bool:
    """Whether feeds judge an address at all: by IANA's registry, the documentation's apart."""
    parsed = ip_address(address)
    if parsed.version == 6:
        return parsed in ip_network("2000::/3")
    own = (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
    )  # fmt: skip
    return not any(parsed in ip_network(prefix) for prefix in own)


def drawn_history(draw: random.Random) -> list[Row]:
    """Listings as feeds leave them: one after another for each entry of each feed."""
    rows: list[Row] = []
    for feed in [*FEEDS, "not set"]:
        for entry in draw.sample(ENTRIES, draw.randint(0, len(ENTRIES))):
            # Times are drawn from few, so that they meet.
            times: list[datetime | None] = [
                NOON + no * MINUTE for no in sorted(draw.sample(range(12), draw.randint(1, 6)))
            ]
            if draw.random() < 0.4:
                times.insert(0, None)
            for no in range(0, len(times), 2):
                end = times[no + 1] if no + 1 < len(times) else None
                rows.append(Row(feed, entry, times[no], end, draw.choice([None, "C2", "Proxy"])))
    draw.shuffle(rows)
    return rows


def drawn_flows(draw: random.Random, rows: list[Row], feeds: list[str]) -> list[dict[str, Any]]:
    flows: list[dict[str, Any]] = []
    for no in range(60):
        at = (
            NOON + draw.randrange(-1, 13) * MINUTE + timedelta(milliseconds=draw.choice([-1, 0, 1]))
        )
        src, dst = draw.choice(ADDRESSES), draw.choice(ADDRESSES)
        listed = any(
            row.feed in feeds
            and is_judged(end)
            and row.holds(end)
            and (row.listed_from is None or row.listed_from <= at)
            and (row.listed_to is None or at < row.listed_to)
            for row in rows
            for end in (src, dst)
        )
        flows.append(
            {
                "blob": "x", "record_no": no, "flow_no": 0, "group_no": 0, "tuple_no": 0,
                "flow_time": at, "date": at.date(), "hour": at.hour, "src_ip": src, "dst_ip": dst,
                "decision": draw.choice("AD"), "is_malicious": listed,
                "is_new_flow": draw.random() < 0.7, "bytes_src_to_dst": draw.choice([None, 10]),
                "bytes_dst_to_src": draw.choice([None, 1]),
            }
        )  # fmt: skip
    return flows


@pytest.fixture(scope="module")
def views(
    tmp_path_factory: pytest.TempPathFactory, compiled: dict[str, str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views as a run records them, over tables that a test fills."""
    root = tmp_path_factory.mktemp("views")
    pipeline = made_lake(root)
    manifest = load_project().manifest
    with connect(pipeline.lake) as lake, duckdb.connect(":memory:") as connection:
        for name in ("fct_flows", "ip_lookup", "threat_entries", "threat_feeds", "allow_list"):
            nodes = [*manifest["sources"].values(), *manifest["nodes"].values()]
            [node] = [n for n in nodes if n["name"] == name and n["resource_type"] != "unit_test"]
            columns = ", ".join(f'"{c["name"]}" {c["data_type"]}' for c in node["columns"].values())
            connection.execute(f"create table {name} ({columns})")
        connection.execute(f"create view merged_flows as {compiled['merged_flows']}")
        found = lake.execute(
            "select sql from duckdb_views() where not internal and schema_name <> 'main' or "
            "view_name in ('threat_matches', 'retro_hunt', 'allow_listed_daily', 'dim_ip')"
        ).fetchall()
        for schema in ("staging", "intermediate"):
            connection.execute(f"create schema {schema}")
        # In whatever order they stand: one that rests on a later one waits for it.
        waiting = [sql for (sql,) in found]
        while waiting:
            left: list[str] = []
            for sql in waiting:
                try:
                    connection.execute(sql)
                except duckdb.CatalogException:
                    left.append(sql)
            if len(left) == len(waiting):
                break
            waiting = left
        yield connection


def made_lake(root: Path, **settings: Any) -> Pipeline:
    put(root / "logs", document(record([flow(HOUR + 9 * MINUTE)])), HOUR)
    pipeline = pipeline_over(root / "lake", root / "logs", **settings)
    assert bring_up_to_date(pipeline, HOUR, HOUR + timedelta(hours=1)).failures == ()
    return pipeline


def fill(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    connection.execute(f"truncate {table}")
    if rows:
        connection.register("filled", pa.Table.from_pylist(rows))
        connection.execute(f"insert into {table} by name select * from filled")


@pytest.mark.parametrize("seed", range(60))
def test_the_views_say_what_plain_python_says(views: duckdb.DuckDBPyConnection, seed: int) -> None:
    draw = random.Random(seed)
    rows, feeds = drawn_history(draw), draw.sample(FEEDS, draw.randint(1, 3))
    flows = drawn_flows(draw, rows, feeds)
    seen = sorted({flow[end] for flow in flows for end in ("src_ip", "dst_ip")})
    allowed = {
        prefix: f"reason {no}"
        for no, prefix in enumerate(draw.sample(PREFIXES, draw.randint(0, 9)))
    }
    fill(views, "threat_entries", [vars(row) for row in rows])
    fill(views, "threat_feeds", [{"feed": f, "feed_rank": no} for no, f in enumerate(feeds, 1)])
    fill(views, "allow_list", [{"prefix": p, "reason": r} for p, r in allowed.items()])
    # An address stands in the look-ups of several hours.
    fill(views, "ip_lookup", [{"ip": ip, "written_hour": hour} for ip in seen for hour in (1, 2)])
    fill(views, "fct_flows", flows)

    reasons: dict[str, str] = {}
    for ip in seen:
        holding = [p for p in allowed if ip_address(ip) in ip_network(p)]
        if holding and "." not in ip.partition("::ffff:")[2]:
            reasons[ip] = allowed[max(holding, key=lambda p: ip_network(p).prefixlen)]

    matches = [
        (ip, row)
        for ip in seen
        for row in rows
        if row.feed in feeds and is_judged(ip) and row.holds(ip)
    ]

    def agreeing(ip: str, row: Row) -> int:
        last = row.listed_to - timedelta(microseconds=1) if row.listed_to else None
        return len(
            {
                other.feed
                for at, other in matches
                if at == ip
                and (
                    other.listed_to is None
                    if last is None
                    else (other.listed_from is None or other.listed_from <= last)
                    and (other.listed_to is None or last < other.listed_to)
                )
            }
        )

    found = views.execute(
        "select ip, feed, entry, listed_from, listed_to, threat_type, is_listed_now, feeds, "
        "feed_rank, is_allow_listed, allow_list_reason from threat_matches"
    ).fetchall()
    expected = [
        (
            ip, row.feed, row.entry, row.listed_from, row.listed_to, row.threat_type,
            row.listed_to is None, agreeing(ip, row), feeds.index(row.feed) + 1,
            ip in reasons, reasons.get(ip),
        )
        for ip, row in matches
    ]  # fmt: skip
    assert sorted(found, key=str) == sorted(expected, key=str)

    # What judges addresses in the pipeline says the same of every moment.
    columns = [[getattr(row, name) for row in rows] for name in THREAT_SCHEMA.names]
    matcher = ThreatMatcher(pa.table(columns, schema=THREAT_SCHEMA), feeds)
    for ip in seen:
        spans = matcher.spans_of(ip) if "." not in ip.partition("::ffff:")[2] else []
        is_listed = any(span.listed_to is None for span in spans)
        assert is_listed == any(at == ip and row.listed_to is None for at, row in matches)

    hunted = views.execute(
        "select record_no, decision, listed_ip, threat_feed, threat_entry, listed_from "
        "from retro_hunt"
    ).fetchall()
    later = []
    for no, each in enumerate(flows):
        since = [
            (row.listed_from, end, feeds.index(row.feed), -ip_network(row.entry).prefixlen, row)
            for end, ip in enumerate((each["src_ip"], each["dst_ip"]))
            for at, row in matches
            if at == ip and row.listed_from is not None and row.listed_from > each["flow_time"]
        ]
        if since and not each["is_malicious"]:
            _, end, _, _, row = min(since, key=lambda one: one[:4])
            ip = each["dst_ip" if end else "src_ip"]
            later.append((no, each["decision"], ip, row.feed, row.entry, row.listed_from))
    assert sorted(hunted) == sorted(later)
    assert [row[1] for row in hunted] == sorted(row[1] for row in hunted)

    by_reason: dict[Any, list[int]] = {}
    for each in flows:
        reason = reasons.get(each["src_ip"]) or reasons.get(each["dst_ip"])
        counts = by_reason.setdefault((each["date"], reason is not None, reason), [0, 0, 0, 0])
        counts[0] += each["is_new_flow"]
        counts[1] += 1
        counts[2] += each["is_new_flow"] and each["is_malicious"]
        counts[3] += (each["bytes_src_to_dst"] or 0) + (each["bytes_dst_to_src"] or 0)
    daily = views.execute(
        "select date, is_allow_listed, allow_list_reason, flows, tuples, malicious, "
        "coalesce(bytes, 0) from allow_listed_daily"
    ).fetchall()
    assert {row[:3]: list(row[3:]) for row in daily} == by_reason
    assert len(daily) == len(by_reason)

    known = views.execute("select ip, is_allow_listed, allow_list_reason from dim_ip").fetchall()
    assert sorted(known) == [(ip, ip in reasons, reasons.get(ip)) for ip in seen]


def test_the_allow_list_acts_at_once_on_all_history_and_changes_no_file(tmp_path: Path) -> None:
    feed = tmp_path / "feed.txt"
    feed.write_text("198.51.100.7\n")
    listed = tmp_path / "allowed.csv"
    listed.write_text("prefix,reason\n198.51.100.0/24,our own scanner\n")
    pipeline = made_lake(tmp_path, threat_feeds=(str(feed),))
    files = sorted(path for path in pipeline.lake.root.rglob("*.parquet"))
    again = pipeline_over(
        tmp_path / "lake", tmp_path / "logs", threat_feeds=(str(feed),), allow_list=listed
    )
    assert again.model_hours([HOUR]).unbuilt == ()
    assert sorted(path for path in pipeline.lake.root.rglob("*.parquet")) == files
    with duckdb.connect(str(again.lake.root / "flows.duckdb"), read_only=True) as published:
        rows = published.execute("select * from allow_list").fetchall()
        reasons = published.execute(
            "select is_allow_listed, allow_list_reason from dim_ip where ip like '198.51.100.%'"
        ).fetchall()
    assert rows == [("198.51.100.0/24", "our own scanner")]
    assert set(reasons) <= {(True, "our own scanner")}
