"""What the Azure SDK asks of a storage account, as its transport tells it.

Belongs here: recording requests, and telling one kind from another.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["list", "block list", "read", "look", "write"]


@dataclass(frozen=True)
class Request:
    """One request and what it was answered with; `length` is that of the body, if it was told."""

    method: str
    url: str
    status: int
    length: int | None

    @property
    def kind(self) -> Kind:
        """What it asks for: a listing, a block list, a part of a blob, or a blob's properties.

        Only a test writes.
        """
        query = parse_qs(urlsplit(self.url).query)
        if self.method not in ("GET", "HEAD"):
            return "write"
        if query.get("comp") == ["list"]:
            return "list"
        if query.get("comp") == ["blocklist"]:
            return "block list"
        assert "comp" not in query
        return "look" if self.method == "HEAD" else "read"

    @property
    def prefix(self) -> str:
        """The prefix that is listed."""
        return unquote(parse_qs(urlsplit(self.url).query).get("prefix", [""])[0])


class RequestLog(logging.Handler):
    """Every HTTP request that the SDK's transport sends."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.requests: list[Request] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Of urllib3's messages the one that tells of an answer has these eight arguments."""
        match record.args:
            case (_, _, _, str(method), str(url), _, int(status), length):
                known = length if isinstance(length, int) else None
                self.requests.append(Request(method, url, status, known))
            case _:
                pass

    def of_kind(self, kind: Kind) -> list[Request]:
        """The requests of one kind, in order."""
        return [request for request in self.requests if request.kind == kind]

    def counts(self) -> dict[str, int]:
        """How many requests there were of each kind."""
        return dict(Counter(request.kind for request in self.requests))

    def listed_prefixes(self) -> list[str]:
        """What was listed, in order."""
        return [request.prefix for request in self.of_kind("list")]

    def bytes_read(self) -> int:
        """How many bytes of blobs were fetched."""
        return sum(request.length or 0 for request in self.of_kind("read"))


@contextmanager
def recorded_requests() -> Generator[RequestLog]:
    """A log of the requests that are sent meanwhile."""
    handler, logger = RequestLog(), logging.getLogger("urllib3.connectionpool")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
