"""Where blobs come from: one interface over folders and storage accounts.

Belongs here: the interface, and opening what the settings name. Each kind of source has its own
module; the one for accounts is slow to import, so that is done only when there is an account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol

from flow_pipeline.flowlog.blob_walk import HourWalk, ListedBlob
from flow_pipeline.flowlog.block_list import Block
from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.settings import FolderLocation, SourceLocation

__all__ = ["BlobSource", "ListedBlob", "open_sources"]


class BlobSource(Protocol):
    """A folder, or one container of a storage account. Read-only, and safe to share by threads.

    Which resources it has is looked up once: a source lives as long as one run and no longer.
    """

    name: str
    """What the lake keeps as `source`: endpoint and container, or a folder's absolute path."""

    @property
    def walks(self) -> Sequence[HourWalk]:
        """The walk through each of its containers, for whoever looks at more than an hour."""
        ...

    def list_hour(self, hour: datetime) -> Iterator[ListedBlob]:
        """The blobs of one written hour (naive UTC), streamed, sorted by name.

        Only that hour is listed. Raises SourceError; what came before then is no whole listing.
        """
        ...

    def earliest_hour(self) -> datetime | None:
        """The first written hour that has a blob (naive UTC); None if there is none.

        Raises SourceError.
        """
        ...

    def relist(self, blob: ListedBlob) -> ListedBlob | None:
        """The same blob as it is now; None if it is gone. At most one request.

        Raises SourceError.
        """
        ...

    def blocks(self, blob: ListedBlob) -> Sequence[Block] | None:
        """The blocks of the content that was listed, in order; None where there are no such things.

        At most one request. Raises as read.
        """
        ...

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        """The content that was listed, from the byte `start` on, in chunks of up to 4 MiB.

        Raises BlobChanged or BlobGone, possibly after the last chunk: what was read counts only
        when the iterator has ended by itself, and `relist` tells what became of the blob. Raises
        BlobUnreadable or SourceDenied where trying again is of no use.
        """
        ...

    def peek(self, blob: ListedBlob, size: int) -> bytes:
        """The first `size` bytes of the content that was listed, or all there are. Raises as read.

        At most one request.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def open_sources(locations: Sequence[SourceLocation]) -> list[BlobSource]:
    """One source for each folder and for each container of an account, in the order named.

    An account without a named container gives those of the two that it has. A source named twice
    is opened once. Each is tried out, so that a wrong address or credential fails here: raises
    SettingError, SourceUnreachable, SourceDenied or ContainerMissing, and leaves nothing open.
    """
    sources: dict[str, BlobSource] = {}
    with ExitStack() as opened:
        for location in locations:
            for source in _open(location):
                opened.callback(source.close)
                sources.setdefault(source.name, source)
        opened.pop_all()
    return list(sources.values())


def _open(location: SourceLocation) -> Sequence[BlobSource]:
    if isinstance(location, FolderLocation):
        return [FolderSource(location.path)]
    # The Azure SDK takes longer to import than a small folder to land.
    from flow_pipeline.flowlog.account_source import open_account

    return open_account(location)
