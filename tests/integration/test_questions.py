"""Every query of docs/reference/questions.md over a small lake, and the way back to the blob."""

from __future__ import annotations

import csv
import json
import re
import runpy
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from flow_pipeline.lake_views import connect
from flow_pipeline.pipeline import Pipeline
from tests.integration.lakes import bring_up_to_date, pipeline_over
from tests.unit.blobs import HOUR, document, flow, put, record

pytestmark = pytest.mark.integration

PAGE = "docs/reference/questions.md"
ACL = (
    "/subscriptions/0a/resourceGroups/RG/providers/Microsoft.Network/networkSecurityGroups/nsg-web"
)
RDP, DENY = "UserRule_AllowRDP", "DefaultRule_DenyAllInBound"
LISTED = "203.0.113.9"
AT = HOUR + timedelta(seconds=30)
# From 21 wide networks, one of them listed; the first was answered.
SOURCES = [f"20.{n}.1.7" for n in range(20)] + [LISTED]


def answered(src: str) -> str:
    return flow(AT + timedelta(minutes=5), src, state="E").replace("NX,0,0,0,0", "NX,3,300,2,200")


def denied(src: str, port: int) -> str:
    return flow(AT, src, port=port, state="D")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of two rules of one NSG, and a rule that was hit the day before only."""
    folder = tmp_path_factory.mktemp("questions") / "logs"
    let_in = [flow(AT, src) for src in SOURCES]
    inside = flow(AT, "10.0.0.9", port=445)
    put(
        folder,
        document(
            record([*let_in, answered(SOURCES[0])], rule=RDP, acl_id=ACL),
            record([denied(LISTED, 22), denied("198.51.100.7", 23)], rule=DENY, acl_id=ACL.upper()),
            record([inside], rule="DefaultRule_AllowVnetInBound", acl_id=ACL),
        ),
    )
    before = HOUR - timedelta(days=2)
    old = record([flow(before, "198.51.100.7", port=80)], before, rule="UserRule_old", acl_id=ACL)
    put(folder, document(old), before)
    return folder


@pytest.fixture(scope="module")
def lake(logs: Path) -> Pipeline:
    feed = logs.parent / "threats.txt"
    feed.write_text(f"{LISTED}\n")
    scanners = logs.parent / "scanners.csv"
    scanners.write_text(f"prefix,name\n{SOURCES[1]}/32,Censys\n")
    properties = {"region": "westeurope", "addressPrefixes": [f"{SOURCES[2]}/32"]}
    tags = logs.parent / "tags.json"
    tags.write_text(json.dumps({"values": [{"name": "AzureCloud", "properties": properties}]}))
    pipeline = pipeline_over(
        logs.parent / "lake",
        logs,
        threat_feeds=(str(feed),),
        asn_db=systems(logs.parent / "asn.mmdb"),
        scanners=scanners,
        service_tags=tags,
    )
    for hour in (HOUR - timedelta(days=2), HOUR):
        assert bring_up_to_date(pipeline, hour, hour + timedelta(hours=1)).failures == ()
    return pipeline


def systems(path: Path) -> Path:
    """A database of autonomous systems: one of 20.0.0.0/8, and the rest is not known."""
    writer = MMDBWriter(ip_version=4, database_type="GeoLite2-ASN", description="a test's")
    record = {"autonomous_system_number": 64500, "autonomous_system_organization": "Net"}
    writer.insert_network(IPSet(["20.0.0.0/8"]), record)
    writer.to_db_file(str(path))
    return path


@pytest.fixture(scope="module")
def sections(project_dir: Path) -> dict[str, tuple[str, list[str]]]:
    """Each question: what stands below it, and its queries."""
    script = runpy.run_path(str(project_dir / "scripts/build_docs.py"))
    text = (project_dir / PAGE).read_text()
    found = re.findall(r"^### (.*?)\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    return {heading: (body, script["questions"](body)) for heading, body in found}


def ask(lake: Pipeline, query: str) -> list[dict[str, Any]]:
    with connect(lake.lake) as connection:
        found = connection.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_every_question_names_its_model_and_is_answered(
    lake: Pipeline, sections: dict[str, tuple[str, list[str]]]
) -> None:
    assert len(sections) == 27
    for heading, (body, queries) in sections.items():
        [model] = re.findall(r"^Model: `(\w+)`", body, re.MULTILINE)
        assert queries, heading
        assert any(re.search(rf"\b{model}\b", query) for query in queries), heading
        for query in queries:
            ask(lake, query)


def first_answer(
    lake: Pipeline, sections: dict[str, tuple[str, list[str]]], heading: str
) -> list[dict[str, Any]]:
    return ask(lake, sections[heading][1][0])


def test_the_answers_about_rules_and_open_ports_are_those_of_the_logs(
    lake: Pipeline, sections: dict[str, tuple[str, list[str]]]
) -> None:
    def answer(heading: str) -> list[dict[str, Any]]:
        return first_answer(lake, sections, heading)

    # 445 was reached from inside only. Of 80 on the other day nobody knows whether it answered.
    assert [
        (row["port"], row["rule"], row["distinct_sources"], row["malicious_sources"],
         row["is_answered"], row["example_source"], row["first_at"])
        for row in answer("Ports open to the internet")
    ] == [
        (3389, RDP, 21, 1, True, LISTED, AT),
        (80, "UserRule_old", 1, 0, None, "198.51.100.7", HOUR - timedelta(days=2)),
    ]  # fmt: skip
    hits = {
        (row["rule"], row["direction"], row["decision"]): (
            row["flows"], row["tuples"], row["malicious"], row["distinct_sources"],
        )
        for row in answer("Hits of each rule")
    }  # fmt: skip
    assert hits == {
        (RDP, "I", "A"): (21, 22, 1, 21),
        (DENY, "I", "D"): (2, 2, 1, 2),
        ("DefaultRule_AllowVnetInBound", "I", "A"): (1, 1, 0, 1),
        ("UserRule_old", "I", "A"): (1, 1, 0, 1),
    }
    assert answer("Rules that block most") == [
        {"acl_id": ACL.lower(), "rule": DENY, "rule_kind": "default", "denied": 2,
         "malicious_denied": 1}
    ]  # fmt: skip
    assert [
        (row["rule"], row["days_since_hit"], row["days_hit"], row["days_known"])
        for row in answer("Rules not hit, and for how long")
    ] == [("UserRule_old", 2, 1, 2)]
    assert [
        (row["rule"], row["distinct_sources"], row["wide_networks"], row["ports"])
        for row in answer("Over-broad allow rules")
    ] == [(RDP, 21, 21, 1)]
    replayed = answer("What a rule's removal would have blocked")
    assert sum(row["flows"] for row in replayed) == 21
    assert sum(row["bytes"] or 0 for row in replayed) == 500
    assert {row["other_allowing_rule"] for row in replayed} == {None}
    assert {row["denying_rule"] for row in replayed} == {DENY}
    assert [
        (row["ip"], row["allowed"], row["denied"]) for row in answer("Malicious flows by host")
    ] == [("10.0.0.4", 1, 1)]
    assert {
        (row["rule"], row["decision"], row["flows"]) for row in answer("Malicious flows by rule")
    } == {(RDP, "A", 1), (DENY, "D", 1)}


def test_the_answers_about_who_talks_are_those_of_the_logs(
    lake: Pipeline, sections: dict[str, tuple[str, list[str]]]
) -> None:
    def answer(heading: str) -> list[dict[str, Any]]:
        return first_answer(lake, sections, heading)

    # 21 let in by RDP, 1 from inside, 2 denied, and 1 two days before; 300 bytes in and 200 out.
    [host] = answer("Most-talking hosts")
    assert (host["ip"], host["flows"], host["counted"]) == ("10.0.0.4", 25, 25)
    assert (host["bytes_in"], host["bytes_out"]) == (300, 200)
    [host] = answer("Bytes of each host")
    assert (host["ip"], host["bytes_in"], host["bytes_out"]) == ("10.0.0.4", 300, 200)
    pairs = answer("Host pairs")
    assert {(pair["src_ip"], pair["flows"]) for pair in pairs[:2]} == {
        (LISTED, 2),
        ("198.51.100.7", 2),
    }
    assert {pair["flows"] for pair in pairs[2:]} == {1}
    # One from inside that nobody logged; the others are the internet's.
    assert [
        (row["src_vnet"], row["src_network"], row["src_network_from"], row["dst_vnet"],
         row["dst_network"], row["dst_network_from"], row["flows"], row["bytes"])
        for row in answer("Most-talking subnets and networks")
    ] == [(None, None, None, "v", "v", "log", 25, 500)]  # fmt: skip
    assert answer("Ports and services, and the pairs that use them")[0]["flows"] == 21
    assert [
        (row["hour"], row["direction"], row["decision"], row["flows"])
        for row in answer("In against out, allowed against denied, over time")
    ] == [(HOUR.hour, "I", "A", 1), (HOUR.hour, "I", "A", 22), (HOUR.hour, "I", "D", 2)]
    assert answer("Encryption") == [{"encryption": "NX", "flows": 25, "bytes": 500}]
    assert [row["bytes"] for row in answer("Bytes of each subscription")] == [500]
    assert answer("Traffic across subscriptions") == []
    public = {row["ip"]: row for row in answer("Public addresses, with what is known of them")}
    assert (public[LISTED]["allowed_in"], public[LISTED]["denied_in"]) == (1, 1)


def test_the_answers_about_origins_are_those_of_the_logs(
    lake: Pipeline, sections: dict[str, tuple[str, list[str]]]
) -> None:
    def shares(query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in ask(lake, query)]

    # 20 flows of one network, one of them a scanner's; of LISTED two flows; one denied of another.
    all_of_them, without = sections["Networks that flows come from, with the malicious share"][1]
    assert shares(all_of_them) == [
        (64500, "Net", 20, 20, 20, 0.0),
        (None, None, 3, 3, 2, pytest.approx(2 / 3)),
    ]
    assert shares(without) == [
        (64500, "Net", 19, 19, 19, 0.0),
        (None, None, 3, 3, 2, pytest.approx(2 / 3)),
    ]
    [regions] = sections["Azure regions that flows come from, with the malicious share"][1]
    assert shares(regions) == [("westeurope", 1, 1, 1, 0.0)]


def test_public_addresses_stand_under_the_names_of_traffic_analytics(
    lake: Pipeline, project_dir: Path
) -> None:
    day = HOUR.replace(hour=0)
    before = day - timedelta(days=2)
    found = ask(lake, "select * from NTAIpDetails")
    assert {row["TimeGenerated"] - row["FlowIntervalStartTime"] for row in found} == {
        timedelta(days=1)
    }
    of_ip = {(row["FlowIntervalStartTime"], row["Ip"]): row for row in found}
    # 168.63.129.16 and private addresses are none of them; each address is there once a day.
    assert len(found) == len(of_ip)
    assert of_ip.keys() == {
        (before, "198.51.100.7"), (day, "198.51.100.7"), *((day, ip) for ip in SOURCES),
    }  # fmt: skip
    assert {
        ip: [of_ip[day, ip][name] for name in (
            "FlowType", "PublicIpDetails", "ThreatType", "ThreatDescription",
        )]
        for ip in (SOURCES[2], SOURCES[3], LISTED)
    } == {
        SOURCES[2]: ["AzurePublic", "AZURECLOUD", None, None],
        SOURCES[3]: ["ExternalPublic", "Net", None, None],
        LISTED: ["MaliciousFlow", None, None, "threats.txt"],
    }  # fmt: skip
    assert of_ip[day, SOURCES[2]]["Location"] == "westeurope"
    # The page's own queries: how many addresses of each kind, and what threats they are.
    page = (project_dir / "docs/how-to/queries-from-traffic-analytics.md").read_text()
    kinds, threats = (
        query for query in re.findall(r"```sql\n(.*?)```", page, re.DOTALL) if "NTAIp" in query
    )
    counts: Counter[str] = Counter()
    for row in ask(lake, kinds.replace("limit 20", "")):
        counts[row["FlowType"]] += row["addresses"]
    assert counts == {"ExternalPublic": 20, "AzurePublic": 1, "MaliciousFlow": 1}
    assert ask(lake, threats) == [{"ThreatType": None, "addresses": 1}]


def test_a_number_leads_back_to_the_text_in_the_blob(
    lake: Pipeline, project_dir: Path, tmp_path: Path
) -> None:
    page = (project_dir / "docs/how-to/from-a-number-to-the-blob.md").read_text()
    [query] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    [program] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    script = tmp_path / "show_tuple.py"
    script.write_text(program)
    rows = ask(lake, query)
    assert len(rows) == 10
    for row in (rows[0], rows[-1]):
        place = [str(row[name]) for name in ("record_no", "flow_no", "group_no", "tuple_no")]
        shown = subprocess.run(
            [sys.executable, str(script), f"{row['source']}/{row['blob']}", *place],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        [cells] = csv.reader([shown.stdout.strip()])
        at = datetime(1970, 1, 1) + timedelta(milliseconds=int(cells[0]))
        assert (at, cells[1], cells[7]) == (row["flow_time"], row["src_ip"], row["flow_state"])
