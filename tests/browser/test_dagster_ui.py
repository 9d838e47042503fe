"""Dagster's UI as `make dev` opens it, looked at with Chromium: what a user sees and clicks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Page, expect, sync_playwright

from flow_pipeline.sample import sample_blobs
from tests.integration.emulator import free_port
from tests.integration.lakes import write_blobs
from tests.integration.plain_count import LoggedFlow, flows_in

# A run from the UI loads definitions in processes of its own, one after the other.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(1200)]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Without these it asks its maker's servers for updates and the like.
QUIET = (
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run",
)  # fmt: skip
READY_SECONDS = 180
SHOWN_MS = 60_000
RUN_MS = 400_000


@dataclass(frozen=True)
class Ui:
    """A running `flow-pipeline dev`: a day with two hours that are built, an hour that is not."""

    url: str
    day: date
    hour: datetime
    flows: list[LoggedFlow]


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    directory = tmp_path_factory.mktemp("ui")
    # Not long ago, so that the lists of partitions are short.
    day = datetime.now(UTC).date() - timedelta(days=2)
    logs = directory / "logs"
    hour = datetime.combine(day, datetime.min.time()) + timedelta(hours=29)
    write_blobs(logs, (b for b in sample_blobs(day, 3_000) if b.written_hour.hour < 2))
    write_blobs(logs, (b for b in sample_blobs(hour.date(), 3_000) if b.written_hour == hour))
    environment = os.environ | {
        "FLOW_SOURCES": str(logs),
        "FLOW_LAKE": str(directory / "lake"),
        "DAGSTER_HOME": str(directory / "home"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }
    command = str(Path(sys.executable).with_name("flow-pipeline"))
    subprocess.run(
        [command, "run", "--from", f"{day}T00", "--to", f"{day}T01"],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    with (directory / "dev.log").open("wb") as log:
        server = subprocess.Popen(
            [command, "dev", "--port", str(port)],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/server_info", server, directory / "dev.log")
        yield Ui(url, day, hour, flows_in(logs))
    finally:
        # As Ctrl-C does, so that the daemon and the code server end with it.
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            requests.get(url, timeout=10).raise_for_status()
        except requests.RequestException:
            if server.poll() is not None or time.monotonic() > end:
                pytest.fail(f"the UI does not answer:\n{log.read_text()[-3_000:]}", pytrace=False)
            time.sleep(0.5)
        else:
            return


@pytest.fixture
def page() -> Iterator[Page]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail("no Chromium: install the package chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(SHOWN_MS)
        expect.set_options(timeout=SHOWN_MS)
        yield page
        browser.close()


def test_the_lineage_shows_the_groups_and_asks_no_other_host(ui: Ui, page: Page) -> None:
    hosts: set[str | None] = set()
    errors: list[str] = []
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.on(
        "console",
        lambda message: errors.append(message.text) if message.type == "error" else None,
    )
    page.goto(f"{ui.url}/asset-groups")
    for group in ("sources", "landing", "enrichment", "facts", "summaries", "coverage"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    page.wait_for_load_state("networkidle")
    # Pictures and fonts that are part of the page stand in it, and have no host.
    assert hosts - {None, ""} == {"127.0.0.1"}
    assert errors == []


def test_a_day_shows_its_rows_and_its_top_ports(ui: Ui, page: Page) -> None:
    page.goto(f"{ui.url}/assets/top_ports_daily?view=partitions&partition={ui.day}")
    expect(page.get_by_text("dagster/partition_row_count")).to_be_visible()
    table = page.get_by_role("table").filter(has_text="rank").last
    of_day = [flow for flow in ui.flows if flow.at.date() == ui.day]
    rdp = [flow for flow in of_day if flow.is_new and flow.dst_port == 3389]
    assert f"\t3389\tTCP\tms-wbt-server\t{len(rdp)}\t" in table.inner_text()


def test_an_hour_materialised_from_the_page_of_its_job_brings_its_day_after_it(
    ui: Ui, page: Page
) -> None:
    page.goto(f"{ui.url}/locations/flow_pipeline/jobs/hours_job")
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog")
    partitions = dialog.locator("input[type=text]").first
    partitions.fill(f"{ui.hour:%Y-%m-%d-%H:%M}")
    partitions.press("Enter")
    expect(dialog.get_by_text("1 partition", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Launch 1 run").click()
    # Whoever leaves the page before it says so takes back what was asked for.
    expect(page.get_by_text("Launched run")).to_be_visible()

    # The sensor follows with the day, once the hour is there; two runs were before.
    page.goto(f"{ui.url}/runs")
    expect(page.get_by_text("days_after_hours")).to_be_visible(timeout=RUN_MS)
    expect(page.get_by_text(f"partition: {ui.hour:%Y-%m-%d-%H:%M}")).to_be_visible()
    expect(page.get_by_text("Success", exact=True)).to_have_count(4, timeout=RUN_MS)

    page.goto(f"{ui.url}/assets/fct_flows?view=partitions&partition={ui.hour:%Y-%m-%d-%H:%M}")
    expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
    tuples = sum(flow.event_hour == ui.hour for flow in ui.flows)
    row = page.get_by_role("row").filter(has_text="dagster/partition_row_count")
    expect(row.get_by_text(f"{tuples}", exact=True)).to_be_visible()
