"""The path of a flow log blob: which resource, which written hour, which NIC.

Belongs here: the grammar of the paths that Azure writes, and nothing that reads a source. Paths are
taken apart, never constructed, but for the prefix of an hour, which is what listing is bounded by.

    CONTAINER/resourceId=/SUBSCRIPTIONS/…/y=2026/m=11/d=01/h=05/m=00/macAddress=000D3AF8…/PT1H.json

`m=` stands twice, the month and the minute. The identity of a flow comes from the JSON; what is
read here serves to find blobs and to name them to a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

BLOB_NAME = "PT1H.json"

# The first run of year, month, day and hour counts: the walk goes no deeper than the first year.
_PATH = re.compile(
    r"(?P<container>[^/]+)/"
    r"(?:(?P<resource>.*?)/)?"
    r"y=(?P<year>[0-9]{4})/m=(?P<month>[0-9]{2})/d=(?P<day>[0-9]{2})/h=(?P<hour>[01][0-9]|2[0-3])/"
    r"(?P<rest>(?:.*/)?)" + re.escape(BLOB_NAME),
    re.DOTALL,
)
_RESOURCE_KEY = re.compile(r"(?:flowLog)?resourceId=", re.IGNORECASE)
_MAC = re.compile(r"(?:^|/)macAddress=([^/]*)/", re.IGNORECASE)
_YEAR = re.compile(r"(?:^|.*/)y=[0-9]{4}/", re.DOTALL)

_ANY_RESOURCE = r"/SUBSCRIPTIONS/[^/]+/RESOURCEGROUPS/[^/]+/PROVIDERS/"


class PathShape(StrEnum):
    """What the part of a path above the years names."""

    NSG = "NSG"
    VNET = "VNet flow log"
    VNET_SHORT = "VNet flow log (short form)"
    FOREIGN = "another service"
    UNKNOWN = "not understood"


_SHAPES = {
    PathShape.NSG: rf"resourceId={_ANY_RESOURCE}MICROSOFT\.NETWORK/NETWORKSECURITYGROUPS/[^/]+/",
    PathShape.VNET: rf"flowLogResourceID={_ANY_RESOURCE}MICROSOFT\.NETWORK/NETWORKWATCHERS/[^/]+"
    r"/FLOWLOGS/[^/]+/",
    PathShape.VNET_SHORT: r"flowLogResourceID=/[^/_]+_[^/]+/[^/_]+_[^/]+/",
    PathShape.FOREIGN: r"(?:flowLog)?resourceId=/.*/PROVIDERS/[^/]+/.+",
}
_SHAPE_PATTERNS = {
    shape: re.compile(pattern, re.IGNORECASE | re.DOTALL) for shape, pattern in _SHAPES.items()
}


@dataclass(frozen=True)
class BlobPath:
    """A blob's path taken apart, spelled as it stands there.

    `resource_id` is what follows `resourceId=` or `flowLogResourceID=`: the id of an NSG or of a
    flow log, or the short form `/{subscription}_NETWORKWATCHERRG/NETWORKWATCHER_{region}_{name}`.
    `written_hour` is naive UTC. `mac` is None where the path names no NIC.
    """

    container: str
    resource_id: str
    written_hour: datetime
    mac: str | None


def parse_blob_path(blob: str) -> BlobPath | None:
    """Take `container/path` apart; None where it is no flow log's path or names no real hour."""
    match = _PATH.fullmatch(blob)
    if match is None:
        return None
    try:
        written_hour = datetime.fromisoformat(match.expand(r"\g<year>-\g<month>-\g<day>T\g<hour>"))
    except ValueError:
        return None
    resource = match["resource"] or ""
    key = _RESOURCE_KEY.match(resource)
    mac = _MAC.search(match["rest"])
    return BlobPath(
        container=match["container"],
        resource_id=resource[key.end() :] if key else resource,
        written_hour=written_hour,
        mac=mac[1] if mac else None,
    )


def shape_of(resource_prefix: str) -> PathShape:
    """What a prefix directly above a level of years names; it ends with `/`."""
    for shape, pattern in _SHAPE_PATTERNS.items():
        if pattern.fullmatch(resource_prefix):
            return shape
    return PathShape.UNKNOWN


def is_year_prefix(prefix: str) -> bool:
    """Whether the last level of a prefix (it ends with `/`) is a year's: `…/y=2026/`."""
    return _YEAR.fullmatch(prefix) is not None


def hour_prefix(resource_prefix: str, hour: datetime) -> str:
    """The prefix of one written hour below the level that holds a resource's years."""
    return f"{resource_prefix}{hour:y=%Y/m=%m/d=%d/h=%H/}"
