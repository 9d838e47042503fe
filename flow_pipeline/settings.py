"""Every setting, read once, from the environment and an `.env` file beside it.

Belongs here: names, defaults, and the checks that stop a run before anything is read. Nothing is
read when this module is imported; whoever needs settings calls `load_settings()` and hands them on.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flow_pipeline.enrichment.allow_list import AllowedPrefix, read_allow_list
from flow_pipeline.errors import SettingError
from flow_pipeline.flowlog.schema import CONTAINERS
from flow_pipeline.online_times import read_online_times

PROJECT_DIR = Path(__file__).resolve().parent.parent
SAMPLE_DIR = Path("sample")
CREDENTIAL_PREFIX = "FLOW_CREDENTIAL_"
# The emulators' well-known account stands in the path of the URL, not in the host name.
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
# What marks a word that holds a secret, in a place where it does not belong.
_SECRET = re.compile(r"(accountkey|sharedaccesssignature|sig)=", re.IGNORECASE)

# Settings that name a file: what is in it, and what goes for one that is not set.
_FILES = {
    "country_db": ("a country database (.mmdb)", "to use the bundled database"),
    "asn_db": ("a database of autonomous systems (.mmdb)", "to go without"),
    "service_tags": ("a service tags file (.json)", "to use the ranges of the package"),
    "networks": ("a CSV file of prefix, name, kind and region", "to go without"),
    "scanners": ("a CSV file of prefix and name", "to go without"),
}


@dataclass(frozen=True)
class FolderLocation:
    """A folder that holds the containers as directories."""

    path: Path


@dataclass(frozen=True)
class Patience:
    """How long an account is waited for: a person at a terminal waits less than an hourly run.

    `silence_seconds` without a byte is as good as a broken connection; a request that failed is
    sent again after a multiple of `pause_seconds`.
    """

    silence_seconds: float = 60
    pause_seconds: float = 1


@dataclass(frozen=True)
class AccountLocation:
    """A storage account's blob endpoint, and one container of it or (None) both.

    `endpoint` is free of secrets; `credential` is a connection string, a SAS or an account key, or
    None for what `DefaultAzureCredential` finds. `setting` is the name a user sets it by.
    """

    endpoint: str
    account: str
    container: str | None
    credential: SecretStr | None = field(repr=False)
    patience: Patience = Patience()

    @property
    def setting(self) -> str:
        """The environment variable that holds this account's credential."""
        return CREDENTIAL_PREFIX + self.account.upper()


SourceLocation = FolderLocation | AccountLocation


class Settings(BaseSettings):
    """The settings as typed values; `.env.example` documents each for the user."""

    model_config = SettingsConfigDict(
        env_prefix="FLOW_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    sources: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    lake: Path | None = None
    start: datetime | None = None
    country_db: Path | None = None
    asn_db: Path | None = None
    service_tags: Path | None = None
    networks: Path | None = None
    scanners: Path | None = None
    threat_feeds: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    allow_list: Path | None = None
    top_n: int = Field(default=20, ge=1, le=10_000)
    top_excluded_ports: Annotated[frozenset[int], NoDecode] = frozenset()
    online_times: Path | None = None
    # A tuple comes every five minutes while a connection lasts: three times that is silence.
    session_timeout: int = Field(default=15, ge=1, le=7 * 24 * 60)
    look_back_hours: int = Field(default=6, ge=0, le=24 * 31)
    keep_days: int = Field(default=7, ge=1, le=3650)

    @field_validator("sources", "threat_feeds", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("top_excluded_ports", mode="before")
    @classmethod
    def _split_ports(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        words = value.replace(",", " ").split()
        if not all(re.fullmatch(r"[0-9]{1,5}", word) and int(word) <= 65535 for word in words):
            raise ValueError("ports are whole numbers from 0 to 65535, separated by spaces")
        return frozenset(int(word) for word in words)

    @field_validator("start", mode="before")
    @classmethod
    def _read_hour(cls, value: object) -> object:
        return parse_hour(value) if isinstance(value, str) and value.strip() else value or None

    @field_validator(
        "lake",
        "country_db",
        "asn_db",
        "service_tags",
        "networks",
        "scanners",
        "allow_list",
        "online_times",
        mode="before",
    )
    @classmethod
    def _read_path(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if "://" in value:
            raise ValueError("this is a URL, not a path on this machine")
        # A shell expands ~ before it gets here; nobody does in an .env file.
        return Path(value).expanduser() if value.strip() else None

    @property
    def is_sample(self) -> bool:
        """No source is named: the generated sample stands in."""
        return not self.sources

    @property
    def lake_dir(self) -> Path:
        """Absolute; the sample has a lake of its own, so that it never mixes with real data."""
        default = SAMPLE_DIR / "lake" if self.is_sample else Path("lake")
        return (self.lake or default).absolute()

    @property
    def feed_locations(self) -> tuple[str, ...]:
        """URLs and files of threat feeds; the sample brings its own."""
        if self.is_sample and not self.threat_feeds:
            return (str(SAMPLE_DIR / "threats.txt"),)
        return self.threat_feeds

    def allowed(self) -> tuple[AllowedPrefix, ...]:
        """The allow-list's prefixes. Raises SettingError that names each bad line."""
        return read_allow_list(self.allow_list) if self.allow_list else ()

    def source_locations(self) -> list[SourceLocation]:
        """Where the blobs are, in the order named, with each account's credential.

        Raises SettingError for what is neither a folder nor a blob endpoint.
        """
        if self.is_sample:
            return [FolderLocation(SAMPLE_DIR.absolute())]
        return [source_location(word) for word in self.sources]


def load_settings() -> Settings:
    """Read the environment and `.env`. Raises SettingError naming the first setting at fault."""
    settings = read_settings()
    for name, (expected, otherwise) in _FILES.items():
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise SettingError(
                "FLOW_" + name.upper(),
                f"{path} is no file",
                f"the path of {expected}",
                f"Correct the path, or leave the setting out {otherwise}",
            )
    if settings.online_times is not None:
        read_online_times(settings.online_times)
    settings.source_locations()
    settings.allowed()
    return settings


def read_settings() -> Settings:
    """The settings without a look at what they name, for whoever examines each by itself.

    Raises SettingError for a value that makes no sense and for a name that is nearly a setting's.
    """
    try:
        settings = Settings()
    except UnicodeDecodeError:
        raise SettingError(
            ".env",
            "the file is not UTF-8",
            "lines as in .env.example",
            "Save the file as UTF-8",
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "FLOW_" + str(first["loc"][0]).upper()
        raise SettingError(
            name,
            first["msg"].removeprefix("Value error, "),
            "a value as .env.example describes it",
            f"Correct {name} in the environment or in .env",
        ) from None
    _refuse_misspelt()
    return settings


def parse_hour(text: str) -> datetime:
    """`2026-03-01T05`, with or without minutes that are zero, or a bare date -> naive UTC hour.

    Raises ValueError otherwise.
    """
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no hour; write it like 2026-03-01T05 (UTC)") from None
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(f"{text!r} is out of range") from None
    if value != value.replace(minute=0, second=0, microsecond=0):
        raise ValueError(f"{text!r} is not a whole hour; write it like 2026-03-01T05 (UTC)")
    return value


def credential_for(account: str) -> SecretStr | None:
    """The credential set for one account, from the environment before `.env`."""
    name = CREDENTIAL_PREFIX + account.upper()
    value = os.environ.get(name) or dotenv_values(".env").get(name)
    return SecretStr(value) if value else None


def _refuse_misspelt() -> None:
    """A setting that nobody reads would leave its user believing that it holds."""
    known = {"FLOW_" + name.upper() for name in Settings.model_fields}
    for name in (*os.environ, *dotenv_values(".env")):
        if not name.startswith("FLOW_") or name in known or name.startswith(CREDENTIAL_PREFIX):
            continue
        # Another program may have variables that begin like ours; only what looks like one of ours
        # is taken for it.
        meant = get_close_matches(name, known, n=1, cutoff=0.85)
        if meant:
            raise SettingError(name, "there is no such setting", meant[0], f"Call it {meant[0]}")


def _folder(word: str) -> FolderLocation:
    path = Path(word).expanduser().absolute()
    if not path.is_dir():
        shown = "a connection string or a SAS" if _SECRET.search(word) else path
        raise SettingError(
            "FLOW_SOURCES",
            f"{shown} is no folder",
            "a folder that holds the containers as directories, or an account's https:// URL",
            "Correct the path, or create it; a credential belongs in FLOW_CREDENTIAL_ACCOUNT",
        )
    return FolderLocation(path)


def source_location(word: str) -> SourceLocation:
    """What one word of FLOW_SOURCES names. Raises SettingError, which shows no secret."""
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", word):
        return _folder(word)
    try:
        parts = urlsplit(word)
        _ = parts.port
    except ValueError:
        raise _bad_endpoint(word.split("?", maxsplit=1)[0].rpartition("@")[2]) from None
    shown = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2].lower(), parts.path, "", ""))
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise _bad_endpoint(shown)
    segments = [segment for segment in parts.path.split("/") if segment]
    account = parts.hostname.split(".")[0]
    in_path = not _is_account_host(parts.hostname)
    if in_path:
        if not segments:
            raise _bad_endpoint(shown)
        account = segments.pop(0)
    if len(segments) > 1 or not _ACCOUNT.fullmatch(account):
        raise _bad_endpoint(shown)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SettingError(
            "FLOW_SOURCES",
            f"{shown} is not encrypted",
            "https:// (http:// is for an emulator on this machine)",
            "Write https:// instead",
        )
    container = segments[0] if segments else None
    if container is not None and container not in CONTAINERS:
        raise SettingError(
            "FLOW_SOURCES",
            f"{shown} names the container {container}",
            f"one of the flow log containers: {', '.join(CONTAINERS)}",
            "Correct the container, or leave it out to read both",
        )
    base = f"/{account}" if in_path else ""
    endpoint = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2].lower(), base, "", ""))
    is_sas = any(key == "sig" for key, _ in parse_qsl(parts.query))
    credential = SecretStr(parts.query) if is_sas else credential_for(account)
    return AccountLocation(endpoint, account, container, credential)


def _is_account_host(host: str) -> bool:
    """`ACCOUNT.blob.…` carries the account in the host; an address or localhost does not."""
    return ".blob." in host


def _bad_endpoint(shown: str) -> SettingError:
    return SettingError(
        "FLOW_SOURCES",
        f"{shown} is no blob endpoint",
        "https://ACCOUNT.blob.core.windows.net, with a container behind it or not",
        "Copy the Blob service endpoint from the storage account's Endpoints page",
    )
