"""Looking up: what was known of an address at any instant, and when that is worth a new look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from flow_pipeline.address_lookup import (
    IP_LOOKUP,
    LookedUpHour,
    ReferenceData,
    _filled,  # pyright: ignore[reportPrivateUsage]
    look_up_hour,
)
from flow_pipeline.enrichment.address_facts import open_address_facts
from flow_pipeline.enrichment.threat_feeds import (
    FeedEntry,
    FeedSnapshot,
    merge_snapshot,
)
from flow_pipeline.errors import LakeBusy
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.lake import FOOTER_KEY, Lake, footer_bytes
from flow_pipeline.landing import land_hour
from flow_pipeline.partitions import UNPARTITIONED, written_partition
from flow_pipeline.settings import Settings
from flow_pipeline.threat_history import THREAT_ENTRIES, ThreatHistory, read_history
from tests.unit.blobs import HOUR, MINUTE, document, flow, put, put_flows, record

NOW = datetime(2026, 11, 3, 12)
SECOND = timedelta(seconds=1)
Refer = Callable[[], ReferenceData]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(tmp_path / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logs" / VNET_CONTAINER).mkdir(parents=True)
    return tmp_path / "logs"


def country_db(path: Path, countries: dict[str, str]) -> Path:
    writer = MMDBWriter(ip_version=4, database_type="Test-Country", description="for a test")
    for network, country in countries.items():
        writer.insert_network(IPSet([network]), {"country": {"iso_code": country}})
    writer.to_db_file(str(path))
    return path


@pytest.fixture
def refer(lake: Lake, tmp_path: Path) -> Iterator[Refer]:
    """The reference data as they stand at the call: one small country database, feed `a`."""
    path = country_db(tmp_path / "own.mmdb", {"198.51.100.0/24": "NL", "203.0.113.0/24": "BR"})
    with open_address_facts(Settings(country_db=path)) as facts:
        yield lambda: ReferenceData(facts, read_history(lake, ["a", "b"]))


def listed(lake: Lake, at: datetime, *entries: str, feed: str = "a") -> None:
    """Record that a feed said this at a time, as refreshing it would have."""
    snapshot = lake.existing(THREAT_ENTRIES)
    known = [file for file in snapshot.files if file.footer()["feed"] == feed]
    before = pq.read_table(known[0].path) if known else THREAT_ENTRIES.schema.empty_table()
    said = FeedSnapshot(feed, at, tuple(FeedEntry(e, None) for e in entries), 0, "|".join(entries))
    history = known[0].footer()["snapshots"] if known else []
    footer = {
        "feed": feed,
        "entries": len(entries),
        "ignored": 0,
        "snapshots": [*history, [at.isoformat(), said.content_digest]],
    }
    path = snapshot.stage(UNPARTITIONED)
    with pq.ParquetWriter(path, THREAT_ENTRIES.schema) as writer:
        writer.write_table(merge_snapshot(before, said))
        writer.add_key_value_metadata({FOOTER_KEY: footer_bytes(footer)})
    snapshot.commit(UNPARTITIONED, [path], known)


def land(lake: Lake, folder: Path, hour: datetime = HOUR) -> None:
    land_hour(lake, [FolderSource(folder)], hour, lambda: NOW)


def look_up(lake: Lake, reference: ReferenceData, hour: datetime = HOUR) -> LookedUpHour:
    return look_up_hour(lake, reference, hour, lambda: NOW)


def rows(lake: Lake, hour: datetime = HOUR) -> list[dict[str, Any]]:
    [file] = lake.existing(IP_LOOKUP).files_of(written_partition(hour))
    return pq.read_table(file.path, partitioning=None).to_pylist()


def spans(lake: Lake, ip: str) -> list[tuple[datetime | None, datetime | None, str | None]]:
    return [
        (row["valid_from"], row["valid_to"], row["threat_entry"])
        for row in rows(lake)
        if row["ip"] == ip
    ]


class TestRows:
    def test_every_address_once_with_what_is_known(
        self, lake: Lake, folder: Path, refer: Refer
    ) -> None:
        listed(lake, NOW, "198.51.100.8", "203.0.113.0/24")
        texts = [flow(HOUR, src) for src in ("198.51.100.7", "198.51.100.8", "198.51.100.7")]
        put(folder, document(record([*texts, flow(HOUR, "203.0.113.9", "198.51.100.7"), "bad"])))
        land(lake, folder)
        reference = refer()
        looked_up = look_up(lake, reference)
        assert (looked_up.addresses, looked_up.listed, looked_up.changed) == (4, 2, True)
        known = {
            "threat_type": None,
            "valid_from": None,
            "valid_to": None,
            "looked_up_at": NOW,
            "country_db": reference.facts.countries.version,
            "azure_ranges": reference.facts.azure.version,
            "address_class": "documentation",
        }
        # No list and no other database is set.
        known |= dict.fromkeys(
            (
                "asn", "organisation", "asn_db", "azure_region", "azure_service", "scanner",
                "scanner_list", "network", "network_kind", "network_region", "vnet", "network_list",
            )
        )  # fmt: skip
        unlisted = known | {"threat_feed": None, "threat_entry": None}
        by_a = known | {"threat_feed": "a"}
        assert rows(lake) == [
            unlisted | {"ip": "10.0.0.4", "country": None, "address_class": "private"},
            unlisted | {"ip": "198.51.100.7", "country": "NL"},
            by_a | {"ip": "198.51.100.8", "country": "NL", "threat_entry": "198.51.100.8"},
            by_a | {"ip": "203.0.113.9", "country": "BR", "threat_entry": "203.0.113.0/24"},
        ]

    def test_the_moment_of_looking_up_is_kept_to_the_millisecond(
        self, lake: Lake, folder: Path, refer: Refer
    ) -> None:
        put(folder, document(record([flow(HOUR, "198.51.100.7")])))
        land(lake, folder)
        moment = NOW.replace(microsecond=123_456)
        look_up_hour(lake, refer(), HOUR, lambda: moment)
        assert {row["looked_up_at"] for row in rows(lake)} == {NOW.replace(microsecond=123_000)}

    def test_a_feed_that_changed_during_the_hour_gives_two_spans(
        self, lake: Lake, folder: Path, refer: Refer
    ) -> None:
        changed = HOUR + 30 * MINUTE
        listed(lake, HOUR - 600 * MINUTE, "198.51.100.1")
        listed(lake, changed, "198.51.100.2")
        put_flows(folder, flow(HOUR, "198.51.100.1"), flow(HOUR, "198.51.100.2"))
        land(lake, folder)
        assert look_up(lake, refer()).addresses == 3
        assert spans(lake, "198.51.100.1") == [
            (None, changed, "198.51.100.1"),
            (changed, None, None),
        ]
        assert spans(lake, "198.51.100.2") == [
            (None, changed, None),
            (changed, None, "198.51.100.2"),
        ]
        assert spans(lake, "10.0.0.4") == [(None, None, None)]

    def test_an_empty_hour_has_a_look_up_without_rows(
        self, lake: Lake, folder: Path, refer: Refer
    ) -> None:
        land(lake, folder)
        looked_up = look_up(lake, refer())
        assert (looked_up.addresses, looked_up.listed, looked_up.changed) == (0, 0, True)
        assert rows(lake) == []
        assert not look_up(lake, refer()).changed

    def test_an_hour_that_was_never_landed_is_empty(self, lake: Lake, refer: Refer) -> None:
        assert look_up(lake, refer()).addresses == 0
        assert rows(lake) == []


class TestWhenItIsDoneAgain:
    @pytest.fixture(autouse=True)
    def an_hour_looked_up(self, lake: Lake, folder: Path, refer: Refer) -> None:
        listed(lake, HOUR - 60 * MINUTE, "198.51.100.7")
        put_flows(folder, flow(HOUR), flow(HOUR + 30 * MINUTE))
        land(lake, folder)
        assert look_up(lake, refer()).changed

    def test_nothing_changed(self, lake: Lake, folder: Path, refer: Refer) -> None:
        land(lake, folder)
        again = look_up(lake, refer())
        assert (again.changed, again.addresses, again.listed) == (False, 2, 1)
        assert lake.existing(IP_LOOKUP).version == 1

    def test_the_hour_was_landed_anew(self, lake: Lake, folder: Path, refer: Refer) -> None:
        put_flows(folder, flow(HOUR, "203.0.113.9"))
        land(lake, folder)
        assert look_up(lake, refer()).changed
        assert [row["ip"] for row in rows(lake)] == ["10.0.0.4", "203.0.113.9"]
        assert not look_up(lake, refer()).changed

    def test_another_country_database(self, lake: Lake, refer: Refer, tmp_path: Path) -> None:
        path = country_db(tmp_path / "newer.mmdb", {"198.51.100.0/24": "FR"})
        with open_address_facts(Settings(country_db=path)) as facts:
            assert look_up(lake, ReferenceData(facts, refer().threats)).changed
        assert [row["country"] for row in rows(lake)] == [None, "FR"]

    @pytest.mark.parametrize(
        ("setting", "content"),
        [
            ("networks", "prefix,name,kind,region\n198.51.100.0/24,office,site,\n"),
            ("scanners", "prefix,name\n198.51.100.7,Censys\n"),
            ("service_tags", '{"values": [{"name": "A", "properties": {"addressPrefixes": []}}]}'),
        ],
    )
    def test_another_list(
        self, lake: Lake, refer: Refer, tmp_path: Path, setting: str, content: str
    ) -> None:
        path = tmp_path / "list"
        path.write_text(content)
        settings = Settings.model_validate({"country_db": tmp_path / "own.mmdb", setting: path})
        for _ in range(2):
            with open_address_facts(settings) as facts:
                reference = ReferenceData(facts, refer().threats)
                assert look_up(lake, reference).changed
                assert not look_up(lake, reference).changed
            path.write_text(
                content.replace("198.51.100", "203.0.113").replace("[]", '["10.0.0.0/8"]')
            )

    def test_the_first_snapshot_of_another_feed(self, lake: Lake, refer: Refer) -> None:
        listed(lake, NOW, "203.0.113.250", feed="b")
        assert look_up(lake, refer()).changed

    @pytest.mark.parametrize(
        ("after_the_last_flow", "changed"),
        [(-SECOND, True), (0 * SECOND, True), (timedelta(milliseconds=1), False), (SECOND, False)],
    )
    def test_a_later_snapshot_only_where_flows_come_after_it(
        self, lake: Lake, refer: Refer, after_the_last_flow: timedelta, changed: bool
    ) -> None:
        moment = HOUR + 30 * MINUTE + after_the_last_flow
        listed(lake, moment, "198.51.100.9")
        assert look_up(lake, refer()).changed is changed
        if changed:
            assert spans(lake, "198.51.100.7") == [
                (None, moment, "198.51.100.7"),
                (moment, None, None),
            ]

    def test_a_refused_writer_looks_again(self, lake: Lake, folder: Path, refer: Refer) -> None:
        put_flows(folder, flow(HOUR, "203.0.113.9"))
        land(lake, folder)
        reference = refer()
        clock = iter([lambda: look_up(lake, reference)])

        def now_with_another_writer() -> datetime:
            next(clock, lambda: None)()
            return NOW

        again = look_up_hour(lake, reference, HOUR, now_with_another_writer)
        assert not again.changed
        assert lake.existing(IP_LOOKUP).version == 2

    def test_a_writer_that_is_always_overtaken_gives_up(
        self, lake: Lake, folder: Path, refer: Refer
    ) -> None:
        reference = refer()
        counts = iter(range(2, 100))

        def land_and_look_up_anew() -> datetime:
            look_up(lake, reference)
            put_flows(folder, *[flow(HOUR)] * next(counts))
            land(lake, folder)
            return NOW

        put_flows(folder, flow(HOUR))
        land(lake, folder)
        with pytest.raises(LakeBusy, match="2026-11-01T05"):
            look_up_hour(lake, reference, HOUR, land_and_look_up_anew)


addresses = st.sampled_from(["198.51.100.1", "198.51.100.2", "203.0.113.1"])
entries = st.lists(
    st.sampled_from(["198.51.100.1", "198.51.100.2", "198.51.100.0/24", "203.0.113.0/30"]),
    min_size=1,
    unique=True,
)
instants = st.integers(-120, 120).map(lambda minutes: HOUR + minutes * MINUTE)


@given(
    said=st.lists(st.tuples(st.sampled_from("ab"), instants, entries), max_size=6),
    asked=st.lists(st.tuples(addresses, instants), min_size=1, max_size=8),
)
def test_each_instant_has_exactly_one_row(
    said: list[tuple[str, datetime, list[str]]],
    asked: list[tuple[str, datetime]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    history: pa.Table = THREAT_ENTRIES.schema.empty_table()
    for feed, moment, listed_then in sorted(said, key=lambda each: each[1]):
        found = tuple(FeedEntry(entry, None) for entry in sorted(listed_then))
        history = merge_snapshot(history, FeedSnapshot(feed, moment, found, 0, ""))
    threats = ThreatHistory(("a", "b"), history, ())
    for address, instant in asked:
        listed_spans = threats.matcher.spans_of(address)
        filled = _filled(listed_spans)

        def holding(
            moment: datetime, spans: list[Any] = filled
        ) -> list[tuple[str, str, str | None]]:
            return [
                span[2:]
                for span in spans
                if (span.listed_from is None or span.listed_from <= moment)
                and (span.listed_to is None or moment < span.listed_to)
            ]

        bounds = [span.listed_from for span in filled] + [span.listed_to for span in filled]
        for moment in [instant, *(bound for bound in bounds if bound)]:
            [row] = holding(moment)
            assert row == (holding(moment, listed_spans) or [("", "", None)])[0]
        assert (filled[0].listed_from, filled[-1].listed_to) == (None, None)
