"""Look at a container of flow logs without reading it: what is there, since when, how much.

Belongs here: what can be told from a bounded number of list calls and from the beginnings of a few
blobs. What it means for a user, and the remedy, is told by `doctor`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, zip_longest

from flow_pipeline.flowlog.blob_path import PathShape, parse_blob_path, shape_of
from flow_pipeline.flowlog.blob_source import BlobSource
from flow_pipeline.flowlog.blob_walk import HourWalk, ListedBlob, ListingBudget
from flow_pipeline.flowlog.decode import BlobDecoder, BlobPlace
from flow_pipeline.flowlog.problems import BlobProblem, ProblemCode
from flow_pipeline.partitions import HOUR

# A resource costs some eleven calls to find and date, and four for its newest hours.
FINDING_CALLS = 800
HOUR_CALLS = 400
PEEKED_BLOBS = 6
PEEK_BYTES = 512 * 1024
# The newest one, which may have just begun or just ended, and three that are whole.
NEWEST_HOURS = 4
_STRANGERS_SHOWN = 3


@dataclass(frozen=True)
class Resource:
    """An NSG or flow log that has written: its prefix, and the hours between which it did."""

    prefix: str
    shape: PathShape
    first_hour: datetime
    last_hour: datetime


@dataclass(frozen=True)
class ListedHour:
    """What one written hour holds by its listing. A NIC is known by its MAC address, in capitals.

    `is_whole` is whether the list calls allowed were enough.
    """

    hour: datetime
    blobs: int
    bytes: int
    nics: frozenset[str]
    is_whole: bool


@dataclass(frozen=True)
class ContainerSurvey:
    """What listing a container told.

    `hours` are the newest ones, the newest first. `is_whole` is whether the list calls allowed were
    enough to find every resource. `strangers` are some names where nothing has a written hour.
    """

    source: str
    container: str
    resources: tuple[Resource, ...]
    hours: tuple[ListedHour, ...]
    is_whole: bool
    strangers: tuple[str, ...]

    @property
    def first_hour(self) -> datetime | None:
        """The first written hour of the resources that were found."""
        return min((resource.first_hour for resource in self.resources), default=None)

    @property
    def last_hour(self) -> datetime | None:
        """The last written hour of the resources that were found."""
        return max((resource.last_hour for resource in self.resources), default=None)

    @property
    def nics(self) -> frozenset[str]:
        """The NICs of the newest hours."""
        return frozenset(chain.from_iterable(hour.nics for hour in self.hours))

    def shapes(self) -> Counter[PathShape]:
        """How many resources have a path of each shape."""
        return Counter(resource.shape for resource in self.resources)


@dataclass(frozen=True)
class PeekedBlob:
    """What the beginning of a blob told. `versions` counts tuples."""

    blob: str
    bytes_read: int
    records: int
    versions: dict[int, int]
    problems: tuple[BlobProblem, ...]


def survey_container(
    source: BlobSource, walk: HourWalk, finding: ListingBudget, newest: ListingBudget
) -> ContainerSurvey:
    """List what is needed to say what a container holds, and no more.

    One budget is for finding the resources, the other for their newest hours. Raises SourceError.
    """
    within = walk.within(finding)
    resources: list[Resource] = []
    for prefix in within.resources():
        last = within.last_hour(prefix)
        first = within.first_hour(prefix)
        # What was found with the last call may be a part of the truth.
        if first and last and not finding.is_spent:
            resources.append(Resource(prefix, shape_of(prefix), first, last))
    is_whole = not finding.is_spent
    strangers: tuple[str, ...] = ()
    if is_whole and not resources:
        strangers = tuple(islice(within.names_below(""), _STRANGERS_SHOWN))
    hours: list[ListedHour] = []
    if resources:
        last = max(resource.last_hour for resource in resources)
        first = min(resource.first_hour for resource in resources)
        wanted = (last - back * HOUR for back in range(NEWEST_HOURS))
        hours = [list_hour(walk, resources, hour, newest) for hour in wanted if hour >= first]
    return ContainerSurvey(
        source=source.name,
        container=walk.container,
        resources=tuple(resources),
        hours=tuple(hours),
        is_whole=is_whole,
        strangers=strangers,
    )


def list_hour(
    walk: HourWalk, resources: Iterable[Resource], hour: datetime, budget: ListingBudget
) -> ListedHour:
    """What some resources wrote in one hour. Raises SourceError."""
    within = walk.within(budget)
    blobs = size = 0
    nics: set[str] = set()
    for resource in resources:
        if resource.first_hour <= hour <= resource.last_hour:
            for blob in within.list_resource_hour(resource.prefix, hour):
                blobs += 1
                size += blob.size
                path = parse_blob_path(blob.blob)
                if path is not None and path.mac:
                    nics.add(path.mac.upper())
    return ListedHour(hour, blobs, size, frozenset(nics), not budget.is_spent)


def blobs_to_peek_at(
    walk: HourWalk, resources: Sequence[Resource], budget: ListingBudget
) -> list[ListedBlob]:
    """A few blobs: the newest and the oldest of some resources, paths of all shapes among them.

    Raises SourceError.
    """
    within = walk.within(budget)
    by_shape = [[each for each in resources if each.shape is shape] for shape in PathShape]
    in_turn = [each for each in chain.from_iterable(zip_longest(*by_shape)) if each is not None]
    places = [(each.prefix, each.last_hour) for each in in_turn]
    places += [(each.prefix, each.first_hour) for each in in_turn]
    # A resource that has written a single hour has one place.
    chosen = islice(dict.fromkeys(places), PEEKED_BLOBS)
    found = (next(within.list_resource_hour(*place), None) for place in chosen)
    return [blob for blob in found if blob is not None]


def peek_at(source: BlobSource, blob: ListedBlob) -> PeekedBlob:
    """Decode the beginning of a blob. Raises SourceError."""
    beginning = source.peek(blob, PEEK_BYTES)
    decoder = BlobDecoder(BlobPlace(blob.source, blob.blob, blob.written_hour))
    for _ in chain(decoder.feed(beginning), decoder.finish()):
        pass
    summary = decoder.summary
    # We are the one who cut it off.
    is_cut = len(beginning) < blob.size
    problems = (
        problem
        for problem in summary.problems
        if not (is_cut and problem.code == ProblemCode.CUT_OFF)
    )
    return PeekedBlob(
        blob.blob, len(beginning), summary.records, dict(summary.versions), tuple(problems)
    )
