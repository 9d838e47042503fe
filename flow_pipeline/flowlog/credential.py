"""What a credential is, and what a SAS says of itself. Nothing here shows a secret.

Belongs here: telling the kinds of credentials apart, for whoever connects with one and for whoever
explains it. Connecting is `account_source`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import parse_qs

from pydantic import SecretStr

_CONNECTION_STRING = re.compile(r"(?i:accountkey|sharedaccesssignature|blobendpoint)=")
_SAS_IN_CONNECTION_STRING = re.compile(r"(?i:sharedaccesssignature)=([^;]*)")
_SAS = re.compile(r"(?:^|[?&])sig=")
_RIGHTS = re.compile(r"[a-z]+")


class CredentialKind(StrEnum):
    """The forms of a credential, in the words of the documentation."""

    CONNECTION_STRING = "connection string"
    SAS = "SAS"
    ACCOUNT_KEY = "account key"
    SIGN_IN = "sign-in"


@dataclass(frozen=True)
class SasTerms:
    """What a SAS says of itself. Times are naive UTC; None is what it does not say.

    `rights` are the letters of `sp=`. With a stored access policy times and rights may stand in the
    container's settings instead.
    """

    starts_at: datetime | None
    expires_at: datetime | None
    rights: frozenset[str] | None
    has_policy: bool


def secret_of(credential: SecretStr | None) -> str:
    """The credential's text without what surrounds it; empty for none."""
    return credential.get_secret_value().strip() if credential else ""


def kind_of(credential: SecretStr | None) -> CredentialKind:
    """What form a credential has; none is a sign-in."""
    secret = secret_of(credential)
    if _CONNECTION_STRING.search(secret):
        return CredentialKind.CONNECTION_STRING
    if _SAS.search(secret):
        return CredentialKind.SAS
    return CredentialKind.ACCOUNT_KEY if secret else CredentialKind.SIGN_IN


def sas_terms(credential: SecretStr | None) -> SasTerms | None:
    """What a SAS, alone or in a connection string, says of itself; None where there is none."""
    secret = secret_of(credential)
    kind = kind_of(credential)
    if kind is CredentialKind.CONNECTION_STRING:
        found = _SAS_IN_CONNECTION_STRING.search(secret)
        if found is None:
            return None
        secret = found[1]
    elif kind is not CredentialKind.SAS:
        return None
    said = parse_qs(secret.rpartition("?")[2])
    rights = said.get("sp", [""])[0]
    return SasTerms(
        starts_at=_time(said.get("st", [""])[0]),
        expires_at=_time(said.get("se", [""])[0]),
        rights=frozenset(rights) if _RIGHTS.fullmatch(rights) else None,
        has_policy="si" in said,
    )


def _time(text: str) -> datetime | None:
    """A SAS has `2026-12-31`, or a time to the minute or second with `Z` behind it."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except (ValueError, OverflowError):
        return None
