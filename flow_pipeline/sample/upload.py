"""A generated day in a storage account, grown there as Azure grows its blobs.

Belongs here: writing sample blobs as block lists. It is for emulators and accounts made for trying
things out; the names of the sample's resources are made up, so no live blob is ever met.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient

from flow_pipeline.sample.blobs import BLOB_HEAD, BLOB_TAIL, SampleBlob

# The ids of head and tail are those of real blobs; all ids of a blob are equally long.
HEAD_BLOCK_ID = b64encode(b"A" + b"0" * 32).decode()
TAIL_BLOCK_ID = b64encode(b"Z" + b"0" * 32).decode()


def data_block_id(minute: int) -> str:
    """The id of the block that is written in this minute of the hour."""
    return b64encode(b"M%032d" % minute).decode()


def upload_growing(
    service: BlobServiceClient,
    blobs: Iterable[SampleBlob],
    minutes: int = 60,
    commit: Literal["each minute", "at the end"] = "each minute",
) -> list[str]:
    """Bring blobs to the state that they have after so many minutes of their written hour.

    Each gets a head, one data block for each minute that has one, and a tail; every new block is
    put in before the tail and the block list committed, or once `at the end`. A blob that is there
    already grows from where it stands; it has to come from the same arguments. Containers are made
    where they are missing. A blob with no block yet is not made. Returns `container/name` of those
    that are there; raises what the client raises.
    """
    uploaded: list[str] = []
    made: set[str] = set()
    for blob in blobs:
        if blob.container not in made:
            with suppress(ResourceExistsError):
                service.create_container(blob.container)
            made.add(blob.container)
        blocks = [block for block in blob.blocks if block.minute < minutes]
        if not blocks:
            continue
        client = service.get_blob_client(blob.container, blob.name)
        committed = _committed(client)
        if not committed:
            client.stage_block(HEAD_BLOCK_ID, BLOB_HEAD)
            client.stage_block(TAIL_BLOCK_ID, BLOB_TAIL)
            committed = [HEAD_BLOCK_ID, TAIL_BLOCK_ID]
        new = [block for block in blocks if data_block_id(block.minute) not in committed]
        for block in new:
            client.stage_block(data_block_id(block.minute), block.data)
            committed.insert(-1, data_block_id(block.minute))
            if commit == "each minute" or block is new[-1]:
                client.commit_block_list([BlobBlock(one) for one in committed])
        uploaded.append(f"{blob.container}/{blob.name}")
    return uploaded


def _committed(client: BlobClient) -> list[str]:
    """The ids of the blob's blocks in their order, none where there is no blob."""
    try:
        blocks, _ = client.get_block_list("committed")
    except ResourceNotFoundError:
        return []
    return [block.id for block in blocks]
