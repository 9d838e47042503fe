"""The doctor at storage accounts, healthy and broken ones, against a real endpoint (Azurite)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)
from typer.testing import CliRunner

from flow_pipeline.cli import app
from flow_pipeline.doctor import Answer, Diagnosis, Severity, examine
from flow_pipeline.flowlog.blob_path import PathShape
from flow_pipeline.flowlog.credential import CredentialKind
from flow_pipeline.flowlog.schema import CONTAINERS, NSG_CONTAINER, VNET_CONTAINER
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.settings import read_settings
from tests.integration.conftest import Azurite
from tests.integration.lakes import bring_up_to_date
from tests.integration.request_log import RequestLog, recorded_requests
from tests.unit.blobs import HOUR, MINUTE, document, flow, record

pytestmark = pytest.mark.integration

SETTING = "FLOW_CREDENTIAL_DEVSTOREACCOUNT1"
NOW = HOUR + timedelta(hours=1, minutes=20)
H = timedelta(hours=1)
SHORT = f"{VNET_CONTAINER}/flowLogResourceID=/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_F"
NSG = (
    f"{NSG_CONTAINER}/resourceId=/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.NETWORK"
    "/NETWORKSECURITYGROUPS/WEB"
)
VAULT = (
    f"{NSG_CONTAINER}/resourceId=/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.KEYVAULT"
    "/VAULTS/KEYS"
)
CONTENT = document(record([flow(HOUR)]))


@pytest.fixture
def request_log() -> Iterator[RequestLog]:
    with recorded_requests() as log:
        yield log


@pytest.fixture
def account(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobServiceClient]:
    """The account with both containers, empty, as the one source, opened by its key."""
    for name in CONTAINERS:
        azurite.service.create_container(name)
    monkeypatch.setenv("FLOW_SOURCES", azurite.endpoint)
    monkeypatch.setenv(SETTING, azurite.key)
    yield azurite.service
    for name in CONTAINERS:
        azurite.service.delete_container(name)


def put(
    service: BlobServiceClient,
    resource: str,
    hour: datetime = HOUR,
    mac: str = "000D3AF87856",
    content: bytes = CONTENT,
) -> None:
    container, _, path = resource.partition("/")
    name = f"{path}/{hour:y=%Y/m=%m/d=%d/h=%H}/m=00/macAddress={mac}/PT1H.json"
    service.get_blob_client(container, name).upload_blob(content, overwrite=True)


def everything_in(service: BlobServiceClient) -> list[tuple[str, str, str]]:
    return [
        (container.name, blob.name, blob.etag)
        for container in service.list_containers()
        for blob in service.get_container_client(container.name).list_blobs()
    ]


def account_sas(azurite: Azurite, end: datetime, *, can_read: bool = True) -> str:
    return generate_account_sas(
        azurite.account,
        azurite.key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=can_read, list=True),
        end.replace(tzinfo=UTC),
    )


def diagnosed(now: datetime = NOW) -> Diagnosis:
    return examine(read_settings(), now)


def told(found: Diagnosis, severity: Severity = Severity.PROBLEM) -> list[str]:
    return [
        f"{it.culprit}. {it.expected}. {it.remedy}."
        for it in found.findings
        if it.severity is severity
    ]


def clock() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def test_a_healthy_account(
    azurite: Azurite, account: BlobServiceClient, request_log: RequestLog
) -> None:
    for back in range(3):
        for mac in ("000D3AF87856", "000D3A000002"):
            put(account, SHORT, HOUR - back * H, mac)
    before = everything_in(account)
    request_log.requests.clear()
    found = diagnosed()
    # What it says of its requests is what was sent: nothing but listings and reads.
    assert request_log.counts() == {"list": found.list_calls, "read": 2}
    assert request_log.bytes_read() == found.bytes_read == 2 * len(CONTENT)
    assert found.would_run
    assert told(found, Severity.WARNING) == []
    [source] = found.sources
    assert source.credential is not None
    assert (source.credential.kind, source.credential.terms) == (CredentialKind.ACCOUNT_KEY, None)
    [vnet, nsg] = source.containers
    assert nsg.survey.resources == ()
    assert (vnet.survey.first_hour, vnet.survey.last_hour) == (HOUR - 2 * H, HOUR)
    assert len(vnet.survey.nics) == 2
    assert vnet.survey.shapes() == {PathShape.VNET_SHORT: 1}
    assert vnet.versions == {4: 2}
    # Two NICs an hour in the two hours before the newest.
    assert vnet.bytes_an_hour(NOW) == 2 * len(CONTENT)
    assert everything_in(account) == before
    assert not Path("lake").exists()


def test_the_beginning_of_a_large_blob(account: BlobServiceClient, request_log: RequestLog) -> None:
    large = document(*(record([flow(HOUR)]) for _ in range(5000)))
    put(account, SHORT, content=large)
    put(account, SHORT, mac="000D3A000001", content=b"")
    put(account, NSG, content=b"")
    request_log.requests.clear()
    assert len(large) > 512 * 1024
    # The first blob of the newest hour is the empty one, of which nothing is asked.
    assert diagnosed().bytes_read == 0
    assert request_log.of_kind("read") == []
    put(account, SHORT, mac="000D3A000001", content=large)
    request_log.requests.clear()
    found = diagnosed()
    assert [request.length for request in request_log.of_kind("read")] == [512 * 1024]
    assert found.bytes_read == 512 * 1024
    vnet = found.sources[0].containers[0]
    assert vnet.peeked[0].problems == ()
    assert vnet.versions == {4: 1}


@pytest.mark.usefixtures("account")
def test_a_wrong_key(azurite: Azurite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = "d3Jvbmc" + azurite.key[7:]
    monkeypatch.setenv(SETTING, wrong)
    (tmp_path / VNET_CONTAINER).mkdir()
    monkeypatch.setenv("FLOW_SOURCES", f"{azurite.endpoint} {tmp_path}")
    found = diagnosed()
    [problem] = told(found)
    assert "refuses the credential" in problem
    assert f"Correct {SETTING}" in problem
    assert [source.answer for source in found.sources] == [Answer.REFUSED, Answer.OPEN]
    assert wrong not in repr(found)


def test_an_expired_sas(
    azurite: Azurite, account: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(account, SHORT)
    end = clock() - H
    sas = account_sas(azurite, end)
    monkeypatch.setenv(SETTING, sas)
    found = diagnosed(clock())
    expired, denied = told(found)
    assert f"The SAS in {SETTING} expired at {end:%Y-%m-%d %H:%M} UTC" in expired
    assert "sp=rl" in expired
    assert "refuses the credential" in denied
    terms = found.sources[0].credential and found.sources[0].credential.terms
    assert terms is not None
    assert terms.expires_at == end
    assert parse_qs(sas)["sig"][0] not in unquote(repr(found))


def test_a_sas_that_ends_soon_or_may_not_read(
    azurite: Azurite, account: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(account, SHORT, floor(clock()))
    monkeypatch.setenv(SETTING, account_sas(azurite, clock() + 24 * H))
    found = diagnosed(clock())
    assert found.would_run
    [warning] = told(found, Severity.WARNING)
    assert "expires at" in warning
    monkeypatch.setenv(SETTING, account_sas(azurite, clock() + 240 * H, can_read=False))
    found = diagnosed(clock())
    lacking, denied = told(found)
    assert f"The SAS in {SETTING} may not read" in lacking
    assert "refuses the credential" in denied
    # Listing is allowed, so what there is was found.
    [vnet, _] = found.sources[0].containers
    assert (vnet.survey.last_hour, vnet.peeked) == (floor(clock()), ())


def floor(time: datetime) -> datetime:
    return time.replace(minute=0, second=0)


def test_a_sas_of_one_container(
    azurite: Azurite, account: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(account, SHORT)
    sas = generate_container_sas(
        azurite.account,
        VNET_CONTAINER,
        azurite.key,
        permission=ContainerSasPermissions(read=True, list=True, write=True),
        expiry=datetime.now(UTC) + 240 * H,
    )
    monkeypatch.setenv(SETTING, sas)
    found = diagnosed()
    [problem] = told(found)
    assert NSG_CONTAINER in problem
    assert "needs that container's name in FLOW_SOURCES" in problem
    [container] = found.sources[0].containers
    assert container.survey.last_hour == HOUR
    [warning] = told(found, Severity.WARNING)
    assert "allows more than is needed" in warning
    monkeypatch.setenv("FLOW_SOURCES", f"{azurite.endpoint}/{VNET_CONTAINER}")
    assert diagnosed().would_run


def test_containers_that_are_missing(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_SOURCES", azurite.endpoint)
    monkeypatch.setenv(SETTING, azurite.connection_string)
    [problem] = told(diagnosed())
    assert all(name in problem for name in CONTAINERS)
    assert "a container appears with the first hour that Azure logs" in problem
    azurite.service.create_container(VNET_CONTAINER)
    try:
        put(azurite.service, SHORT)
        found = diagnosed()
        assert found.would_run
        assert found.sources[0].missing_containers == (NSG_CONTAINER,)
        credential = found.sources[0].credential
        assert credential is not None
        assert credential.kind is CredentialKind.CONNECTION_STRING
        monkeypatch.setenv("FLOW_SOURCES", f"{azurite.endpoint}/{NSG_CONTAINER}")
        found = diagnosed()
        [problem] = told(found)
        assert f"has no container {NSG_CONTAINER}" in problem
        assert found.sources[0].answer is Answer.NO_CONTAINER
    finally:
        azurite.service.delete_container(VNET_CONTAINER)


def test_blobs_of_another_service_only(account: BlobServiceClient) -> None:
    event = document({"time": "2026-11-01T05:00:00Z", "category": "AuditEvent"})
    put(account, VAULT, content=event)
    container = account.get_container_client(VNET_CONTAINER)
    container.upload_blob("README.txt", b"text")
    found = diagnosed()
    warnings = told(found, Severity.WARNING)
    assert any("1 of 1 paths belong to other services" in text for text in warnings)
    assert any("foreign_category" in text for text in warnings)
    assert any("nothing with a written hour in its path: README" in text for text in warnings)


def test_a_listing_that_fails_is_not_an_empty_container(account: BlobServiceClient) -> None:
    # The emulator puts the character into its XML as it is, which is then none. Opening the account
    # lists the level above.
    account.get_container_client(VNET_CONTAINER).upload_blob("below/a\x1b.txt", b"text")
    found = diagnosed()
    [problem] = told(found)
    assert "does not answer as a storage account does" in problem
    assert [container.survey.container for container in found.sources[0].containers] == [
        NSG_CONTAINER
    ]


def test_the_command_on_many_broken_sources(
    azurite: Azurite,
    account: BlobServiceClient,
    monkeypatch: pytest.MonkeyPatch,
    unused_port: int,
    tmp_path: Path,
) -> None:
    put(account, SHORT, floor(clock()), content=CONTENT)
    put(account, NSG, floor(clock()), content=CONTENT)
    refused = f"http://127.0.0.1:{unused_port}/otheraccount"
    (tmp_path / "empty").mkdir()
    sources = [tmp_path / "nowhere", refused, tmp_path / "empty", azurite.endpoint]
    sas = account_sas(azurite, clock() + 240 * H)
    monkeypatch.setenv("FLOW_SOURCES", " ".join(map(str, sources)))
    monkeypatch.setenv(SETTING, sas)
    monkeypatch.setenv("FLOW_CREDENTIAL_OTHERACCOUNT", azurite.key)
    result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "100"})
    assert result.exit_code == 1
    text = result.output
    assert re.findall("reachable +(.*)", text) == [
        "not tried, for a setting is wrong",
        "no",
        "yes, but there are no flow logs",
        "yes",
    ]
    assert text.index("nowhere is no folder") < text.index("Connection refused")
    assert text.index("Connection refused") < text.index("holds no flow logs")
    assert "Problems: 3, warnings: 1" in text
    assert "NSG and VNet flow logs both have 1 of the NICs" in text
    assert "credential     SAS (ends " in text
    assert "may list and read" in text
    assert "4 in 1 of 1 blobs" in text
    assert "Nothing was written." in text
    for secret in (parse_qs(sas)["sig"][0], azurite.key):
        assert secret not in unquote(text)
    assert not Path("lake").exists()


def test_a_run_does_what_the_doctor_says(
    azurite: Azurite, account: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = floor(clock()) - 5 * H
    for number in range(3):
        hour = start + number * H
        put(account, SHORT, hour, content=document(record([flow(hour + MINUTE)], hour + MINUTE)))
    plan = diagnosed(clock()).plan
    assert plan is not None
    assert (plan.start, plan.new_hours) == (start, 3)
    assert bring_up_to_date(Pipeline.open(read_settings()), plan.start, plan.end).failures == ()
    found = diagnosed(clock())
    assert found.would_run
    # The hours since have been looked at, and those that have not settled are looked at again.
    assert json.loads(Path("lake/lake.json").read_bytes())["start"] == start.isoformat()
    assert (found.lake.first_hour, found.lake.tuples) == (start, 3)
    assert found.lake.last_hour is not None
    assert found.plan is not None
    assert found.plan.new_hours == 0
    assert found.lake.last_hour - H <= found.plan.start <= found.lake.last_hour
