"""dbt as a person runs it by hand: the models' unit tests, and the freshness of what they read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flow_pipeline.lake import Lake

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def lake_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dbt") / "lake"
    Lake.open(root)
    return root


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt keeps what it parsed, apart from what the pipeline keeps."""
    return tmp_path_factory.mktemp("target")


def dbt(
    lake_dir: Path, project_dir: Path, target: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    project = str(project_dir / "dbt_project")
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")),
            *arguments,
            "--project-dir",
            project,
            "--profiles-dir",
            project,
            "--target-path",
            str(target),
            "--log-path",
            str(target),
            "--no-use-colors",
        ],
        env={**os.environ, "FLOW_LAKE": str(lake_dir), "FLOW_SOURCES": str(lake_dir.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def results_of(target: Path, name: str) -> list[dict[str, Any]]:
    return json.loads((target / name).read_bytes())["results"]


def test_every_unit_test_of_the_models_passes(
    lake_dir: Path, project_dir: Path, target: Path
) -> None:
    # A unit test takes the types of its rows from what it stands in for, so views and tables are
    # built in the same call; there is nothing in them.
    done = dbt(lake_dir, project_dir, target, "build", "--exclude-resource-type", "test")
    assert done.returncode == 0, done.stdout
    results = results_of(target, "run_results.json")
    unit_tests = [r for r in results if r["unique_id"].startswith("unit_test.")]
    assert {r["status"] for r in unit_tests} == {"pass"}
    by_model = Counter(r["unique_id"].split(".")[2] for r in unit_tests)
    assert set(by_model) == {
        "NTAIpDetails", "NTANetAnalytics", "allow_listed_daily", "allowed_daily", "broad_rules",
        "concentration_daily", "countries_daily", "coverage_gaps", "coverage_hourly", "dim_ip",
        "fct_flows", "hosts_daily", "int_address_bits", "int_allow_listed", "int_copies",
        "int_own_networks", "int_retransmissions", "int_threat_listings", "lag_daily",
        "log_parity_daily", "malicious_daily", "merged_flows", "networks_daily", "new_ports",
        "nic_contacts_daily", "nic_first_contacts", "nic_first_contacts_fleet", "nic_sources_daily",
        "open_ports", "origins_daily", "pairs_daily", "ports_daily", "protocols_daily",
        "public_addresses_daily", "regions_daily", "retro_hunt", "rule_replay", "rules",
        "rules_daily", "schema_daily", "schema_drift", "services_daily", "session_states",
        "sessions", "sources_daily", "subscriptions_daily", "threat_matches", "top_ports_daily",
        "top_sources_daily", "top_targets_daily", "traffic_hourly", "traffic_monthly",
    }  # fmt: skip


def test_freshness_of_an_empty_lake_is_an_answer(
    lake_dir: Path, project_dir: Path, target: Path
) -> None:
    done = dbt(lake_dir, project_dir, target, "source", "freshness")
    # Nothing was ever landed, which dbt calls older than the limit.
    [flow_records] = results_of(target, "sources.json")
    assert flow_records["unique_id"] == "source.flow_pipeline.flow_logs.flow_records"
    assert flow_records["status"] == "error"
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_without_a_lake_dbt_says_what_to_do(
    project_dir: Path, target: Path, tmp_path: Path
) -> None:
    done = dbt(tmp_path / "lake", project_dir, target, "build")
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert "Run `flow-pipeline run` first" in done.stdout
