"""A storage account for tests that Azure's habits matter to: blobs made of blocks, which grow.

Belongs here: what stands between a test and Azurite. Lakes are made in `lakes`.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from azure.storage.blob import (
    AccountSasPermissions,
    BlobBlock,
    BlobServiceClient,
    ResourceTypes,
    generate_account_sas,
)
from pydantic import SecretStr

from flow_pipeline.flowlog.blob_source import BlobSource, open_sources
from flow_pipeline.settings import AccountLocation, Patience

HEAD, TAIL = b'{"records":[', b"]}"
# Long enough for a busy machine to answer, short enough to wait for several times.
BRIEF = Patience(silence_seconds=2, pause_seconds=0.05)


class Azurite(Protocol):
    """What the fixture of that name gives."""

    endpoint: str
    account: str
    key: str

    @property
    def service(self) -> BlobServiceClient: ...


@dataclass(frozen=True)
class Account:
    """An account as Azure and its owner write to it; `endpoint` is where the program reads it."""

    azurite: Azurite
    endpoint: str

    def put(self, blob: str, records: Sequence[bytes]) -> None:
        """A blob of these records: a block each, between Azure's first and last."""
        blocks = [HEAD, *(b"," + r if n else r for n, r in enumerate(records)), TAIL]
        client = self.azurite.service.get_blob_client(*_split(blob))
        ids = [_block_id(number, block) for number, block in enumerate(blocks)]
        for block_id, block in zip(ids, blocks, strict=True):
            client.stage_block(block_id, block)
        client.commit_block_list([BlobBlock(block_id) for block_id in ids])

    def put_at_once(self, blob: str, content: bytes) -> None:
        """A blob that was copied here in one piece: it has no blocks."""
        self.azurite.service.get_blob_client(*_split(blob)).upload_blob(content, overwrite=True)

    def delete(self, blob: str) -> None:
        """What Azure's retention does."""
        self.azurite.service.get_blob_client(*_split(blob)).delete_blob()

    @property
    def sas(self) -> str:
        """A signature that may list and read."""
        return generate_account_sas(
            self.azurite.account,
            self.azurite.key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions(read=True, list=True),
            expiry=datetime.now(UTC) + timedelta(hours=2),
        )

    def open(self, container: str, patience: Patience = BRIEF) -> BlobSource:
        """One container as a source."""
        location = AccountLocation(
            self.endpoint, self.azurite.account, container, SecretStr(self.sas), patience
        )
        [source] = open_sources([location])
        return source


def _split(blob: str) -> tuple[str, str]:
    container, _, path = blob.partition("/")
    return container, path


def _block_id(number: int, content: bytes) -> str:
    # Azure's first and last have ids of their own; a block that is another has another id.
    return b64encode(b"%04d" % number + hashlib.sha256(content).hexdigest()[:29].encode()).decode()
