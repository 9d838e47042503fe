"""The seed of service names, and the script that makes it."""

import csv
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[3]
SEED = PROJECT_DIR / "dbt_project" / "seeds" / "services.csv"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT_DIR / "scripts" / "build_services.py"))


@pytest.fixture(scope="module")
def seed() -> list[tuple[int, int, str]]:
    with SEED.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["port", "protocol", "service"]
    return [(int(port), int(protocol), service) for port, protocol, service in rows]


def test_script_takes_named_tcp_and_udp_ports_in_order(
    script: dict[str, Any], tmp_path: Path
) -> None:
    index = {
        "443/udp": ["https", "http protocol over TLS/SSL"],
        "443/tcp": ["https", "http protocol over TLS/SSL"],
        "80/tcp": ["www-http", "World Wide Web HTTP"],
        "2/tcp": ["", "Reserved"],
        "9/sctp": ["discard", "Discard"],
        "6000-6063/tcp": ["x11", "X Window System"],
        "3050/tcp": ["gds_db", "Interbase"],
        "63/tcp": ["whois++", "whois++"],
    }
    source = tmp_path / "index.json"
    source.write_text(json.dumps(index), encoding="utf-8")
    out = tmp_path / "services.csv"
    assert script["main"]([str(source), "--out", str(out)]) == 0
    assert out.read_bytes() == (
        b"port,protocol,service\n"
        b"63,6,whoispp\n"
        b"80,6,http\n"
        b"443,6,https\n"
        b"443,17,https\n"
        b"3050,6,gds-db\n"
    )


@pytest.mark.parametrize(
    ("port", "protocol", "service"),
    [
        (22, 6, "ssh"),
        (23, 6, "telnet"),
        (53, 17, "domain"),
        (80, 6, "http"),
        (123, 17, "ntp"),
        (443, 6, "https"),
        (445, 6, "microsoft-ds"),
        (631, 6, "ipp"),
        (1433, 6, "ms-sql-s"),
        (3389, 6, "ms-wbt-server"),
        (5432, 6, "postgresql"),
    ],
)
def test_seed_knows_the_ports_that_everybody_knows(
    seed: list[tuple[int, int, str]], port: int, protocol: int, service: str
) -> None:
    assert (port, protocol, service) in seed


def test_seed_has_one_name_for_a_port_and_protocol(seed: list[tuple[int, int, str]]) -> None:
    keys = [(port, protocol) for port, protocol, _ in seed]
    assert keys == sorted(set(keys))
    assert all(0 < port <= 65535 and protocol in (6, 17) for port, protocol in keys)


def test_names_in_the_seed_are_spelt_as_rfc_6335_has_it(
    seed: list[tuple[int, int, str]],
) -> None:
    assert [name for _, _, name in seed if not re.fullmatch(r"[A-Za-z0-9-]+", name)] == []
