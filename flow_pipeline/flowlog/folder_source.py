"""Read flow logs from a folder that holds the containers as directories.

Belongs here: everything that touches a file system on behalf of a source. Nothing is written.
A directory that is a symbolic link is not followed: it can lead out of the folder, or in circles.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from flow_pipeline.errors import (
    BlobChanged,
    BlobGone,
    BlobUnreadable,
    ContainerMissing,
    SourceDenied,
    SourceUnreachable,
)
from flow_pipeline.flowlog.blob_path import BLOB_NAME
from flow_pipeline.flowlog.blob_walk import Entry, HourWalk, ListedBlob
from flow_pipeline.flowlog.block_list import Block
from flow_pipeline.flowlog.schema import CONTAINERS

CHUNK_BYTES = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


class FolderSource:
    """A folder as a source of blobs. A file's ETag is its size and its time of modification.

    A folder that is itself named like a container is read as that one container.
    """

    def __init__(self, path: Path) -> None:
        """Raises SourceUnreachable for no folder, ContainerMissing for one without containers."""
        self.name = str(path)
        self._path = path
        if not path.is_dir():
            raise _no_folder(path)
        self._parent = path.parent if path.name in CONTAINERS else path
        names = [path.name] if path.name in CONTAINERS else sorted(CONTAINERS)
        directories = [self._parent / name for name in names]
        self._directories = [item for item in directories if item == path or _is_directory(item)]
        if not self._directories:
            raise ContainerMissing(
                f"{path} holds no flow logs",
                f"Expected a directory named {' or '.join(CONTAINERS)} in it, as a storage account "
                "holds them (a link to a directory is not followed)",
                "Point FLOW_SOURCES at the folder above those directories, or write a sample with: "
                "flow-pipeline generate --out FOLDER",
            )
        self.walks = [HourWalk(self.name, _Directory(item)) for item in self._directories]

    def list_hour(self, hour: datetime) -> Iterator[ListedBlob]:
        """The blobs of one written hour (naive UTC), sorted by name.

        Raises SourceUnreachable where the folder has gone, SourceDenied where it may not be read.
        """
        for walk in self.walks:
            yield from walk.list_hour(hour)
        self._check_present()

    def earliest_hour(self) -> datetime | None:
        """The first written hour that has a blob; None if there is none. Raises as list_hour."""
        hours = [walk.earliest_hour() for walk in self.walks]
        self._check_present()
        return min((hour for hour in hours if hour is not None), default=None)

    def relist(self, blob: ListedBlob) -> ListedBlob | None:
        """The file as it is now; None if it is gone. Raises as list_hour."""
        container, _, path = blob.blob.partition("/")
        entries = _Directory(self._parent / container).entries_below(path.removesuffix(BLOB_NAME))
        found = next((entry for entry in entries if entry.path == path), None)
        self._check_present()
        return None if found is None else replace(blob, etag=found.etag, size=found.size)

    def blocks(self, blob: ListedBlob) -> Sequence[Block] | None:
        """A file has no blocks: when it has changed it is read whole."""

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        """The file's bytes from `start` on, in chunks of up to 4 MiB.

        Raises BlobGone, BlobUnreadable, and BlobChanged, which may come after the last chunk: what
        was read counts only when the iterator has ended by itself.
        """
        with self._open(blob) as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def peek(self, blob: ListedBlob, size: int) -> bytes:
        """The first bytes of the file. Raises as read."""
        with self._open(blob) as file:
            return file.read(size)

    def close(self) -> None:
        """Nothing is held open."""

    @contextmanager
    def _open(self, blob: ListedBlob) -> Generator[BinaryIO]:
        """The file, which has to be the same before and after it is read."""
        try:
            with (self._parent / blob.blob).open("rb") as file:
                if _etag(os.fstat(file.fileno())) != blob.etag:
                    raise _changed(blob)
                yield file
                if _etag(os.fstat(file.fileno())) != blob.etag:
                    raise _changed(blob)
        except (FileNotFoundError, NotADirectoryError):
            raise BlobGone(
                f"{blob.blob} in {self.name} is gone",
                "Expected the file that was listed a moment ago",
                "Run again: its hour is listed anew",
            ) from None
        except OSError as error:
            raise BlobUnreadable(
                f"{blob.blob} in {self.name} could not be read: {error.strerror}",
                "Expected a file that this user may read",
                "Correct its permissions or the disk, then run again",
            ) from error

    def _check_present(self) -> None:
        """A folder that was unmounted or moved must not pass for one without blobs."""
        for directory in self._directories:
            if not directory.is_dir():
                raise _no_folder(directory)


class _Directory:
    """A container as a directory."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path

    def child_prefixes(self, prefix: str) -> Iterator[str]:
        for entry in _scan(self._path / prefix):
            if entry.is_dir(follow_symlinks=False):
                yield f"{prefix}{entry.name}/"

    def entries_below(self, prefix: str) -> Iterator[Entry]:
        for entry in _scan(self._path / prefix):
            if entry.is_dir(follow_symlinks=False):
                yield from self.entries_below(f"{prefix}{entry.name}/")
            elif entry.name == BLOB_NAME:
                status = _file_status(entry)
                if status is not None:
                    yield Entry(prefix + entry.name, _etag(status), status.st_size)


def _scan(directory: Path) -> list[os.DirEntry[str]]:
    """A directory's entries in the order of the paths below them; none where it has gone."""
    try:
        with os.scandir(directory) as entries:
            found = [entry for entry in entries if _is_text(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError:
        raise SourceDenied(
            f"{directory} may not be read",
            "Expected a folder that this user may list",
            "Correct its permissions, then run again",
        ) from None
    except OSError as error:
        raise SourceUnreachable(
            f"{directory} could not be listed: {error.strerror}",
            "Expected a folder that can be read",
            "Check the disk or the network share, then run again",
        ) from error
    # `a.b/` comes before `a/`, as in a listing of whole names.
    return sorted(found, key=lambda entry: f"{entry.name}/")


def _file_status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None for what is no file or has gone, such as a link that leads nowhere or to itself."""
    try:
        status = entry.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise SourceUnreachable(
            f"{entry.path} could not be looked at: {error.strerror}",
            "Expected a file, or a link to one, that this user may read",
            "Correct its permissions, the disk or the link, then run again",
        ) from error
    return status if stat.S_ISREG(status.st_mode) else None


def _is_text(entry: os.DirEntry[str]) -> bool:
    """Azure's names are Unicode; one that is not cannot be theirs, nor be stored as text."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        _log.warning("Skipped %r: its name is not valid UTF-8", entry.path)
        return False
    return True


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _etag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _no_folder(path: Path) -> SourceUnreachable:
    return SourceUnreachable(
        f"{path} is no folder",
        "Expected a folder that holds flow log containers as directories",
        "Correct FLOW_SOURCES, mount the disk, or write a sample with: flow-pipeline generate",
    )


def _changed(blob: ListedBlob) -> BlobChanged:
    return BlobChanged(
        f"{blob.blob} in {blob.source} changed while it was read",
        "Expected the size and modification time that were listed",
        "Run again: its hour is listed anew",
    )
