"""Read flow logs from the containers of a storage account.

Belongs here: everything that knows the Azure SDK: its credentials, its retries, and what its
errors mean to a user. Nothing but listing and reading: a write to a live blob can stop Azure from
logging for the rest of its hour.

The SDK's error texts hold whole URLs, a SAS included. So no text of theirs goes into a message, and
a failure is raised without its cause.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import logging
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobClient, BlobPrefix, ContainerClient

from flow_pipeline.errors import (
    BlobChanged,
    BlobGone,
    BlobUnreadable,
    ContainerMissing,
    SettingError,
    SourceDenied,
    SourceError,
    SourceUnreachable,
)
from flow_pipeline.flowlog.account_patience import connection_options
from flow_pipeline.flowlog.blob_walk import Entry, HourWalk, ListedBlob
from flow_pipeline.flowlog.block_list import Block
from flow_pipeline.flowlog.credential import CredentialKind, kind_of, secret_of
from flow_pipeline.flowlog.schema import CONTAINERS
from flow_pipeline.settings import AccountLocation

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential

# The most of which the service tells a checksum; many blobs are smaller and cost one request.
_CHUNK_BYTES = 4 * 1024 * 1024
_TRIES_AT_A_RANGE = 3

# What the client raises for an answer that no storage service gives: it counts on every part of it.
_STRANGE_ANSWER = (AttributeError, LookupError, TypeError, ValueError)

_SECRET_IN_CONNECTION_STRING = re.compile(r"(?i:accountkey|sharedaccesssignature)=")
_CONTAINER_ABSENT = {"ContainerNotFound", "ContainerBeingDeleted"}
_NO_BLOCK_BLOB = "InvalidBlobType"
_HTTP_UNAUTHENTICATED = 401
_HTTP_FORBIDDEN = 403
_HTTP_NOT_FOUND = 404
_HTTP_PRECONDITION_FAILED = 412


class AccountSource:
    """One container of a storage account as a source of blobs."""

    def __init__(self, location: AccountLocation, container: str) -> None:
        """Raises SettingError for a credential that cannot be one of this account's."""
        self.name = _address(location, container)
        self._location = location
        self._container = container
        self._client = _connect(location, container)
        self._walk = HourWalk(self.name, _ListedContainer(self._client, location, container))
        self.walks = (self._walk,)

    def check(self) -> None:
        """Ask for a first blob, which needs no more rights than listing does.

        Raises SourceUnreachable, SourceDenied or ContainerMissing.
        """
        with _listing_failures(self._location, self._container):
            next(iter(self._client.walk_blobs(results_per_page=1)), None)

    def list_hour(self, hour: datetime) -> Iterator[ListedBlob]:
        """The blobs of one written hour (naive UTC), sorted by name. Raises as check."""
        return self._walk.list_hour(hour)

    def earliest_hour(self) -> datetime | None:
        """The first written hour that has a blob; None if there is none. Raises as check."""
        return self._walk.earliest_hour()

    def relist(self, blob: ListedBlob) -> ListedBlob | None:
        """The blob as it is now; None if it is gone. One request. Raises as check."""
        with _listing_failures(self._location, self._container):
            try:
                found = self._blob_client(blob).get_blob_properties()
            except ResourceNotFoundError as error:
                if _code(error) in _CONTAINER_ABSENT:
                    raise
                return None
            return replace(blob, etag=_bare(found.etag), size=found.size)

    def blocks(self, blob: ListedBlob) -> Sequence[Block] | None:
        """The committed blocks of the content that was listed; None where there are none.

        One request. Raises as read.
        """
        etags: list[str] = []

        def keep_etag(response: Any) -> None:
            etags.append(_bare(response.http_response.headers.get("ETag", "")))

        try:
            committed, _ = self._blob_client(blob).get_block_list(
                "committed", raw_response_hook=keep_etag
            )
        except AzureError as error:
            if _code(error) == _NO_BLOCK_BLOB:
                return None
            raise _reading_failure(self._location, blob, error) from None
        except _STRANGE_ANSWER:
            raise _unreadable(self._location, blob, "its answer is no block list") from None
        # Written in one piece: the answer need not carry an ETag then, and nothing rests on it.
        if not committed:
            return None
        # A condition on the ETag is not among those that this request can carry.
        if etags[-1] != blob.etag:
            raise _changed(self._location, blob)
        return [Block(block.id, block.size) for block in committed]

    def read(self, blob: ListedBlob, start: int = 0) -> Iterator[bytes]:
        """The blob's bytes from `start` on, in chunks of up to 4 MiB, pinned to the listed ETag.

        Raises BlobChanged, BlobGone, BlobUnreadable, SourceDenied.
        """
        for begin in range(start, blob.size, _CHUNK_BYTES):
            yield self._read_range(blob, begin, min(begin + _CHUNK_BYTES, blob.size))

    def peek(self, blob: ListedBlob, size: int) -> bytes:
        """The first bytes of the content that was listed. One request. Raises as read."""
        return next(self.read(replace(blob, size=min(size, blob.size))), b"")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read_range(self, blob: ListedBlob, start: int, end: int) -> bytes:
        """The bytes [start, end), which are at least one, held against what is said of them.

        The client takes what it gets: a body that ends early, or is damaged on its way by whatever
        takes part in an encrypted connection, would leave a hole that nobody sees.
        """
        answers: list[Mapping[str, str]] = []

        def keep_headers(response: Any) -> None:
            answers.append(response.http_response.headers)

        for _ in range(_TRIES_AT_A_RANGE):
            try:
                content = (
                    self._blob_client(blob)
                    .download_blob(
                        start,
                        end - start,
                        etag=f'"{blob.etag}"',
                        match_condition=MatchConditions.IfNotModified,
                        headers={"x-ms-range-get-content-md5": "true"},
                        raw_response_hook=keep_headers,
                    )
                    .readall()
                )
            except AzureError as error:
                raise _reading_failure(self._location, blob, error) from None
            except _STRANGE_ANSWER:
                continue
            if _bare(answers[-1].get("ETag", "")) != blob.etag:
                raise _changed(self._location, blob)
            if _is_range(content, start, end, answers[-1]):
                return content
        raise _unreadable(self._location, blob, "it arrives incomplete or damaged")

    def _blob_client(self, blob: ListedBlob) -> BlobClient:
        return self._client.get_blob_client(blob.blob.removeprefix(f"{self._container}/"))


class _ListedContainer:
    """A container as a hierarchy of paths."""

    def __init__(self, client: ContainerClient, location: AccountLocation, name: str) -> None:
        self.name = name
        self._client = client
        self._location = location

    def child_prefixes(self, prefix: str) -> Iterator[str]:
        with _listing_failures(self._location, self.name):
            for item in self._client.walk_blobs(name_starts_with=prefix or None):
                if isinstance(item, BlobPrefix):
                    yield item.name

    def entries_below(self, prefix: str) -> Iterator[Entry]:
        # The service lists by name.
        with _listing_failures(self._location, self.name):
            for item in self._client.list_blobs(name_starts_with=prefix):
                yield Entry(item.name, _bare(item.etag), item.size)


def open_account(location: AccountLocation) -> list[AccountSource]:
    """The container that the location names, or those of the two that the account has.

    Raises SettingError, SourceUnreachable, SourceDenied, or ContainerMissing if there is none.
    """
    sources: list[AccountSource] = []
    with ExitStack() as opened:
        for container in [location.container] if location.container else sorted(CONTAINERS):
            source = AccountSource(location, container)
            opened.callback(source.close)
            try:
                source.check()
            except ContainerMissing:
                continue
            sources.append(source)
        if not sources:
            raise _container_missing(location, location.container)
        opened.pop_all()
    return sources


def _connect(location: AccountLocation, container: str) -> ContainerClient:
    secret, kind = secret_of(location.credential), kind_of(location.credential)
    if kind is CredentialKind.CONNECTION_STRING:
        return _connect_by_string(location, container, secret)
    if kind is CredentialKind.SAS:
        credential = AzureSasCredential(secret.rpartition("?")[2])
    elif kind is CredentialKind.ACCOUNT_KEY:
        credential = AzureNamedKeyCredential(location.account, _account_key(location, secret))
    elif location.endpoint.startswith("http://"):
        raise SettingError(
            location.setting,
            "is not set",
            f"a credential for {location.endpoint}: a sign-in is not sent over http",
            f"Set {location.setting} to the emulator's account key or connection string",
        )
    else:
        try:
            credential = _signed_in()
        except ClientAuthenticationError:
            raise _denied(location, container, None) from None
    return ContainerClient(
        location.endpoint, container, credential=credential, **_options(location)
    )


def _options(location: AccountLocation) -> dict[str, Any]:
    # A chunk is one request, whose answer can be told apart from others.
    return connection_options(location.patience) | {"max_single_get_size": _CHUNK_BYTES}


def _connect_by_string(location: AccountLocation, container: str, text: str) -> ContainerClient:
    try:
        client = ContainerClient.from_connection_string(text, container, **_options(location))
    except ValueError:
        client = None
    if client is None or not _SECRET_IN_CONNECTION_STRING.search(text):
        raise SettingError(
            location.setting,
            "is no complete connection string",
            "AccountName and AccountKey, or BlobEndpoint and SharedAccessSignature, with ; between",
            "Copy the whole connection string from the storage account's Access keys page",
        )
    endpoint = client.url.partition("?")[0].removesuffix(f"/{container}")
    if endpoint.lower() != location.endpoint.lower():
        client.close()
        raise SettingError(
            location.setting,
            f"is a connection string for {endpoint}",
            f"one for {location.endpoint}, as FLOW_SOURCES has it",
            f"Correct {location.setting} or FLOW_SOURCES, so that both name the same endpoint",
        )
    return client


def _account_key(location: AccountLocation, secret: str) -> str:
    try:
        base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise SettingError(
            location.setting,
            "is neither a connection string nor a SAS, and no account key either",
            "an account key in base64, a SAS (it holds sig=) or a connection string",
            "Copy it again, whole, from the storage account's page",
        ) from None
    return secret


@functools.cache
def _signed_in() -> DefaultAzureCredential:
    """What is signed in here, for all accounts, because the first token can take seconds.

    Raises ClientAuthenticationError where nobody is: tried out now, because the storage client
    would take a failure to sign in for one of the network and try again and again.
    """
    # Slow to import, and needed only where no credential is set.
    from azure.identity import DefaultAzureCredential

    # It logs a page on every way to sign in that failed; the SourceDenied that follows says enough.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    credential = DefaultAzureCredential(exclude_interactive_browser_credential=True)
    credential.get_token("https://storage.azure.com/.default")
    return credential


def _address(location: AccountLocation, container: str) -> str:
    return f"{location.endpoint}/{container}"


@contextmanager
def _listing_failures(location: AccountLocation, container: str) -> Generator[None]:
    try:
        yield
    except AzureError as error:
        raise _listing_failure(location, container, error) from None
    except _STRANGE_ANSWER:
        raise _unreachable(location, container, "its answer is no listing of blobs") from None


def _listing_failure(location: AccountLocation, container: str, error: AzureError) -> SourceError:
    code = _code(error)
    if _is_denied(error):
        return _denied(location, container, code)
    if code in _CONTAINER_ABSENT:
        return _container_missing(location, container)
    return _unreachable(location, container, _reason(error))


def _unreachable(location: AccountLocation, container: str, reason: str) -> SourceUnreachable:
    return SourceUnreachable(
        f"{_address(location, container)} does not answer as a storage account does: {reason}",
        "Expected the Blob service of a storage account at that address",
        "Check the address in FLOW_SOURCES, the network and the proxy, then run again",
    )


def _reading_failure(location: AccountLocation, blob: ListedBlob, error: AzureError) -> SourceError:
    if _is_denied(error):
        return _denied(location, blob.blob.partition("/")[0], _code(error))
    status = _status(error)
    if status == _HTTP_NOT_FOUND:
        return BlobGone(
            f"{_blob_name(location, blob)} is gone",
            "Expected the blob that was listed a moment ago",
            "Run again: its hour is listed anew",
        )
    # A blob that is not there fails the condition, too, before it is found to be missing.
    if status == _HTTP_PRECONDITION_FAILED:
        return _changed(location, blob)
    return _unreadable(location, blob, _reason(error))


def _changed(location: AccountLocation, blob: ListedBlob) -> BlobChanged:
    return BlobChanged(
        f"{_blob_name(location, blob)} changed after it was listed",
        f"Expected the content with the ETag {blob.etag}",
        "Run again: its hour is listed anew",
    )


def _unreadable(location: AccountLocation, blob: ListedBlob, reason: str) -> BlobUnreadable:
    return BlobUnreadable(
        f"{_blob_name(location, blob)} could not be read: {reason}",
        "Expected the whole blob within the retries",
        "Run again; if it stays so, look at the blob in the Azure portal",
    )


def _blob_name(location: AccountLocation, blob: ListedBlob) -> str:
    return f"{blob.blob} of {location.endpoint}"


def _is_range(content: bytes, start: int, end: int, headers: Mapping[str, str]) -> bool:
    """Whether these are the bytes that the headers are about, and those that were asked for."""
    if len(content) != end - start:
        return False
    if not headers.get("Content-Range", "").startswith(f"bytes {start}-{end - 1}/"):
        return False
    found = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    # Not every endpoint tells a checksum.
    return headers.get("Content-MD5", found) == found


def _bare(etag: str) -> str:
    """An ETag as a listing has it; headers put it in quotes."""
    return etag.strip('"')


def _container_missing(location: AccountLocation, container: str | None) -> ContainerMissing:
    return ContainerMissing(
        f"{location.endpoint} has no container {container or ' or '.join(sorted(CONTAINERS))}",
        "Expected a storage account that flow logs are written to",
        "Correct FLOW_SOURCES; a container appears with the first hour that Azure logs",
    )


def _denied(location: AccountLocation, container: str, code: str | None) -> SourceDenied:
    if location.credential is None:
        remedy = (
            "Sign in, for example with az login, as one who has the role Storage Blob Data "
            f"Reader; or set {location.setting} to a connection string, a SAS or an account key"
        )
    else:
        remedy = (
            f"Correct {location.setting}: a connection string, a SAS or an account key (a SAS of "
            "one container needs that container's name in FLOW_SOURCES)"
        )
    # The service's word for a firewall, and for a SAS that allows something else.
    if code == "AuthorizationFailure":
        remedy += "; or allow this machine in the account's network rules"
    return SourceDenied(
        f"{_address(location, container)} refuses the credential" + (f" ({code})" if code else ""),
        "Expected one that may list and read blobs, and has not expired",
        remedy,
    )


def _is_denied(error: AzureError) -> bool:
    return isinstance(error, ClientAuthenticationError) or _status(error) in (
        _HTTP_UNAUTHENTICATED,
        _HTTP_FORBIDDEN,
    )


def _status(error: AzureError) -> int | None:
    return error.status_code if isinstance(error, HttpResponseError) else None


def _code(error: AzureError) -> str | None:
    """The service's own word for the failure, such as `AuthenticationFailed`."""
    code = getattr(error, "error_code", None)
    word = str(getattr(code, "value", code or ""))
    return word if re.fullmatch(r"[A-Za-z0-9]+", word) else None


def _reason(error: AzureError) -> str:
    """What happened, in words that hold no URL."""
    code, status = _code(error), _status(error)
    if code:
        return code
    if status:
        return f"HTTP status {status}"
    cause: BaseException | None = error.inner_exception
    while cause is not None:
        if isinstance(cause, TimeoutError):
            return "no answer in time"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "the connection broke off"
