"""Faults of an account as a person at the command line meets them: a message, a lake unharmed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest

from flow_pipeline.flowlog.schema import VNET_CONTAINER
from tests.integration.accounts import Account, Azurite
from tests.integration.fault_proxy import (
    Fault,
    FaultProxy,
    Which,
    fault_proxy,
    is_content,
    is_listing,
    reset,
    shorten,
    status,
)
from tests.unit.blobs import blob_name, document, flow, record

pytestmark = pytest.mark.integration

HOUR = datetime(2025, 11, 1, 5)


@dataclass(frozen=True)
class Home:
    """Where somebody runs the command, on an account behind a proxy."""

    directory: Path
    account: Account
    proxy: FaultProxy

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("flow-pipeline")), *arguments],
            cwd=self.directory,
            env={
                **os.environ,
                "FLOW_SOURCES": f"{self.account.endpoint}?{self.account.sas}",
                "FLOW_LAKE": "lake",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        return self.call("run", "--from", f"{HOUR:%Y-%m-%dT%H}", "--to", f"{HOUR:%Y-%m-%dT06}")

    def put(self, mac: str, count: int) -> None:
        flows = [flow(HOUR, src=f"198.51.100.{n}") for n in range(count)]
        content = document(record(flows, HOUR))
        self.account.put_at_once(blob_name(HOUR, mac), content)

    def files(self) -> dict[Path, bytes]:
        """Every file of the lake's tables, staged ones and the logs included."""
        tables = (self.directory / "lake").glob("*/**/*")
        return {path: path.read_bytes() for path in tables if path.is_file()}


@pytest.fixture(scope="module")
def home(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    azurite.service.create_container(VNET_CONTAINER)
    with fault_proxy(azurite.endpoint) as (proxy, endpoint):
        found = Home(tmp_path_factory.mktemp("home"), Account(azurite, endpoint), proxy)
        found.put("A", 10)
        first = found.run()
        assert first.returncode == 0, first.stderr
        yield found
    azurite.service.delete_container(VNET_CONTAINER)


FAULTS: dict[str, tuple[Fault, Which, str]] = {
    "refused": (status(403, "AuthenticationFailed"), is_listing, "refuses the credential"),
    "busy": (status(503, "ServerBusy", Retry_After="1"), is_content, "ServerBusy"),
    "reset": (reset(40), is_content, "could not be read: the connection broke off"),
    "damaged": (shorten(40), is_content, "incomplete or damaged"),
    "gone": (status(404, "BlobNotFound"), is_content, "is gone"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_message_and_changes_nothing(home: Home, name: str) -> None:
    fault, on, told = FAULTS[name]
    home.proxy.calm()
    home.put(name, 20)
    before = home.files()
    # Not the first listings: those open the source.
    home.proxy.script(fault, on=on, first=3 if on is is_listing else 1, times=None)
    assert_one_message(home, home.run(), told)
    assert home.files() == before


def test_no_network_is_one_message_and_changes_nothing(home: Home) -> None:
    home.proxy.calm()
    before = home.files()
    home.proxy.down()
    try:
        failed = home.run()
    finally:
        home.proxy.up()
    assert_one_message(home, failed, "Connection refused")
    assert home.files() == before


def assert_one_message(home: Home, failed: subprocess.CompletedProcess[str], told: str) -> None:
    assert failed.returncode == 1
    assert told in failed.stderr
    assert home.account.endpoint in failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    signature = parse_qs(home.account.sas)["sig"][0]
    assert signature not in unquote(failed.stdout + failed.stderr)


def test_the_next_run_repairs_and_keeps_no_secret(home: Home) -> None:
    home.proxy.calm()
    home.put("B", 30)
    home.proxy.script(reset(40), on=is_content, times=None)
    assert home.run().returncode == 1
    home.proxy.calm()
    repaired = home.run()
    assert repaired.returncode == 0, repaired.stderr
    asked = home.call("sql", "--csv", "select count(*) from fct_flows where blob like '%=B/%'")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.splitlines()[1] == "30"
    # Dagster's history included.
    for path in home.directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"sig=" not in content, path
            assert home.account.azurite.key.encode() not in content, path
