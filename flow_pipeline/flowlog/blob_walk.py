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
from typing import NamedTuple, Protocol, TypeVar

from flow_pipeline.flowlog.blob_path import hour_prefix, is_year_prefix, parse_blob_path

_T = TypeVar("_T")

# As many names as the service puts into one answer.
_PAGE_NAMES = 5_000


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


class ListingBudget:
    """How many list calls may be made, and how many were; one gives up to 5,000 names."""

    def __init__(self, calls: int) -> None:
        self._allowed = calls
        self.calls = 0

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be listed: what was found may be a part of what there is."""
        return self.calls >= self._allowed

    def counted(self, names: Iterator[_T]) -> Iterator[_T]:
        """The names of one listing; they end early where the budget does."""
        if self.is_spent:
            return
        self.calls += 1
        for number, name in enumerate(names, start=1):
            yield name
            if number % _PAGE_NAMES == 0:
                if self.is_spent:
                    return
                self.calls += 1


class _BudgetedContainer:
    """A container of which no more is listed than a budget allows."""

    def __init__(self, container: Container, budget: ListingBudget) -> None:
        self.name = container.name
        self._container = container
        self._budget = budget

    def child_prefixes(self, prefix: str) -> Iterator[str]:
        return self._budget.counted(self._container.child_prefixes(prefix))

    def entries_below(self, prefix: str) -> Iterator[Entry]:
        return self._budget.counted(self._container.entries_below(prefix))


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
            hour = self.first_hour(resource)
            if hour and (earliest is None or hour < earliest):
                earliest = hour
        return earliest

    @property
    def container(self) -> str:
        """The container's name."""
        return self._container.name

    def within(self, budget: ListingBudget) -> HourWalk:
        """A walk of the same container that lists no more than a budget allows."""
        return HourWalk(self._source, _BudgetedContainer(self._container, budget))

    def resources(self) -> Iterator[str]:
        """The prefixes directly above a level of years, as they are found."""
        return self._find_resource_prefixes()

    def first_hour(self, resource: str) -> datetime | None:
        """The first written hour of a resource that has a blob."""
        blob = self._outermost_blob(resource, newest=False)
        return blob.written_hour if blob else None

    def last_hour(self, resource: str) -> datetime | None:
        """The last written hour of a resource that has a blob."""
        blob = self._outermost_blob(resource, newest=True)
        return blob.written_hour if blob else None

    def list_resource_hour(self, resource: str, hour: datetime) -> Iterator[ListedBlob]:
        """The blobs of one written hour of one resource."""
        return self._blobs_below(hour_prefix(resource, hour))

    def names_below(self, prefix: str) -> Iterator[str]:
        """The paths of whatever lies below a prefix, at any depth: no more than asked for."""
        return (entry.path for entry in self._container.entries_below(prefix))

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

    def _outermost_blob(self, resource: str, *, newest: bool) -> ListedBlob | None:
        """A blob of the first or the last hour of a resource.

        Years, months, days and hours are padded with zeros, so their order as text is their order
        in time. A level may be empty (a folder's, or a hierarchical account's whose blobs were
        deleted): then the next one is tried.
        """
        years = filter(is_year_prefix, self._container.child_prefixes(resource))
        waiting = sorted(years, reverse=not newest)
        hour_depth = resource.count("/") + 4
        while waiting:
            prefix = waiting.pop()
            if prefix.count("/") < hour_depth:
                below = self._container.child_prefixes(prefix)
                waiting.extend(sorted(below, reverse=not newest))
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
