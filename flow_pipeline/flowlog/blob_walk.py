"""Find the blobs of a written hour in a container without listing the others.

A container can hold millions of blobs, so nothing here lists it flat. The levels above the years
are walked once, which finds the resources; an hour is then asked for below each resource by its
prefix. So an hour costs one listing for each resource, however many blobs there are.

Belongs here: that walk, the same for a folder and for an account, and what it finds. How one level
is listed is the business of folder_source.py and account_source.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from flow_pipeline.flowlog.blob_path import hour_prefix, is_year_prefix, parse_blob_path


@dataclass(frozen=True)
class ListedBlob:
    """A blob as it was when it was listed.

    `source` is the name of its source, free of secrets. `blob` is container and path, without the
    account. `etag` pins the content that a read must give; for a file it is made of size and
    modification time. `size` is in bytes, `written_hour` naive UTC.
    """

    source: str
    blob: str
    etag: str
    size: int
    written_hour: datetime


class Entry(NamedTuple):
    """One blob of a container: its path within the container, its ETag, its size in bytes."""

    path: str
    etag: str
    size: int


class Container(Protocol):
    """A hierarchy of paths. A prefix is empty, or ends with `/`."""

    @property
    def name(self) -> str:
        """The container's name, the first part of every blob's name."""
        ...

    def child_prefixes(self, prefix: str) -> Iterator[str]:
        """The prefixes one level below, each whole and ending with `/`."""
        ...

    def entries_below(self, prefix: str) -> Iterator[Entry]:
        """Every blob whose path begins with the prefix, at any depth, sorted by path."""
        ...


class HourWalk:
    """Lists one container by written hour; may be used from several threads.

    The resources are looked up once and kept for the life of this object, which is one run's: a
    resource that is new since then is found by the next run.
    """

    def __init__(self, source: str, container: Container) -> None:
        self._source = source
        self._container = container
        self._resources: tuple[str, ...] | None = None
        self._lock = threading.Lock()

    def list_hour(self, hour: datetime) -> Iterator[ListedBlob]:
        """The blobs of one written hour (naive UTC), sorted by name."""
        for prefix in sorted(hour_prefix(resource, hour) for resource in self._resource_prefixes()):
            yield from self._blobs_below(prefix)

    def earliest_hour(self) -> datetime | None:
        """The first written hour that has a blob; None for a container without any."""
        earliest: datetime | None = None
        for resource in self._resource_prefixes():
            blob = self._first_blob(resource)
            if blob and (earliest is None or blob.written_hour < earliest):
                earliest = blob.written_hour
        return earliest

    def _resource_prefixes(self) -> tuple[str, ...]:
        """The prefixes directly above a level of years."""
        with self._lock:
            if self._resources is None:
                self._resources = tuple(self._find_resource_prefixes())
            return self._resources

    def _find_resource_prefixes(self) -> Iterator[str]:
        waiting = [""]
        while waiting:
            prefix = waiting.pop()
            has_years = False
            for child in self._container.child_prefixes(prefix):
                if is_year_prefix(child):
                    has_years = True
                else:
                    waiting.append(child)
            if has_years:
                yield prefix

    def _first_blob(self, resource: str) -> ListedBlob | None:
        """The first blob of a resource in time.

        Years, months, days and hours are padded with zeros, so their order as text is their order
        in time. A level may be empty (a folder's, or a hierarchical account's whose blobs were
        deleted): then the next one is tried.
        """
        years = filter(is_year_prefix, self._container.child_prefixes(resource))
        waiting = sorted(years, reverse=True)
        hour_depth = resource.count("/") + 4
        while waiting:
            prefix = waiting.pop()
            if prefix.count("/") < hour_depth:
                waiting.extend(sorted(self._container.child_prefixes(prefix), reverse=True))
            else:
                blob = next(self._blobs_below(prefix), None)
                if blob:
                    return blob
        return None

    def _blobs_below(self, prefix: str) -> Iterator[ListedBlob]:
        for entry in self._container.entries_below(prefix):
            blob = f"{self._container.name}/{entry.path}"
            path = parse_blob_path(blob)
            if path is not None:
                yield ListedBlob(self._source, blob, entry.etag, entry.size, path.written_hour)
