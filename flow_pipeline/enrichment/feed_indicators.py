"""STIX 2.1 indicators and MISP events: the addresses in them, through the formats' own libraries.

Belongs here: all that knows `stix2patterns` and `pymisp`, which the extra `threat-intel` brings.
Only what lists an address by itself counts: an address that is bad together with a port, or after
another, would flag too much. Indicators of domains, files and the like are left out: flow logs have
none of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

from flow_pipeline.enrichment.threat_types import threat_type_of
from flow_pipeline.errors import ReferenceDataError

_ADDRESSES = ("ipv4-addr", "ipv6-addr")
# Types of attributes with an address, and which of the parts between bars it is.
_MISP_ADDRESSES = {"ip-src": 0, "ip-dst": 0, "ip-src|port": 0, "ip-dst|port": 0, "domain|ip": 1}
_LITERAL = re.compile(r"'((?:[^'\\]|\\.)*)'")


@dataclass
class ListedAddresses:
    """Addresses as written, each with its kind of threat, and what could not be read.

    `changes_at` is the end of what is listed until a time to come.
    """

    found: list[tuple[str, str | None]] = field(default_factory=list["tuple[str, str | None]"])
    ignored: int = 0
    changes_at: datetime | None = None


def stix_addresses(feed: str, objects: Sequence[Any], now: datetime) -> ListedAddresses:
    """The addresses of a bundle's indicators that hold at `now` (naive UTC).

    Left out: those that are revoked, call themselves benign, or are valid at another time. Raises
    ReferenceDataError if the library is missing.
    """
    try:
        from stix2patterns.exceptions import ParseException
        from stix2patterns.v21.pattern import Pattern
    except ImportError:
        _missing(feed, "STIX 2.1")
    listed = ListedAddresses()
    for one in objects:
        if not isinstance(one, dict):
            listed.ignored += 1
            continue
        indicator = cast(dict[str, Any], one)
        if indicator.get("type") != "indicator" or indicator.get("revoked") is True:
            continue
        pattern = indicator.get("pattern")
        if not isinstance(pattern, str) or indicator.get("pattern_type", "stix") != "stix":
            continue
        words = [*_texts(indicator.get("indicator_types")), *_texts(indicator.get("labels"))]
        if "benign" in words or not any(kind in pattern for kind in _ADDRESSES):
            continue
        try:
            start, end = _time(indicator.get("valid_from")), _time(indicator.get("valid_until"))
            addresses = list(_stix_entries(Pattern(pattern).inspect()))
        except (ParseException, TypeError, ValueError, OverflowError, RecursionError):
            listed.ignored += 1
            continue
        times = [at for at in (start, end) if at is not None and at > now]
        listed.changes_at = min([*times, *filter(None, [listed.changes_at])], default=None)
        if (start is not None and start > now) or (end is not None and end <= now):
            continue
        listed.ignored += not addresses
        listed.found += [(address, threat_type_of(words)) for address in addresses]
    return listed


def _stix_entries(pattern: Any) -> Iterator[str]:
    """The addresses that a pattern lists each by itself; none if it asks for anything more."""
    is_simple = not pattern.qualifiers and not pattern.observation_ops - {"OR"}
    if not is_simple or not set(pattern.comparisons) <= set(_ADDRESSES):
        return
    tests = [test for tests in pattern.comparisons.values() for test in tests]
    if any(path != ["value"] or how not in ("=", "IN", "ISSUBSET") for path, how, _ in tests):
        return
    for _, _, literal in tests:
        yield from (re.sub(r"\\(.)", r"\1", text) for text in _LITERAL.findall(literal))


def misp_addresses(feed: str, document: Mapping[str, Any]) -> ListedAddresses:
    """The addresses of MISP events or attributes that are marked for detection (`to_ids`).

    Raises ReferenceDataError if the library is missing.
    """
    try:
        from pymisp import MISPAttribute, PyMISPError
    except ImportError:
        _missing(feed, "MISP")
    listed = ListedAddresses()
    for event_words, one in _misp_attributes(document):
        if not isinstance(one, dict):
            listed.ignored += 1
            continue
        fields = cast(dict[str, Any], one)
        kind = fields.get("type")
        if kind not in _MISP_ADDRESSES:
            continue
        attribute = MISPAttribute()
        try:
            attribute.from_dict(**fields)
        except (PyMISPError, TypeError, ValueError, AttributeError, KeyError):
            # What the library says of a value that it did not expect is of any of these.
            listed.ignored += 1
            continue
        if not attribute.to_ids or getattr(attribute, "deleted", False):
            continue
        parts = str(attribute.value).split("|")
        words = [str(tag.name) for tag in attribute.tags]
        address = parts[_MISP_ADDRESSES[kind]] if len(parts) > _MISP_ADDRESSES[kind] else ""
        listed.found.append((address, threat_type_of([*words, *event_words])))
    return listed


def _misp_attributes(document: Mapping[str, Any]) -> Iterator[tuple[list[str], Any]]:
    """Each attribute with the tags of its event; of events, of their objects, and on its own."""
    answer = document.get("response", document)
    for holder in answer if isinstance(answer, list) else [answer]:
        event = holder.get("Event", holder) if isinstance(holder, dict) else {}
        tags = _items(event, "Tag")
        words = [word for tag in tags if isinstance(tag, dict) for word in _texts(tag.get("name"))]
        for each in (event, *_items(event, "Object")):
            yield from ((words, attribute) for attribute in _items(each, "Attribute"))


def _items(holder: Any, name: str) -> list[Any]:
    found: Any = holder.get(name) if isinstance(holder, dict) else None
    return cast(list[Any], found) if isinstance(found, list) else []


def _texts(told: object) -> list[str]:
    """A text or the texts of a list; nothing of what is neither."""
    found = told if isinstance(told, list) else [told]
    return [each for each in cast(list[object], found) if isinstance(each, str)]


def _time(told: object) -> datetime | None:
    """A time as naive UTC. Raises TypeError or ValueError for what is none."""
    if told is None:
        return None
    if not isinstance(told, str):
        raise TypeError("a time is a text")
    at = datetime.fromisoformat(told)
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def _missing(feed: str, format_name: str) -> NoReturn:
    raise ReferenceDataError(
        f"The threat feed {feed} is {format_name}, and what reads that is not installed",
        "Expected the packages of the extra threat-intel",
        "Install them (`.venv/bin/pip install '.[threat-intel]'`), or take this feed out of "
        "FLOW_THREAT_FEEDS",
    ) from None
