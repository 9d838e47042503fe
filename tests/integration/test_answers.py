"""The three answers on the sample, held against the sample's own truth counted from its JSON."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from flow_pipeline.answers import QUESTIONS, answers
from flow_pipeline.enrichment.country import open_country_database
from flow_pipeline.partitions import day_start
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.sample import generate
from flow_pipeline.sample.story import MACHINES, PLATFORM_ADDRESS
from tests.integration.lakes import ask, bring_up_to_date, pipeline_over
from tests.integration.plain_count import LoggedFlow, flows_in, listed_in
from tests.unit.blobs import flow, put_flows

pytestmark = pytest.mark.integration

DAY = date(2025, 11, 1)
NEXT_DAY = DAY + timedelta(days=1)
# Of the study, 3389 left out.
STUDY_PORTS = [445, 80, 22, 23, 1433, 2323, 5060, 5555]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    generate(folder, DAY, 20_000)
    return folder


@pytest.fixture(scope="module")
def inbound(logs: Path) -> list[LoggedFlow]:
    return [each for each in flows_in(logs) if each.direction == "I" and each.is_new]


@pytest.fixture(scope="module")
def study(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    pipeline = pipeline_over(
        tmp_path_factory.mktemp("study") / "lake",
        logs,
        threat_feeds=(str(logs / "threats.txt"),),
        top_excluded_ports=frozenset({3389}),
    )
    update = bring_up_to_date(pipeline, day_start(DAY), day_start(NEXT_DAY))
    assert update.failures == ()
    return pipeline


def told(pipeline: Pipeline, number: int) -> str:
    found = answers(pipeline.lake, [DAY, NEXT_DAY])
    assert found is not None
    # The next day has an hour that was looked at, and no flow.
    assert found.days == (DAY,)
    assert tuple(each.question for each in found.answers) == QUESTIONS
    return "\n".join(found.answers[number].sentences)


def test_they_are_told_while_somebody_has_opened_the_published_views_to_write(
    study: Pipeline,
) -> None:
    before = [told(study, number) for number in range(len(QUESTIONS))]
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(study.lake.root / "flows.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        assert [told(study, number) for number in range(len(QUESTIONS))] == before
        writer.stdin.write(b"\n")


def test_each_machine_was_probed_before_its_first_packet(
    study: Pipeline, inbound: list[LoggedFlow]
) -> None:
    sentences = told(study, 0)
    assert "Yes: 2 of 2 machines were probed from the internet before coming online." in sentences
    for machine in MACHINES:
        alive = day_start(DAY) + timedelta(milliseconds=machine.first_outbound_ms)
        probe = day_start(DAY) + timedelta(milliseconds=machine.first_probe_ms)
        early = [f for f in inbound if f.dst_ip == machine.private_address and f.at < alive]
        assert min(f.at for f in early) == probe
        found = ask(
            study,
            "select verdict, first_probe_at, first_outbound_at, probes_before_online, "
            f"sources_before_online from nic_first_contacts where mac = '{machine.mac}'",
        )
        sources = len({f.src_ip for f in early})
        assert found == [("probed_before_online", probe, alive, len(early), sources)]
        minutes, seconds = divmod((alive - probe).seconds, 60)
        assert (
            f"{machine.mac} ({machine.private_address}) was first probed {minutes} min {seconds} s "
            f"before its first own packet; until then it saw {len(early)} probes from {sources} "
            "sources." in sentences
        )


def test_the_ports_are_those_of_the_study(study: Pipeline, inbound: list[LoggedFlow]) -> None:
    counted = Counter(f.dst_port for f in inbound if f.dst_port != 3389)
    # Azure's own probes go to a port of theirs, which the study did not count.
    platform = {f.dst_port for f in inbound if f.src_ip == PLATFORM_ADDRESS}
    commonest = [(p, n) for p, n in counted.most_common(9) if p not in platform][:8]
    assert sorted(p for p, _ in commonest) == sorted(STUDY_PORTS)
    found = ask(
        study,
        "select port, flows from ports_daily where direction = 'I' and not is_excluded "
        f"and port not in ({', '.join(map(str, platform))}) order by flows desc, port limit 8",
    )
    assert sorted(found) == sorted(commonest)
    sentences = told(study, 1)
    denied = 100 * sum(f.decision == "D" for f in inbound) / len(inbound)
    assert f"{len(inbound):,} inbound flows: " in sentences
    assert f"{denied:.1f} % denied." in sentences
    assert "1 chosen port left out: 445 (microsoft-ds, " in sentences
    assert "What is new cannot be told" in sentences


def test_china_comes_first(study: Pipeline, inbound: list[LoggedFlow], logs: Path) -> None:
    is_listed = listed_in(logs / "threats.txt")
    strangers = [f for f in inbound if f.src_ip != PLATFORM_ADDRESS]
    malicious = [f for f in strangers if is_listed(f.src_ip)]
    with open_country_database(None) as countries:
        by_country = Counter(countries.country_of(f.src_ip) for f in malicious)
    [(first, most)] = by_country.most_common(1)
    assert first == "CN"
    sentences = told(study, 2)
    sources, listed = {f.src_ip for f in strangers}, {f.src_ip for f in malicious}
    assert (
        f"{100 * len(malicious) / len(strangers):.1f} % of {len(strangers):,} flows from the "
        f"internet came from {len(listed):,} listed of {len(sources):,} sources." in sentences
    )
    assert f"came from CN ({100 * most / len(malicious):.1f} %, " in sentences
    busiest = [n for _, n in Counter(f.src_ip for f in strangers).most_common(100)]
    assert f"the busiest ten {100 * sum(busiest[:10]) / len(strangers):.1f} %" in sentences
    assert f"the busiest hundred {100 * sum(busiest) / len(strangers):.1f} %" in sentences


def test_exact_times_of_the_user_go_before_the_first_packet(
    study: Pipeline, logs: Path, inbound: list[LoggedFlow], tmp_path: Path
) -> None:
    machine = MACHINES[0]
    online = day_start(DAY) + timedelta(milliseconds=machine.first_probe_ms + 60_000)
    times = tmp_path / "online.csv"
    times.write_text(f"nic,online_at\n{machine.private_address},{online.isoformat()}Z\n")
    known = pipeline_over(
        study.lake.root,
        logs,
        threat_feeds=study.settings.threat_feeds,
        top_excluded_ports=study.settings.top_excluded_ports,
        online_times=times,
    )
    # Of all tables only that of this day's contacts is made anew.
    modelled = known.model_days([DAY])
    assert {
        name for name, built in modelled.partitions.items() if any(part.changed for part in built)
    } == {"nic_contacts_daily"}
    early = sum(f.dst_ip == machine.private_address and f.at < online for f in inbound)
    query = "select online_at, seconds_to_first_probe, probes_before_online from nic_first_contacts"
    assert ask(known, f"{query} where online_at is not null") == [(online, -60, early)]
    assert "was first probed 1 min 0 s before the time that you gave" in told(known, 0)


def test_what_the_logs_do_not_tell_is_said(tmp_path: Path) -> None:
    hour = datetime(2025, 11, 1, 5)
    put_flows(tmp_path / "logs", flow(hour), hour=hour)
    pipeline = pipeline_over(tmp_path / "lake", tmp_path / "logs")
    assert answers(pipeline.lake, [DAY]) is None
    assert bring_up_to_date(pipeline, hour, hour + timedelta(hours=1)).failures == ()
    assert answers(pipeline.lake, [NEXT_DAY]) is None
    assert told(pipeline, 0).startswith("The logs do not tell.\n1 machine sent nothing")
    assert "cannot be told" in told(pipeline, 2)
