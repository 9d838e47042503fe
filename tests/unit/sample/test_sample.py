"""A small generated day, read back with plain `json` and `split` and counted independently."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import maxminddb
import pytest

from flow_pipeline.enrichment.country import BUNDLED_COUNTRY_DB
from flow_pipeline.errors import SettingError
from flow_pipeline.sample import (
    BLOB_HEAD,
    BLOB_TAIL,
    Layout,
    SampleSummary,
    generate,
    sample_blobs,
)

DAY = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1)
FLOWS = 20_000
PLATFORM = "168.63.129.16"
METADATA = "169.254.169.254"
VICTIMS = {"10.0.0.4", "10.0.0.5"}


@dataclass(frozen=True)
class ReadTuple:
    """A v4 tuple with what its record says."""

    written_hour: datetime
    record_time: datetime
    mac: str
    acl: str
    rule: str
    text: str

    @property
    def fields(self) -> list[str]:
        return self.text.split(",")

    @property
    def flow_time(self) -> datetime:
        return datetime(1970, 1, 1) + timedelta(milliseconds=int(self.fields[0]))

    @property
    def is_new(self) -> bool:
        return self.fields[7] in "BD"


def read_documents(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(out.rglob("PT1H.json")):
        yield path, json.loads(path.read_bytes())


def written_hour(path: Path) -> datetime:
    year, month, day, hour = (int(part.split("=")[1]) for part in path.parts[-7:-3])
    return datetime(year, month, day, hour)


def record_time(text: str) -> datetime:
    # Seven digits and a Z: cut to the microseconds that Python knows.
    assert len(text) == len("2025-08-04T18:25:05.9659581Z")
    return datetime.fromisoformat(text[:-2])


def tree_digest(out: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        digest.update(str(path.relative_to(out)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="module")
def summary(out: Path) -> SampleSummary:
    return generate(out, DAY, FLOWS)


@pytest.fixture(scope="module")
def tuples(out: Path, summary: SampleSummary) -> list[ReadTuple]:
    found: list[ReadTuple] = []
    for path, document in read_documents(out):
        for record in document["records"]:
            for flow in record["flowRecords"]["flows"]:
                for group in flow["flowGroups"]:
                    found += [
                        ReadTuple(
                            written_hour(path),
                            record_time(record["time"]),
                            record["macAddress"],
                            flow["aclID"],
                            group["rule"],
                            text,
                        )
                        for text in group["flowTuples"]
                    ]
    return found


@pytest.fixture(scope="module")
def threats(out: Path, summary: SampleSummary) -> list[str]:
    lines = (out / "threats.txt").read_text().splitlines()
    assert lines[0].startswith("# A made-up threat list")
    return [line for line in lines if not line.startswith("#")]


def incoming_sources(tuples: list[ReadTuple]) -> set[str]:
    """From the internet: neither the platform nor the machines themselves."""
    return {one.fields[1] for one in tuples} - VICTIMS - {PLATFORM}


def test_the_number_of_new_flows_is_exactly_what_was_asked_for(
    tuples: list[ReadTuple], summary: SampleSummary
) -> None:
    assert sum(one.is_new for one in tuples) == FLOWS == summary.flows
    assert len(tuples) == summary.tuples <= 1.3 * FLOWS
    assert Counter(one.fields[7] for one in tuples if one.is_new) == {
        "B": summary.allowed,
        "D": summary.denied,
    }


def test_445_leads_when_3389_is_left_out_and_the_eight_follow_in_order(
    tuples: list[ReadTuple], summary: SampleSummary
) -> None:
    ports = Counter((int(one.fields[4]), int(one.fields[5])) for one in tuples if one.is_new)
    ranked = [port for port, _ in ports.most_common(9)]
    assert ranked == [
        (3389, 6),
        (445, 6),
        (80, 6),
        (22, 6),
        (23, 6),
        (1433, 6),
        (2323, 6),
        (5060, 17),
        (5555, 6),
    ]
    assert {(one.port, one.protocol): one.flows for one in summary.ports} == {
        key: ports[key] for key in ((one.port, one.protocol) for one in summary.ports)
    }
    # The long tail: sweeps and scanners reach hundreds of ports.
    assert len(ports) > 500


def test_more_than_a_third_of_the_sources_are_in_china_by_the_bundled_database(
    tuples: list[ReadTuple], summary: SampleSummary
) -> None:
    with maxminddb.open_database(BUNDLED_COUNTRY_DB) as database:
        countries: Counter[str] = Counter()
        for address in incoming_sources(tuples):
            record: Any = database.get(address)
            countries[record["country"]["iso_code"]] += 1
    assert countries.most_common(1)[0][0] == "CN"
    assert countries["CN"] > countries.total() / 3
    assert dict(countries) == summary.sources_by_country


def test_every_source_is_a_public_address(tuples: list[ReadTuple]) -> None:
    sources = incoming_sources(tuples)
    assert all(ip_address(address).is_global for address in sources)
    assert {one.fields[2] for one in tuples if one.fields[6] == "I"} == VICTIMS
    assert {one.fields[1] for one in tuples if one.fields[6] == "O"} == VICTIMS


def test_each_machine_is_probed_before_it_sends_its_first_packet(
    tuples: list[ReadTuple], summary: SampleSummary
) -> None:
    for machine in summary.machines:
        own = [one for one in tuples if one.mac == machine.mac]
        first_in = min(one.flow_time for one in own if one.fields[6] == "I")
        first_out = min(one.flow_time for one in own if one.fields[6] == "O")
        assert first_in.time().isoformat("milliseconds") == machine.first_probe
        assert first_out.time().isoformat("milliseconds") == machine.first_outbound
        assert machine.address_assigned < machine.first_probe
        assert timedelta(minutes=3) < first_out - first_in < timedelta(minutes=15)
        early = sum(one.is_new and one.flow_time < first_out for one in own)
        assert early == machine.probes_before_first_outbound > 10
        # Nothing answers before the machine is alive: packets come in, none go out.
        for one in own:
            if one.flow_time < first_out and one.fields[7] == "E":
                assert one.fields[11:] == ["0", "0"]
        assert {one.fields[1] for one in own} | {one.fields[2] for one in own} >= {
            machine.private_address
        }


def test_all_flows_are_of_the_day_and_stand_in_25_written_hours(
    tuples: list[ReadTuple], summary: SampleSummary
) -> None:
    assert all(timedelta() <= one.flow_time - MIDNIGHT < timedelta(days=1) for one in tuples)
    hours = sorted({one.written_hour for one in tuples})
    assert hours == [MIDNIGHT + timedelta(hours=hour) for hour in range(25)]
    by_event_hour = Counter(one.flow_time.hour for one in tuples if one.is_new)
    assert [by_event_hour[hour] for hour in range(24)] == summary.flows_by_hour
    assert min(summary.flows_by_hour) > 0


def test_a_record_is_written_1_to_64_seconds_after_its_flows(tuples: list[ReadTuple]) -> None:
    for one in tuples:
        lag = one.record_time - one.flow_time
        assert timedelta(seconds=1) <= lag <= timedelta(seconds=64)
        assert one.written_hour <= one.record_time < one.written_hour + timedelta(hours=1)
    # So the last minute of an hour is written in the next one.
    late = [one for one in tuples if one.flow_time.hour != one.written_hour.hour]
    assert late
    assert all(one.flow_time.minute == 59 for one in late)


def test_rules_decide_as_their_names_say(tuples: list[ReadTuple]) -> None:
    for one in tuples:
        _, source, target, _, port, protocol, direction, state, encryption, *counters = one.fields
        assert encryption == "NX"
        assert one.acl.endswith("-nsg") == (one.rule != "PlatformRule")
        match one.rule:
            case "UserRule_AllowRDP":
                assert (direction, port, protocol) == ("I", "3389", "6")
                assert state in "BCE"
            case "DefaultRule_DenyAllInBound":
                assert (direction, state) == ("I", "D")
                assert (port, protocol) != ("3389", "6")
            case "DefaultRule_AllowInternetOutBound":
                assert direction == "O"
                assert state in "BCE"
            case _:
                assert one.rule == "PlatformRule"
                assert one.acl == "00000000-0000-0000-0000-000000000000"
                assert {source, target} & {PLATFORM, METADATA}
        if state in "BD":
            assert counters == ["0", "0", "0", "0"]


def test_no_connection_ends_before_it_begins_and_counters_are_deltas(
    tuples: list[ReadTuple],
) -> None:
    chains: defaultdict[tuple[str, ...], list[ReadTuple]] = defaultdict(list)
    for one in tuples:
        if one.fields[7] != "D":
            chains[one.mac, *one.fields[1:6]].append(one)
    whole = [sorted(chain, key=lambda one: one.flow_time) for chain in chains.values()]
    long = [c for c in whole if "".join(one.fields[7] for one in c).startswith("BCC")]
    assert long
    for chain in whole:
        assert chain[0].fields[7] == "B"
    for chain in long:
        clock = [one.flow_time for one in chain if one.fields[7] == "C"]
        assert {(b - a) for a, b in pairwise(clock)} == {timedelta(minutes=5)}
        packets = [int(one.fields[9]) for one in chain if one.fields[7] == "C"]
        # Counted since the tuple before, so whole steps of the clock are alike, not growing.
        assert max(packets[1:]) - min(packets[1:]) <= 1


def test_unanswered_syns_come_again_with_the_same_four_tuple(tuples: list[ReadTuple]) -> None:
    attempts: defaultdict[tuple[str, ...], list[datetime]] = defaultdict(list)
    for one in tuples:
        if one.fields[4] == "445":
            attempts[tuple(one.fields[1:5])].append(one.flow_time)
    fourfold = [sorted(times) for times in attempts.values() if len(times) == 4]
    assert len(fourfold) > 100
    after = [round((time - times[0]).total_seconds()) for times in fourfold for time in times]
    assert Counter(after) == {second: len(fourfold) for second in (0, 1, 3, 7)}


def test_sip_scanners_keep_their_source_port(tuples: list[ReadTuple]) -> None:
    ports: defaultdict[str, set[int]] = defaultdict(set)
    for one in tuples:
        if one.fields[4] == "5061":
            ports[one.fields[1]].add(int(one.fields[3]))
    assert ports
    assert all(len(own) == 1 and min(own) >= 5060 for own in ports.values())


def test_one_source_alone_makes_hundreds_of_rdp_connections(tuples: list[ReadTuple]) -> None:
    rdp = Counter(one.fields[1] for one in tuples if one.is_new and one.fields[4] == "3389")
    assert rdp.most_common(1)[0][1] > 300


def test_genuine_twins_are_there(tuples: list[ReadTuple]) -> None:
    texts = Counter((one.written_hour, one.mac, one.text) for one in tuples)
    twins = [text.split(",") for (_, _, text), times in texts.items() if times > 1]
    assert {fields[7] for fields in twins} == {"B", "E"}
    assert {fields[6] for fields in twins} == {"O"}


def test_tuples_are_not_sorted_by_time(out: Path, summary: SampleSummary) -> None:
    groups = [
        [int(text.split(",")[0]) for text in group["flowTuples"]]
        for _, document in read_documents(out)
        for record in document["records"]
        for flow in record["flowRecords"]["flows"]
        for group in flow["flowGroups"]
    ]
    assert any(times != sorted(times) for times in groups)


def test_the_threat_list_holds_about_half_of_the_sources_and_many_others(
    tuples: list[ReadTuple], threats: list[str], summary: SampleSummary
) -> None:
    networks = [ip_network(entry) for entry in threats if "/" in entry]
    addresses = {entry for entry in threats if "/" not in entry}
    assert len(threats) == summary.threat_entries == len(set(threats))

    def is_listed(address: str) -> bool:
        return address in addresses or any(ip_address(address) in one for one in networks)

    sources = incoming_sources(tuples)
    listed = {address for address in sources if is_listed(address)}
    assert 0.4 < len(listed) / len(sources) < 0.6
    assert len(listed) == summary.malicious_sources
    assert listed - addresses, "some are covered by a network only"
    assert len(addresses - sources) > len(addresses) / 5
    assert sum(one.is_new and one.fields[1] in listed for one in tuples) == summary.malicious


def test_sample_json_holds_the_summary(out: Path, summary: SampleSummary) -> None:
    assert json.loads((out / "sample.json").read_text()) == asdict(summary)
    assert summary.date == "2026-03-01"
    assert summary.blobs == len(list(out.rglob("PT1H.json"))) == 49


def test_a_blob_is_head_data_blocks_and_tail(out: Path, summary: SampleSummary) -> None:
    for blob in sample_blobs(DAY, FLOWS):
        blocks = [block.data for block in blob.blocks]
        assert blob.content == BLOB_HEAD + b"".join(blocks) + BLOB_TAIL
        assert blob.content == (out / blob.container / blob.name).read_bytes()
        assert [data[:1] for data in blocks] == [b"{"] + [b","] * (len(blocks) - 1)
        minutes = [block.minute for block in blob.blocks]
        assert minutes == sorted(set(minutes))
        for block in blob.blocks:
            records = json.loads(b"[" + block.data.removeprefix(b",") + b"]")
            assert len({(record["time"], record["macAddress"]) for record in records}) == 1
            assert record_time(records[0]["time"]).minute == block.minute
        # After every minute it is closed JSON.
        json.loads(BLOB_HEAD + b"".join(blocks[:1]) + BLOB_TAIL)


def test_a_busy_minute_is_several_records_with_one_time() -> None:
    records: list[dict[str, Any]] = next(
        json.loads(blob.content)["records"]
        for blob in sample_blobs(DAY, 400_000)
        if blob.written_hour.hour == 9
    )
    same = Counter((record["time"], record["macAddress"]) for record in records)
    assert max(same.values()) > 1


def test_the_same_arguments_give_the_same_bytes(
    out: Path, summary: SampleSummary, tmp_path: Path
) -> None:
    # What was in the folder before, an older sample in another layout, leaves no trace.
    generate(tmp_path, date(2025, 7, 9), 1_000, layout="nsg2")
    assert generate(tmp_path, DAY, FLOWS) == summary
    assert tree_digest(tmp_path) == tree_digest(out)


def test_the_counts_do_not_depend_on_the_date_but_on_the_seed(tmp_path: Path) -> None:
    first = asdict(generate(tmp_path, DAY, 2_000))
    leap_day = asdict(generate(tmp_path, date(2024, 2, 29), 2_000))
    assert leap_day.pop("date") == "2024-02-29"
    assert {key: value for key, value in first.items() if key != "date"} == leap_day
    other = asdict(generate(tmp_path, DAY, 2_000, seed=7))
    assert other["ports"] != first["ports"]
    assert other["flows"] == 2_000


NSG_RULES_OF_OLD = {
    "DefaultRule_AllowAzureLoadBalancerInBound",
    "DefaultRule_AllowInternetOutBound",
    "DefaultRule_DenyAllInBound",
    "UserRule_AllowRDP",
}


@pytest.mark.parametrize(("layout", "version", "width"), [("nsg1", 1, 8), ("nsg2", 2, 13)])
def test_nsg_layouts(layout: Layout, version: int, width: int, tmp_path: Path) -> None:
    flows = 2_000
    summary = generate(tmp_path, DAY, flows, layout=layout)
    texts: list[str] = []
    for path, document in read_documents(tmp_path):
        parts = path.relative_to(tmp_path).parts
        assert parts[0] == "insights-logs-networksecuritygroupflowevent"
        assert parts[1:3] == ("resourceId=", "SUBSCRIPTIONS")
        for record in document["records"]:
            assert record["category"] == "NetworkSecurityGroupFlowEvent"
            assert f"resourceId={record['resourceId']}/y=" in str(path)
            assert record["properties"]["Version"] == version
            rules = {flow["rule"] for flow in record["properties"]["flows"]}
            assert rules <= NSG_RULES_OF_OLD
            assert version == 2 or rules == NSG_RULES_OF_OLD
            for flow in record["properties"]["flows"]:
                for group in flow["flows"]:
                    assert group["mac"] == record["macAddress"]
                    texts += group["flowTuples"]
    fields = [text.split(",") for text in texts]
    assert {len(one) for one in fields} == {width}
    assert {len(one[0]) for one in fields} == {10}
    assert {(one[5], one[6], one[7]) for one in fields} >= {("T", "I", "A"), ("U", "I", "D")}
    if version == 1:
        assert len(texts) == flows == summary.tuples
    else:
        assert sum(one[8] == "B" for one in fields) == flows
        for one in fields:
            if one[8] == "B":
                assert one[9:] == [""] * 4
            else:
                assert one[7] == "A"
                assert all(counter.isdigit() for counter in one[9:])


def test_layouts_tell_of_the_same_flows(tmp_path: Path) -> None:
    layouts: tuple[Layout, ...] = ("vnet", "nsg2", "nsg1")
    told = [asdict(generate(tmp_path, DAY, 2_000, layout=layout)) for layout in layouts]
    for one in told:
        del one["layout"], one["tuples"]
    assert told[0] == told[1] == told[2]


def test_given_attackers_take_part(tmp_path: Path) -> None:
    attackers = [f"198.51.100.{last}" for last in range(1, 21)]
    generate(tmp_path, DAY, 2_000, attackers=attackers)
    logged = b"".join(path.read_bytes() for path in tmp_path.rglob("PT1H.json"))
    taking_part = [one for one in attackers if f",{one},10.0.0.".encode() in logged]
    # Those in place of a source with a single flow or none may miss their turn.
    assert len(taking_part) >= 15


def test_progress_ends_with_all_hours(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    generate(tmp_path, DAY, 2_000, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (25, 25)


@pytest.mark.parametrize(("flows", "seed"), [(999, 1), (1_000, -1)])
def test_a_day_that_makes_no_sense_is_refused(flows: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        generate(tmp_path, DAY, flows, seed)
    assert not list(tmp_path.iterdir())
