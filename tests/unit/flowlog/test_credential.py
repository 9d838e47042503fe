"""What a credential is and what a SAS says of itself."""

from __future__ import annotations

from datetime import datetime

import pytest
from pydantic import SecretStr

from flow_pipeline.flowlog.credential import CredentialKind, kind_of, sas_terms

SAS = "sv=2026-02-06&ss=b&srt=co&sp=rl&st=2026-01-01&se=2026-12-31T10%3A30%3A00Z&sig=c2VjcmV0%3D"
KEY = "c2VjcmV0LWtleQ=="


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SAS, "SAS"),
        (f"?{SAS}\n", "SAS"),
        (f"https://acct.blob.core.windows.net?{SAS}", "SAS"),
        (KEY, "account key"),
        (f"AccountName=acct;AccountKey={KEY}", "connection string"),
        (f"BlobEndpoint=https://acct.x;SharedAccessSignature={SAS}", "connection string"),
        (" ", "sign-in"),
        (None, "sign-in"),
    ],
)
def test_kinds_of_credentials(text: str | None, kind: str) -> None:
    assert kind_of(None if text is None else SecretStr(text)) == CredentialKind(kind)


@pytest.mark.parametrize(
    "text",
    [
        SAS,
        f" ?{SAS} ",
        f"https://acct.blob.core.windows.net?{SAS}",
        f"BlobEndpoint=https://acct.x;SharedAccessSignature={SAS};",
    ],
)
def test_a_sas_tells_its_end_and_rights(text: str) -> None:
    terms = sas_terms(SecretStr(text))
    assert terms is not None
    assert terms.starts_at == datetime(2026, 1, 1)
    assert terms.expires_at == datetime(2026, 12, 31, 10, 30)
    assert terms.rights == {"r", "l"}
    assert not terms.has_policy
    assert "c2Vj" not in repr(terms)


def test_an_end_in_another_zone_is_told_in_utc() -> None:
    terms = sas_terms(SecretStr("se=2026-12-31T10:30:00%2B02:00&sig=x"))
    assert terms is not None
    assert terms.expires_at == datetime(2026, 12, 31, 8, 30)


def test_a_sas_with_an_access_policy_may_tell_neither() -> None:
    terms = sas_terms(SecretStr("si=reader&sr=c&sig=x"))
    assert terms is not None
    assert (terms.starts_at, terms.expires_at, terms.rights) == (None, None, None)
    assert terms.has_policy


@pytest.mark.parametrize("end", ["soon", "", "9999-99-99", "0001-01-01T00:00:00%2B23:00"])
def test_an_end_that_is_none_is_not_told(end: str) -> None:
    terms = sas_terms(SecretStr(f"se={end}&sp=%1b[31m&sig=x"))
    assert terms is not None
    assert (terms.expires_at, terms.rights) == (None, None)


@pytest.mark.parametrize("text", [KEY, f"AccountName=acct;AccountKey={KEY}", ""])
def test_what_is_no_sas_has_no_terms(text: str) -> None:
    assert sas_terms(SecretStr(text)) is None
