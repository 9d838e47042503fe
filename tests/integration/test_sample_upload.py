"""The sample in a real storage endpoint, grown block by block as Azure grows its blobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Protocol

import pytest
from azure.storage.blob import BlobClient, BlobServiceClient

from flow_pipeline.sample import SampleBlob, sample_blobs
from flow_pipeline.sample.upload import HEAD_BLOCK_ID, TAIL_BLOCK_ID, data_block_id, upload_growing

pytestmark = pytest.mark.integration


class Azurite(Protocol):
    """What these tests need of the emulator."""

    @property
    def service(self) -> BlobServiceClient: ...


@pytest.fixture
def blob() -> SampleBlob:
    return next(
        blob for blob in sample_blobs(date(2026, 3, 1), 2_000) if blob.written_hour.hour == 5
    )


@pytest.fixture
def service(azurite: Azurite, blob: SampleBlob) -> Iterator[BlobServiceClient]:
    yield azurite.service
    azurite.service.delete_container(blob.container)


def client_of(service: BlobServiceClient, blob: SampleBlob) -> BlobClient:
    return service.get_blob_client(blob.container, blob.name)


def committed(client: BlobClient) -> list[tuple[str, int]]:
    blocks, uncommitted = client.get_block_list("all")
    assert not uncommitted
    return [(block.id, block.size) for block in blocks]


def test_a_blob_grows_by_a_block_a_minute(service: BlobServiceClient, blob: SampleBlob) -> None:
    client = client_of(service, blob)
    earlier: list[tuple[str, int]] = []
    for minutes in (10, 20, 60):
        expected = [block for block in blob.blocks if block.minute < minutes]
        assert upload_growing(service, [blob], minutes) == [f"{blob.container}/{blob.name}"]
        blocks = committed(client)
        assert blocks == [
            (HEAD_BLOCK_ID, 12),
            *((data_block_id(block.minute), len(block.data)) for block in expected),
            (TAIL_BLOCK_ID, 2),
        ]
        # What was there stays where it was: only the tail moves.
        assert blocks[: len(earlier[:-1])] == earlier[:-1]
        earlier = blocks
        json.loads(client.download_blob().readall())
    assert client.download_blob().readall() == blob.content


def test_a_blob_that_has_not_grown_keeps_its_etag(
    service: BlobServiceClient, blob: SampleBlob
) -> None:
    upload_growing(service, [blob], minutes=30, commit="at the end")
    etag = client_of(service, blob).get_blob_properties().etag
    upload_growing(service, [blob], minutes=30)
    assert client_of(service, blob).get_blob_properties().etag == etag


def test_before_its_first_minute_there_is_no_blob(
    service: BlobServiceClient, blob: SampleBlob
) -> None:
    assert upload_growing(service, [blob], minutes=0) == []
    assert not client_of(service, blob).exists()
