"""A storage account as a source, against a real endpoint (Azurite)."""

from __future__ import annotations

import logging
import re
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    BlobBlock,
    BlobServiceClient,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)
from pydantic import SecretStr

from flow_pipeline.errors import (
    BlobChanged,
    BlobGone,
    BlobUnreadable,
    ContainerMissing,
    SettingError,
    SourceDenied,
    SourceUnreachable,
)
from flow_pipeline.flowlog.blob_source import BlobSource, open_sources
from flow_pipeline.flowlog.schema import CONTAINERS, NSG_CONTAINER, VNET_CONTAINER
from flow_pipeline.settings import AccountLocation, FolderLocation
from tests.integration.request_log import RequestLog, recorded_requests

pytestmark = pytest.mark.integration

SETTING = "FLOW_CREDENTIAL_DEVSTOREACCOUNT1"
at = datetime.fromisoformat
HOUR = at("2026-03-01T05")
NSG = (
    f"{NSG_CONTAINER}/resourceId=/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.NETWORK"
    "/NETWORKSECURITYGROUPS/NSG-WEB"
)
FLOW_LOG = (
    f"{VNET_CONTAINER}/flowLogResourceID=/SUBSCRIPTIONS/S/RESOURCEGROUPS/NETWORKWATCHERRG/PROVIDERS"
    "/MICROSOFT.NETWORK/NETWORKWATCHERS/NETWORKWATCHER_WESTEUROPE/FLOWLOGS/VNET-WEB"
)
SHORT = f"{VNET_CONTAINER}/flowLogResourceID=/S_NETWORKWATCHERRG/NETWORKWATCHER_WESTEUROPE_VNET-DB"
TAIL = "m=00/macAddress=000D3AF87856/PT1H.json"


class Azurite(Protocol):
    """What the fixture of that name gives."""

    endpoint: str
    account: str
    key: str
    connection_string: str
    service: BlobServiceClient


def blob_at(resource: str, hour: datetime, tail: str = TAIL) -> str:
    return f"{resource}/y={hour:%Y}/m={hour:%m}/d={hour:%d}/h={hour:%H}/{tail}"


# Every shape of path in one hour, and hours of other days, months and years.
BLOBS = [
    blob_at(NSG, HOUR),
    blob_at(NSG, HOUR, "m=00/macAddress=000D3A000001/PT1H.json"),
    blob_at(NSG, HOUR, "m=00/PT1H.json"),
    blob_at(NSG.replace("resourceId=", "resourceid=").replace("NSG-WEB", "NSG-OLD"), HOUR),
    blob_at(f"{NSG_CONTAINER}/resourceId=/A name, 100% & \u00e9\u4e2d+#?", HOUR),
    blob_at(FLOW_LOG, HOUR),
    blob_at(SHORT, HOUR),
    blob_at(SHORT, HOUR, "m=00/something=new/macAddress=000D3AF87856/PT1H.json"),
    blob_at(FLOW_LOG, at("2026-03-01T06")),
    blob_at(FLOW_LOG, at("2026-02-28T05")),
    blob_at(NSG, at("2025-12-31T23")),
    # Not flow logs.
    blob_at(FLOW_LOG, HOUR, "m=00/macAddress=000D3AF87856/other.json"),
    f"{VNET_CONTAINER}/README.txt",
]


@pytest.fixture
def containers(azurite: Azurite) -> Iterator[None]:
    """Both containers, empty, removed afterwards."""
    for name in CONTAINERS:
        azurite.service.create_container(name)
    yield
    for name in CONTAINERS:
        azurite.service.delete_container(name)


def put(azurite: Azurite, blob: str, content: bytes = b"{}") -> None:
    container, _, path = blob.partition("/")
    azurite.service.get_blob_client(container, path).upload_blob(content, overwrite=True)


def location(
    azurite: Azurite, credential: str | None = None, container: str | None = None
) -> AccountLocation:
    secret = SecretStr(credential or azurite.key)
    return AccountLocation(azurite.endpoint, azurite.account, container, secret)


def open_one(azurite: Azurite, credential: str | None = None) -> BlobSource:
    """The source of the VNet container."""
    [source] = open_sources([location(azurite, credential, VNET_CONTAINER)])
    return source


def listing(sources: list[BlobSource], hour: datetime) -> list[tuple[str, int, datetime, bytes]]:
    return [
        (blob.blob, blob.size, blob.written_hour, b"".join(source.read(blob)))
        for source in sources
        for blob in source.list_hour(hour)
    ]


def close_all(sources: list[BlobSource]) -> None:
    for source in sources:
        source.close()


def whole_text(failure: BaseException) -> str:
    """What a log would show of a failure: its message, its causes and their stack traces."""
    return "".join(traceback.format_exception(failure))


@pytest.fixture
def request_log() -> Iterator[RequestLog]:
    with recorded_requests() as log:
        yield log


@pytest.mark.usefixtures("containers")
def test_an_account_lists_what_a_folder_of_the_same_blobs_lists(
    azurite: Azurite, tmp_path: Path
) -> None:
    for number, blob in enumerate(BLOBS):
        content = b"x" * number
        put(azurite, blob, content)
        path = tmp_path / blob
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    account = open_sources([location(azurite)])
    folder = open_sources([FolderLocation(tmp_path)])
    # Eight of HOUR, one each of the three other hours.
    for hour, count in [
        (HOUR, 8),
        (at("2026-03-01T06"), 1),
        (at("2026-02-28T05"), 1),
        (at("2025-12-31T23"), 1),
        (at("2026-03-01T07"), 0),
    ]:
        found = listing(account, hour)
        assert len(found) == count
        assert found == listing(folder, hour)
        assert [blob for blob, *_ in found] == sorted(blob for blob, *_ in found)
    # The VNet container's first, the NSG container's first; the folder has both.
    assert [source.earliest_hour() for source in account] == [
        at("2026-02-28T05"),
        at("2025-12-31T23"),
    ]
    assert [source.earliest_hour() for source in folder] == [at("2025-12-31T23")]
    close_all(account)


@pytest.mark.usefixtures("containers")
def test_sources_are_named_by_endpoint_and_container(azurite: Azurite) -> None:
    sources = open_sources([location(azurite), location(azurite, container=NSG_CONTAINER)])
    assert [source.name for source in sources] == [
        f"{azurite.endpoint}/{VNET_CONTAINER}",
        f"{azurite.endpoint}/{NSG_CONTAINER}",
    ]
    close_all(sources)


@pytest.mark.usefixtures("containers")
def test_listing_an_hour_touches_only_that_hour(azurite: Azurite, request_log: RequestLog) -> None:
    resources = [FLOW_LOG, SHORT, FLOW_LOG.replace("VNET-WEB", "VNET-APP")]
    for resource in resources:
        for hours in range(30):
            put(azurite, blob_at(resource, at("2026-02-28T00") + timedelta(hours=hours)))
    source = open_one(azurite)
    assert len(list(source.list_hour(HOUR))) == 3
    request_log.requests.clear()
    assert len(list(source.list_hour(at("2026-03-01T04")))) == 3
    # With the resources known, an hour costs one listing for each, of that hour's prefix.
    assert sorted(request_log.listed_prefixes()) == sorted(
        f"{resource.removeprefix(f'{VNET_CONTAINER}/')}/y=2026/m=03/d=01/h=04/"
        for resource in resources
    )
    assert {request.method for request in request_log.requests} == {"GET"}
    source.close()


@pytest.mark.usefixtures("containers")
def test_finding_the_resources_lists_no_level_below_a_year(
    azurite: Azurite, request_log: RequestLog
) -> None:
    for hours in range(30):
        put(azurite, blob_at(SHORT, at("2026-02-28T00") + timedelta(hours=hours)))
    source = open_one(azurite)
    request_log.requests.clear()
    assert len(list(source.list_hour(HOUR))) == 1
    resource = SHORT.removeprefix(f"{VNET_CONTAINER}/")
    assert request_log.listed_prefixes() == [
        "",
        "flowLogResourceID=/",
        "flowLogResourceID=/S_NETWORKWATCHERRG/",
        f"{resource}/",
        f"{resource}/y=2026/m=03/d=01/h=05/",
    ]
    request_log.requests.clear()
    assert source.earliest_hour() == at("2026-02-28T00")
    assert request_log.listed_prefixes() == [
        f"{resource}/",
        f"{resource}/y=2026/",
        f"{resource}/y=2026/m=02/",
        f"{resource}/y=2026/m=02/d=28/",
        f"{resource}/y=2026/m=02/d=28/h=00/",
    ]
    source.close()


@pytest.mark.usefixtures("containers")
def test_an_empty_container_has_no_hours(azurite: Azurite) -> None:
    source = open_one(azurite)
    assert list(source.list_hour(HOUR)) == []
    assert source.earliest_hour() is None
    source.close()


@pytest.mark.usefixtures("containers")
def test_a_large_blob_comes_in_chunks_and_an_empty_one_in_none(azurite: Azurite) -> None:
    content = bytes(range(256)) * 4096 * 9
    put(azurite, blob_at(SHORT, HOUR), content)
    put(azurite, blob_at(SHORT, at("2026-03-01T06")), b"")
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    chunks = list(source.read(blob))
    # 9 MiB in chunks of 4 MiB: 4 + 4 + 1.
    assert [len(chunk) // 1024 // 1024 for chunk in chunks] == [4, 4, 1]
    assert b"".join(chunks) == content
    [empty] = source.list_hour(at("2026-03-01T06"))
    assert b"".join(source.read(empty)) == b""
    source.close()


@pytest.mark.usefixtures("containers")
def test_a_blob_that_changed_after_it_was_listed(azurite: Azurite) -> None:
    put(azurite, blob_at(SHORT, HOUR), b"before")
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    put(azurite, blob_at(SHORT, HOUR), b"after")
    with pytest.raises(BlobChanged, match="changed after it was listed"):
        list(source.read(blob))
    [blob] = source.list_hour(HOUR)
    assert b"".join(source.read(blob)) == b"after"
    source.close()


@pytest.mark.usefixtures("containers")
def test_a_blob_that_changes_between_two_chunks(azurite: Azurite) -> None:
    put(azurite, blob_at(SHORT, HOUR), bytes(9 * 1024 * 1024))
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    chunks = source.read(blob)
    next(chunks)
    put(azurite, blob_at(SHORT, HOUR), b"x" * (9 * 1024 * 1024))
    with pytest.raises(BlobChanged):
        list(chunks)
    source.close()


@pytest.mark.usefixtures("containers")
def test_a_blob_that_was_deleted(azurite: Azurite) -> None:
    put(azurite, blob_at(SHORT, HOUR))
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    container, _, path = blob.blob.partition("/")
    azurite.service.get_blob_client(container, path).delete_blob()
    # A service may look at the condition first, which no blob meets either.
    with pytest.raises((BlobChanged, BlobGone)):
        list(source.read(blob))
    with pytest.raises(BlobGone, match="is gone"):
        source.blocks(blob)
    assert source.relist(blob) is None
    source.close()


def grow(azurite: Azurite, blob: str, *data: bytes) -> None:
    """Write a blob as Azure does, with so many data blocks."""
    container, _, path = blob.partition("/")
    client = azurite.service.get_blob_client(container, path)
    contents = [b'{"records":[', *data, b"]}"]
    ids = [f"{number:048}" for number in range(len(contents) - 1)] + ["Z" * 48]
    for block_id, content in zip(ids, contents, strict=True):
        client.stage_block(block_id, content)
    client.commit_block_list([BlobBlock(block_id) for block_id in ids])


@pytest.mark.usefixtures("containers")
def test_the_blocks_of_a_blob_and_what_stands_behind_some_of_them(azurite: Azurite) -> None:
    grow(azurite, blob_at(SHORT, HOUR), b"first", b",second", b",third!")
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    blocks = source.blocks(blob)
    assert blocks is not None
    assert [block.size for block in blocks] == [12, 5, 7, 7, 2]
    assert len({block.id for block in blocks}) == 5
    assert b"".join(source.read(blob, 12 + 5)) == b",second,third!]}"
    assert b"".join(source.read(blob, 12 + 5 + 7 + 7)) == b"]}"
    source.close()


@pytest.mark.usefixtures("containers")
def test_a_blob_that_was_uploaded_whole_or_appended_to_has_no_blocks_to_go_by(
    azurite: Azurite,
) -> None:
    put(azurite, blob_at(SHORT, HOUR), b'{"records":[]}')
    container, _, path = blob_at(FLOW_LOG, HOUR).partition("/")
    appended = azurite.service.get_blob_client(container, path)
    appended.create_append_blob()
    appended.append_block(b"text")
    source = open_one(azurite)
    found = {blob.blob: source.blocks(blob) for blob in source.list_hour(HOUR)}
    assert found == {blob_at(SHORT, HOUR): None, blob_at(FLOW_LOG, HOUR): None}
    source.close()


@pytest.mark.usefixtures("containers")
def test_blocks_and_what_stands_behind_them_are_those_of_the_listing(azurite: Azurite) -> None:
    grow(azurite, blob_at(SHORT, HOUR), b"first")
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    grow(azurite, blob_at(SHORT, HOUR), b"first", b",second")
    with pytest.raises(BlobChanged):
        source.blocks(blob)
    with pytest.raises(BlobChanged):
        list(source.read(blob, 17))
    again = source.relist(blob)
    assert [again] == list(source.list_hour(HOUR))
    assert again is not None
    assert again.size == 12 + 5 + 7 + 2
    assert b"".join(source.read(again, 17)) == b",second]}"
    source.close()


@pytest.mark.usefixtures("containers")
def test_what_is_behind_a_place_in_a_large_blob_comes_in_chunks(azurite: Azurite) -> None:
    content = bytes(range(256)) * 4096 * 9
    put(azurite, blob_at(SHORT, HOUR), content)
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    chunks = list(source.read(blob, 3_000_000))
    # 9 MiB = 9,437,184 bytes without the first 3,000,000.
    assert [len(chunk) for chunk in chunks] == [4_194_304, 2_242_880]
    assert b"".join(chunks) == content[3_000_000:]
    source.close()


def test_one_container_is_enough_when_none_is_named(azurite: Azurite) -> None:
    azurite.service.create_container(NSG_CONTAINER)
    try:
        [source] = open_sources([location(azurite)])
        assert source.name == f"{azurite.endpoint}/{NSG_CONTAINER}"
        source.close()
        with pytest.raises(ContainerMissing, match=f"no container {VNET_CONTAINER}"):
            open_sources([location(azurite, container=VNET_CONTAINER)])
    finally:
        azurite.service.delete_container(NSG_CONTAINER)


def test_an_account_without_containers_is_explained(azurite: Azurite) -> None:
    with pytest.raises(ContainerMissing) as caught:
        open_sources([location(azurite)])
    message = str(caught.value)
    assert all(text in message for text in (azurite.endpoint, *CONTAINERS, "FLOW_SOURCES"))


@pytest.mark.usefixtures("containers")
def test_a_container_that_went_away_does_not_pass_for_an_empty_one(azurite: Azurite) -> None:
    put(azurite, blob_at(SHORT, HOUR))
    source = open_one(azurite)
    [blob] = source.list_hour(HOUR)
    azurite.service.delete_container(VNET_CONTAINER)
    with pytest.raises(ContainerMissing):
        list(source.list_hour(HOUR))
    with pytest.raises(ContainerMissing):
        source.relist(blob)
    azurite.service.create_container(VNET_CONTAINER)
    source.close()


def account_sas(azurite: Azurite, *, hours: int = 1) -> str:
    """A SAS that can list and read, and nothing else."""
    return generate_account_sas(
        azurite.account,
        azurite.key,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, list=True),
        datetime.now(UTC) + timedelta(hours=hours),
    )


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize(
    "spelling",
    [
        "{sas}",
        "?{sas}",
        " {sas}\n",
        "{endpoint}?{sas}",
        "BlobEndpoint={endpoint};SharedAccessSignature={sas}",
    ],
)
def test_a_sas_that_can_only_list_and_read_is_enough(azurite: Azurite, spelling: str) -> None:
    put(azurite, blob_at(SHORT, HOUR), b"content")
    sas = account_sas(azurite)
    sources = open_sources([location(azurite, spelling.format(sas=sas, endpoint=azurite.endpoint))])
    assert [content for *_, content in listing(sources, HOUR)] == [b"content"]
    assert [source.earliest_hour() for source in sources] == [HOUR, None]
    assert all("sig=" not in source.name for source in sources)
    close_all(sources)


@pytest.mark.usefixtures("containers")
def test_a_sas_of_one_container_is_enough_for_that_container(azurite: Azurite) -> None:
    put(azurite, blob_at(SHORT, HOUR), b"content")
    sas = generate_container_sas(
        azurite.account,
        VNET_CONTAINER,
        azurite.key,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    source = open_one(azurite, sas)
    assert [content for *_, content in listing([source], HOUR)] == [b"content"]
    source.close()
    with pytest.raises(SourceDenied, match=r"container's name in FLOW_SOURCES.*network rules"):
        open_sources([location(azurite, sas)])


@pytest.mark.usefixtures("containers")
def test_a_connection_string_is_enough(azurite: Azurite) -> None:
    put(azurite, blob_at(SHORT, HOUR), b"content")
    sources = open_sources([location(azurite, azurite.connection_string)])
    assert [content for *_, content in listing(sources, HOUR)] == [b"content"]
    close_all(sources)


@pytest.mark.usefixtures("containers")
def test_a_wrong_key_is_denied_and_shown_nowhere(
    azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "d3Jvbmc" + azurite.key[7:]
    with caplog.at_level(logging.INFO), pytest.raises(SourceDenied) as caught:
        open_sources([location(azurite, wrong)])
    message = str(caught.value)
    assert azurite.endpoint in message
    assert SETTING in message
    assert wrong not in whole_text(caught.value) + caplog.text


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize("hours", [1, -1], ids=["forged", "expired"])
def test_a_sas_that_is_no_good_is_denied_and_shown_nowhere(
    azurite: Azurite, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    sas = account_sas(azurite, hours=hours)
    signature = parse_qs(sas)["sig"][0]
    if hours > 0:
        sas, signature = re.sub("sig=[^&]+", "sig=Zm9yZ2Vk", sas), "Zm9yZ2Vk"
    with caplog.at_level(logging.INFO), pytest.raises(SourceDenied) as caught:
        open_sources([location(azurite, sas)])
    shown = whole_text(caught.value) + caplog.text
    assert SETTING in shown
    assert signature not in unquote(shown)
    assert "sig=Z" not in shown


def test_a_port_that_refuses_is_unreachable_within_seconds(
    azurite: Azurite, unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    sas = account_sas(azurite)
    endpoint = f"http://127.0.0.1:{unused_port}/{azurite.account}"
    started = time.monotonic()
    with caplog.at_level(logging.INFO), pytest.raises(SourceUnreachable) as caught:
        open_sources([AccountLocation(endpoint, azurite.account, None, SecretStr(sas))])
    assert time.monotonic() - started < 15
    message = str(caught.value)
    assert endpoint in message
    assert "Connection refused" in message
    assert "FLOW_SOURCES" in message
    assert "sig=" not in whole_text(caught.value)
    assert parse_qs(sas)["sig"][0] not in unquote(caplog.text)


@pytest.mark.parametrize(
    ("credential", "found"),
    [
        ("not a key", "neither a connection string nor a SAS"),
        ("AccountName=devstoreaccount1;AccountKey", "neither a connection string nor a SAS"),
        ("AccountKey=c2VjcmV0", "no complete connection string"),
        ("BlobEndpoint={endpoint}", "no complete connection string"),
        ("AccountName=other;AccountKey=c2VjcmV0", "for https://other.blob.core.windows.net"),
        (
            "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;SharedAccessSignature=sig=c2VjcmV0",
            "for http://127.0.0.1:1/devstoreaccount1",
        ),
    ],
)
def test_a_credential_that_cannot_be_one_is_a_setting_at_fault(
    azurite: Azurite, credential: str, found: str
) -> None:
    with pytest.raises(SettingError, match=found) as caught:
        open_sources([location(azurite, credential.format(endpoint=azurite.endpoint))])
    assert caught.value.name == SETTING
    assert "c2VjcmV0" not in whole_text(caught.value)


def test_an_emulator_needs_a_credential(azurite: Azurite) -> None:
    with pytest.raises(SettingError, match=f"{SETTING}: is not set"):
        open_sources([AccountLocation(azurite.endpoint, azurite.account, None, None)])


def test_nobody_signed_in_is_denied_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Only the environment is asked, and it names nobody: so nothing is sent anywhere.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    endpoint = "https://acct.blob.core.windows.net"
    started = time.monotonic()
    with pytest.raises(SourceDenied) as caught:
        open_sources([AccountLocation(endpoint, "acct", None, None)])
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert all(text in message for text in (endpoint, "az login", "FLOW_CREDENTIAL_ACCT"))
    assert "azure.identity" not in {record.name.rpartition(".")[0] for record in caplog.records}


class BrokenServer(BaseHTTPRequestHandler):
    """A server that lists one blob as Azure does, and breaks off in the middle of it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if "web" in url.path:
            self.answer(200, "text/html", b"<!doctype html><p>Welcome<br>")
        elif query.get("comp") == ["list"]:
            self.answer(200, "application/xml", self.listing(query.get("prefix", [""])[0]))
        elif query.get("comp") == ["blocklist"]:
            # As Azure may for a blob that was written in one piece: without an ETag.
            self.answer(200, "application/xml", b"<BlockList/>", etag="")
        else:
            self.answer(206, "application/octet-stream", b"half", announced=1000)
            self.close_connection = True

    def listing(self, prefix: str) -> bytes:
        path = blob_at(SHORT, HOUR).removeprefix(f"{VNET_CONTAINER}/")
        rest = path.removeprefix(prefix)
        item = f"<BlobPrefix><Name>{prefix}{rest.partition('/')[0]}/</Name></BlobPrefix>"
        if "/h=" in prefix:
            item = (
                f"<Blob><Name>{path}</Name><Properties><Etag>0x1</Etag>"
                "<Content-Length>1000</Content-Length><BlobType>BlockBlob</BlobType>"
                "</Properties></Blob>"
            )
        return (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="x" '
            f'ContainerName="{VNET_CONTAINER}"><Blobs>{item}</Blobs><NextMarker/>'
            "</EnumerationResults>"
        ).encode()

    def answer(
        self, status: int, kind: str, body: bytes, announced: int = 0, etag: str = '"0x1"'
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(announced or len(body)))
        self.send_header("Content-Range", f"bytes 0-{(announced or len(body)) - 1}/{announced}")
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def broken_server() -> Iterator[str]:
    """The address of a BrokenServer."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BrokenServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def broken_location(address: str, account: str) -> AccountLocation:
    return AccountLocation(
        f"{address}/{account}", account, VNET_CONTAINER, SecretStr("sp=rl&sig=c2VjcmV0")
    )


def test_a_blob_that_breaks_off_is_unreadable(broken_server: str) -> None:
    [source] = open_sources([broken_location(broken_server, "acct")])
    [blob] = source.list_hour(HOUR)
    with pytest.raises(BlobUnreadable, match="could not be read") as caught:
        list(source.read(blob))
    assert "c2VjcmV0" not in whole_text(caught.value)
    source.close()


def test_a_blob_that_was_written_in_one_piece_may_have_no_etag_with_its_blocks(
    broken_server: str,
) -> None:
    [source] = open_sources([broken_location(broken_server, "acct")])
    [blob] = source.list_hour(HOUR)
    assert source.blocks(blob) is None
    source.close()


def test_a_server_that_is_no_storage_account_is_named(broken_server: str) -> None:
    with pytest.raises(SourceUnreachable, match="does not answer as a storage account") as caught:
        open_sources([broken_location(broken_server, "web")])
    assert "c2VjcmV0" not in whole_text(caught.value)
