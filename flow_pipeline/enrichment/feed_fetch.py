"""Fetching threat feeds: from a file, or from the web only if they changed.

Belongs here: where a feed is, its name, conditional requests, limits and time-outs. What its
content means belongs to `feed_formats`; how often it is asked to `threat_history`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urldefrag, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Retry

from flow_pipeline.enrichment.feed_formats import REMEDY, FeedColumns
from flow_pipeline.errors import ReferenceDataError, SettingError

_CHUNK_BYTES = 1 << 16
# What may stand behind a place, as in `lists.csv#column=ip&type=threat`.
_OPTIONS = ("column", "type")
_OPTIONS_OF_FILE = re.compile(r"#(?:column|type)=[^#]*$")


@dataclass(frozen=True)
class FeedLimits:
    """How large a feed may be and how long it may take, in bytes and seconds."""

    max_bytes: int = 64 * 1024 * 1024
    connect_seconds: float = 10
    read_seconds: float = 30
    total_seconds: float = 300
    retries: int = 3


@dataclass(frozen=True)
class FeedPlace:
    """A feed as FLOW_THREAT_FEEDS names it.

    `name` is what it is called in tables and messages, free of secrets; `address` may hold some.
    """

    name: str
    address: str = field(repr=False)
    is_url: bool
    columns: FeedColumns | None


@dataclass(frozen=True)
class Validators:
    """What a server said of the content that it sent, and is asked by whether that still stands."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """The headers of a request that asks for the content only if it changed."""
        told = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Fetched:
    """A feed's content, or None where it is the one that `validators` were told of."""

    content: bytes | None
    validators: Validators


def feed_place(location: str) -> FeedPlace:
    """One word of FLOW_THREAT_FEEDS taken apart: `PLACE[#column=NAME[&type=NAME]]`.

    Raises ReferenceDataError for a URL that cannot be, SettingError for an unknown option.
    """
    if "://" in location:
        parts = _split_url(location)
        host = parts.hostname or ""
        name = (f"{host}:{parts.port}" if parts.port else host) + parts.path
        address, options = urldefrag(location)
        return FeedPlace(name, address, True, _columns(name, options))
    found = _OPTIONS_OF_FILE.search(location)
    options = found.group() if found else ""
    address = location.removesuffix(options)
    name = Path(address).name
    return FeedPlace(name, address, False, _columns(name, options.removeprefix("#")))


def feed_name(location: str) -> str:
    """The name that a feed has in tables and messages: its file name, or its URL's host and path.

    Raises as `feed_place`.
    """
    return feed_place(location).name


def check_feed_names(locations: Sequence[str]) -> None:
    """Refuse two feeds with one name: each would overwrite the other's history.

    Raises SettingError.
    """
    names = [feed_name(location) for location in locations]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise SettingError(
            "FLOW_THREAT_FEEDS",
            f"two feeds are called {twice[0]}",
            "feeds that differ in the file's name, or in the URL's host and path",
            "Name each feed once, or rename a file",
        )


def fetch_feed(
    place: FeedPlace, limits: FeedLimits | None = None, known: Validators | None = None
) -> Fetched:
    """A feed's content; None of a feed on the web that is the one `known` was told of.

    Raises ReferenceDataError, naming the feed and FLOW_THREAT_FEEDS, when it cannot be had whole.
    """
    limits = limits or FeedLimits()
    if place.is_url:
        return _download(place.address, place.name, limits, known or Validators())
    path = Path(place.address).expanduser()
    return Fetched(_read_file(path, place.name, limits), Validators())


def _columns(name: str, options: str) -> FeedColumns | None:
    if "=" not in options:
        return None
    told = dict(parse_qsl(options, keep_blank_values=True))
    unknown = sorted(set(told) - set(_OPTIONS))
    if unknown or not told.get("column"):
        raise SettingError(
            "FLOW_THREAT_FEEDS",
            f"{name} has the option {unknown[0]}" if unknown else f"{name} names no column",
            "#column=NAME, or #column=NAME&type=NAME, behind the place of a CSV",
            "Correct it, or leave it out",
        )
    return FeedColumns(told["column"], told.get("type") or None)


def _split_url(location: str) -> SplitResult:
    try:
        parts = urlsplit(location)
        # Asked for here, because it is checked only when asked for.
        _ = parts.port
    except ValueError:
        raise ReferenceDataError(
            "A threat feed's URL cannot be understood",
            "Expected https://HOST/PATH",
            REMEDY,
        ) from None
    return parts


def _read_file(path: Path, feed: str, limits: FeedLimits) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limits.max_bytes + 1)
    except OSError as error:
        raise ReferenceDataError(
            f"The threat feed {path} cannot be read: {error.strerror}",
            "Expected a readable file",
            REMEDY,
        ) from None
    if len(content) > limits.max_bytes:
        raise _too_large(feed, limits)
    return content


def _download(url: str, feed: str, limits: FeedLimits, known: Validators) -> Fetched:
    """The body behind a URL. Messages never quote the transport's, which hold the whole URL."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ReferenceDataError(
            f"The threat feed {feed} is neither a file nor a web address",
            "Expected a path, or a URL that begins with https:// or http://",
            REMEDY,
        )
    adapter = HTTPAdapter(
        max_retries=Retry(
            total=limits.retries,
            backoff_factor=0.5,
            status_forcelist=(429, 500, 502, 503, 504),
            raise_on_status=False,
            # A server may ask to be left alone for hours; the next run asks again.
            respect_retry_after_header=False,
        )
    )
    with requests.Session() as session:
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            with session.get(
                url,
                stream=True,
                timeout=(limits.connect_seconds, limits.read_seconds),
                headers=known.headers(),
            ) as response:
                status = response.status_code
                if status == requests.codes.not_modified and known.headers():
                    return Fetched(None, known)
                if status != requests.codes.ok:
                    raise _refused(feed, status)
                told = Validators(
                    response.headers.get("ETag"), response.headers.get("Last-Modified")
                )
                return Fetched(_body(response, feed, limits), told)
        except (requests.exceptions.RequestException, HTTPError) as error:
            failure = _failure(error, limits)
    raise ReferenceDataError(
        f"The threat feed {feed} {failure}",
        "Expected a plain list behind that address",
        f"Check the network and the address. {REMEDY}",
    )


def _body(response: requests.Response, feed: str, limits: FeedLimits) -> bytes:
    deadline = time.monotonic() + limits.total_seconds
    content = bytearray()
    # Takes what has arrived; `iter_content` would wait for a whole chunk of a feed that trickles.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > limits.max_bytes:
            raise _too_large(feed, limits)
        if time.monotonic() > deadline:
            raise ReferenceDataError(
                f"The threat feed {feed} was not through after {limits.total_seconds:g} s",
                "Expected the whole list in that time",
                f"Try again later. {REMEDY}",
            )
    return bytes(content)


def _failure(error: Exception, limits: FeedLimits) -> str:
    """What happened, in words. After retries requests wraps the reason into its ConnectionError."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    if isinstance(error, requests.exceptions.SSLError):
        return "has no certificate that this machine trusts"
    if isinstance(error, requests.exceptions.InvalidURL):
        return "has a URL that cannot be understood"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"could not be connected to within {limits.connect_seconds:g} s"
    if isinstance(reason, (requests.exceptions.ReadTimeout, ReadTimeoutError)):
        return f"did not answer within {limits.read_seconds:g} s"
    return "cannot be reached, or broke off"


def _refused(feed: str, status: int) -> ReferenceDataError:
    reasons = {
        401: "asks for a credential",
        403: "denies access",
        404: "does not exist",
        410: "does not exist any more",
    }
    return ReferenceDataError(
        f"The threat feed {feed} {reasons.get(status, 'did not answer with a list')}"
        f" (HTTP {status})",
        "Expected a plain list behind that address",
        REMEDY,
    )


def _too_large(feed: str, limits: FeedLimits) -> ReferenceDataError:
    return ReferenceDataError(
        f"The threat feed {feed} is larger than {limits.max_bytes:,} bytes",
        "Expected a list of addresses and CIDRs",
        REMEDY,
    )
