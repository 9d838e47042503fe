"""Settings: what is read, what stops a run before anything is read, and what is never shown."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.errors import SettingError
from flow_pipeline.flowlog.schema import NSG_CONTAINER, VNET_CONTAINER
from flow_pipeline.settings import (
    AccountLocation,
    FolderLocation,
    Settings,
    credential_for,
    load_settings,
    parse_hour,
)

SAS = "sv=2026-02-06&ss=b&srt=co&sp=rl&sig=c2VjcmV0LXNpZ25hdHVyZQ%3D%3D"
SECRET = "c2VjcmV0LXNpZ25hdHVyZQ"
ENDPOINT = "https://contosoflows.blob.core.windows.net"


def refusal() -> SettingError:
    """What loading the settings is refused with."""
    with pytest.raises(SettingError) as caught:
        load_settings()
    return caught.value


def the_account() -> AccountLocation:
    [location] = load_settings().source_locations()
    assert isinstance(location, AccountLocation)
    return location


def secret_of(location: AccountLocation) -> str | None:
    return location.credential.get_secret_value() if location.credential else None


# --- nothing set ---------------------------------------------------------------------------------


def test_without_settings_the_sample_stands_in() -> None:
    here = Path.cwd()
    settings = load_settings()
    assert settings.is_sample
    assert settings.source_locations() == [FolderLocation(here / "sample")]
    assert settings.lake_dir == here / "sample/lake"
    assert settings.feed_locations == ("sample/threats.txt",)
    assert settings.start is None
    assert settings.country_db is None
    assert settings.online_times is None
    assert (settings.top_n, settings.look_back_hours, settings.keep_days) == (20, 6, 7)
    assert settings.top_excluded_ports == frozenset()


def test_real_sources_have_a_lake_of_their_own_and_no_sample_feed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLOW_SOURCES", str(tmp_path))
    settings = load_settings()
    assert not settings.is_sample
    assert settings.lake_dir == Path.cwd() / "lake"
    assert settings.feed_locations == ()


@pytest.mark.parametrize(
    "name",
    [
        "FLOW_SOURCES",
        "FLOW_LAKE",
        "FLOW_START",
        "FLOW_COUNTRY_DB",
        "FLOW_THREAT_FEEDS",
        "FLOW_TOP_EXCLUDED_PORTS",
    ],
)
def test_an_empty_setting_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unset = load_settings()
    monkeypatch.setenv(name, "")
    assert load_settings() == unset


def test_a_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("FLOW_TOP_N=5\nFLOW_KEEP_DAYS=9\n", encoding="utf-8")
    monkeypatch.setenv("FLOW_TOP_N", "7")
    settings = load_settings()
    assert (settings.top_n, settings.keep_days) == (7, 9)


def test_a_file_that_is_not_text_is_named() -> None:
    Path(".env").write_bytes(b"FLOW_TOP_N=\xff\n")
    assert refusal().name == ".env"


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLOW_TOP_N", "0"),
        ("FLOW_TOP_N", "10001"),
        ("FLOW_TOP_N", "many"),
        ("FLOW_TOP_N", "2.5"),
        ("FLOW_TOP_N", ""),
        ("FLOW_LOOK_BACK_HOURS", "-1"),
        ("FLOW_LOOK_BACK_HOURS", "745"),
        ("FLOW_KEEP_DAYS", "0"),
        ("FLOW_KEEP_DAYS", "3651"),
        ("FLOW_START", "yesterday"),
        ("FLOW_START", "2026-03-01T05:30"),
        ("FLOW_START", "2026-02-30"),
        ("FLOW_START", "0001-01-01T00+14:00"),
        ("FLOW_START", " "),
        ("FLOW_TOP_EXCLUDED_PORTS", "65536"),
        ("FLOW_TOP_EXCLUDED_PORTS", "-1"),
        ("FLOW_TOP_EXCLUDED_PORTS", "rdp"),
        ("FLOW_TOP_EXCLUDED_PORTS", "3389;22"),
        ("FLOW_TOP_EXCLUDED_PORTS", "\u0663"),
        ("FLOW_LAKE", "abfss://lake@contoso.dfs.core.windows.net/flows"),
        ("FLOW_COUNTRY_DB", "no-such-file.mmdb"),
        ("FLOW_COUNTRY_DB", "."),
        ("FLOW_ASN_DB", "no-such-file.mmdb"),
        ("FLOW_SERVICE_TAGS", "https://example.org/tags.json"),
        ("FLOW_NETWORKS", "no-such-file.csv"),
        ("FLOW_SCANNERS", "."),
        ("FLOW_COUNTRY_DB", "https://example.org/country.mmdb"),
        ("FLOW_ONLINE_TIMES", "no-such-file.csv"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    error = refusal()
    assert error.name == name
    assert str(error).startswith(f"{name}: ")
    assert "Value error" not in str(error)
    assert error.expected
    assert error.remedy


def test_the_first_and_last_values_that_make_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, values in {
        "top_n": (1, 10_000),
        "look_back_hours": (0, 744),
        "keep_days": (1, 3650),
    }.items():
        for value in values:
            monkeypatch.setenv(f"FLOW_{name.upper()}", str(value))
            assert getattr(load_settings(), name) == value


@pytest.mark.parametrize("text", ["3389 22 0 65535", "3389,22,0,65535", " 3389, 22\n0 65535 22 "])
def test_ports_are_separated_by_spaces_or_commas(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("FLOW_TOP_EXCLUDED_PORTS", text)
    assert load_settings().top_excluded_ports == {0, 22, 3389, 65535}


def test_paths_begin_at_home_and_at_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "country.mmdb").touch()
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("FLOW_SOURCES", "~/logs")
    monkeypatch.setenv("FLOW_LAKE", "~/lake")
    monkeypatch.setenv("FLOW_COUNTRY_DB", "~/country.mmdb")
    settings = load_settings()
    assert settings.source_locations() == [FolderLocation(tmp_path / "logs")]
    assert settings.lake_dir == tmp_path / "lake"
    assert settings.country_db == tmp_path / "country.mmdb"
    monkeypatch.setenv("FLOW_LAKE", "mine")
    assert load_settings().lake_dir == Path.cwd() / "mine"


def test_feeds_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_THREAT_FEEDS", "https://example.org/a.txt\n b.txt  c.txt")
    feeds = load_settings().feed_locations
    assert feeds == ("https://example.org/a.txt", "b.txt", "c.txt")


# --- hours ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-03-01", datetime(2026, 3, 1)),
        ("2026-03-01T05", datetime(2026, 3, 1, 5)),
        ("2026-03-01T05:00", datetime(2026, 3, 1, 5)),
        ("2026-03-01 05:00:00", datetime(2026, 3, 1, 5)),
        ("  2026-03-01T05 ", datetime(2026, 3, 1, 5)),
        ("2026-03-01T05Z", datetime(2026, 3, 1, 5)),
        ("2026-03-01T05+02:00", datetime(2026, 3, 1, 3)),
        # Half past five in India is midnight in UTC.
        ("2026-03-01T05:30+05:30", datetime(2026, 3, 1)),
    ],
)
def test_an_hour_is_read_as_utc(monkeypatch: pytest.MonkeyPatch, text: str, hour: datetime) -> None:
    assert parse_hour(text) == hour
    monkeypatch.setenv("FLOW_START", text)
    start = load_settings().start
    assert start == hour
    assert start is not None
    assert start.tzinfo is None


@given(st.datetimes(), st.integers(min_value=-14, max_value=14))
def test_a_whole_hour_comes_back_and_no_other_is_taken(moment: datetime, offset: int) -> None:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    assert parse_hour(hour.isoformat()) == hour
    if moment != hour:
        with pytest.raises(ValueError, match="whole hour"):
            parse_hour(moment.isoformat())
    if 2 <= hour.year < 9999:
        zone = f"{offset:+03d}:00"
        assert parse_hour(hour.isoformat() + zone) == hour - timedelta(hours=offset)


@given(st.text())
def test_any_text_is_an_hour_or_a_value_error(text: str) -> None:
    try:
        hour = parse_hour(text)
    except ValueError:
        return
    assert (hour.tzinfo, hour.minute, hour.second) == (None, 0, 0)


# --- sources -------------------------------------------------------------------------------------


def test_sources_keep_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    monkeypatch.setenv("FLOW_SOURCES", f"{ENDPOINT}\n{logs} {ENDPOINT}/{NSG_CONTAINER}/")
    assert load_settings().source_locations() == [
        AccountLocation(ENDPOINT, "contosoflows", None, None),
        FolderLocation(logs),
        AccountLocation(ENDPOINT, "contosoflows", NSG_CONTAINER, None),
    ]


@pytest.mark.parametrize(
    ("url", "endpoint", "account", "container"),
    [
        (ENDPOINT, ENDPOINT, "contosoflows", None),
        (f"{ENDPOINT}/", ENDPOINT, "contosoflows", None),
        (f"{ENDPOINT}/{VNET_CONTAINER}", ENDPOINT, "contosoflows", VNET_CONTAINER),
        (
            "https://contosoflows.blob.core.usgovcloudapi.net",
            "https://contosoflows.blob.core.usgovcloudapi.net",
            "contosoflows",
            None,
        ),
        (
            "https://contosoflows.z12.blob.storage.azure.net",
            "https://contosoflows.z12.blob.storage.azure.net",
            "contosoflows",
            None,
        ),
        (
            f"http://127.0.0.1:10000/devstoreaccount1/{NSG_CONTAINER}",
            "http://127.0.0.1:10000/devstoreaccount1",
            "devstoreaccount1",
            NSG_CONTAINER,
        ),
        (
            "http://localhost:10000/devstoreaccount1",
            "http://localhost:10000/devstoreaccount1",
            "devstoreaccount1",
            None,
        ),
        (
            "http://[::1]:10000/devstoreaccount1",
            "http://[::1]:10000/devstoreaccount1",
            "devstoreaccount1",
            None,
        ),
        (
            "https://emulator.example:10000/devstoreaccount1",
            "https://emulator.example:10000/devstoreaccount1",
            "devstoreaccount1",
            None,
        ),
    ],
)
def test_an_endpoint_of_any_cloud_or_emulator(
    monkeypatch: pytest.MonkeyPatch, url: str, endpoint: str, account: str, container: str | None
) -> None:
    monkeypatch.setenv("FLOW_SOURCES", url)
    assert the_account() == AccountLocation(endpoint, account, container, None)


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("no/such/folder", "is no folder"),
        ("contosoflows.blob.core.windows.net", "is no folder"),
        ("https://", "is no blob endpoint"),
        ("https://[::1", "is no blob endpoint"),
        ("https://contosoflows.blob.core.windows.net:port/", "is no blob endpoint"),
        ("https://contosoflows.blob.core.windows.net:99999/", "is no blob endpoint"),
        ("https://c.blob.core.windows.net", "is no blob endpoint"),
        ("https://contoso_flows.blob.core.windows.net", "is no blob endpoint"),
        ("https://127.0.0.1:10000", "is no blob endpoint"),
        ("http://127.0.0.1:10000/devstoreaccount1/a/b", "is no blob endpoint"),
        (f"{ENDPOINT}/{VNET_CONTAINER}/flowLogResourceID=", "is no blob endpoint"),
        ("ftp://contosoflows.blob.core.windows.net", "is no blob endpoint"),
        ("abfss://logs@contosoflows.dfs.core.windows.net", "is no blob endpoint"),
        ("http://contosoflows.blob.core.windows.net", "is not encrypted"),
        ("http://192.0.2.7:10000/devstoreaccount1", "is not encrypted"),
        ("http://localhost.example.org/devstoreaccount1", "is not encrypted"),
        (f"{ENDPOINT}/logs", "names the container logs"),
        (f"{ENDPOINT}/{VNET_CONTAINER.upper()}", "names the container"),
    ],
)
def test_what_is_no_source_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str, found: str
) -> None:
    monkeypatch.setenv("FLOW_SOURCES", f"{tmp_path} {word}")
    error = refusal()
    assert error.name == "FLOW_SOURCES"
    assert found in error.culprit


def test_a_file_is_no_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "PT1H.json"
    file.touch()
    monkeypatch.setenv("FLOW_SOURCES", str(file))
    assert f"{file} is no folder" in refusal().culprit


# --- secrets -------------------------------------------------------------------------------------


def test_a_sas_is_taken_off_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_SOURCES", f"{ENDPOINT}/{VNET_CONTAINER}?{SAS}")
    location = the_account()
    assert location.endpoint == ENDPOINT
    assert location.container == VNET_CONTAINER
    assert secret_of(location) == SAS


def test_a_sas_of_the_url_wins_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_CREDENTIAL_CONTOSOFLOWS", "a2V5")
    monkeypatch.setenv("FLOW_SOURCES", f"{ENDPOINT}?{SAS}")
    assert secret_of(the_account()) == SAS
    # A query without a signature is no credential.
    monkeypatch.setenv("FLOW_SOURCES", f"{ENDPOINT}?restype=container&comp=list")
    assert secret_of(the_account()) == "a2V5"


def test_each_account_has_a_credential_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "https://contosoflowsus.blob.core.windows.net"
    monkeypatch.setenv("FLOW_SOURCES", f"{ENDPOINT} {other} http://localhost:1/devstoreaccount1")
    monkeypatch.setenv("FLOW_CREDENTIAL_CONTOSOFLOWS", "b25l")
    monkeypatch.setenv("FLOW_CREDENTIAL_DEVSTOREACCOUNT1", "dHdv")
    locations = load_settings().source_locations()
    assert [
        (location.setting, secret_of(location))
        for location in locations
        if isinstance(location, AccountLocation)
    ] == [
        ("FLOW_CREDENTIAL_CONTOSOFLOWS", "b25l"),
        ("FLOW_CREDENTIAL_CONTOSOFLOWSUS", None),
        ("FLOW_CREDENTIAL_DEVSTOREACCOUNT1", "dHdv"),
    ]


def test_a_credential_from_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"FLOW_CREDENTIAL_CONTOSOFLOWS='{SAS}'\n", encoding="utf-8")
    found = credential_for("contosoflows")
    assert found is not None
    assert found.get_secret_value() == SAS
    monkeypatch.setenv("FLOW_CREDENTIAL_CONTOSOFLOWS", "a2V5")
    found = credential_for("contosoflows")
    assert found is not None
    assert found.get_secret_value() == "a2V5"
    assert credential_for("another") is None


def test_no_secret_is_shown_of_settings_that_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_SOURCES", f"{ENDPOINT}?{SAS}")
    monkeypatch.setenv("FLOW_THREAT_FEEDS", f"https://example.org/feed?token={SECRET}")
    settings = load_settings()
    location = the_account()
    for shown in (repr(settings), str(settings), repr(location), str(location), str([location])):
        assert SECRET not in shown


@pytest.mark.parametrize(
    "word",
    [
        f"http://contosoflows.blob.core.windows.net?{SAS}",
        f"{ENDPOINT}/logs?{SAS}",
        f"https://[::1?{SAS}",
        f"https://contosoflows.blob.core.windows.net:port?{SAS}",
        f"https://user:{SECRET}@contosoflows.blob.core.windows.net/logs",
        f"https://user:{SECRET}@contosoflows.blob.core.windows.net:port/logs",
        f"ftp://contosoflows.blob.core.windows.net?{SAS}",
        # A URL without its scheme, and credentials in the place of a source.
        f"contosoflows.blob.core.windows.net?{SAS}",
        SAS,
        f"AccountKey={SECRET};AccountName=contosoflows",
        f"DefaultEndpointsProtocol=https;AccountName=contosoflows;AccountKey={SECRET}==",
        f"BlobEndpoint={ENDPOINT}/;SharedAccessSignature={SAS}",
    ],
)
def test_no_secret_is_shown_of_a_source_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setenv("FLOW_SOURCES", word)
    error = refusal()
    assert error.name == "FLOW_SOURCES"
    assert SECRET not in repr(error)
    assert SECRET not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


# --- documentation -------------------------------------------------------------------------------


def test_every_setting_is_documented_with_its_default(project_dir: Path) -> None:
    text = (project_dir / ".env.example").read_text(encoding="utf-8")
    documented = re.findall(r"^#(FLOW_\w+)=", text, re.MULTILINE)
    fields = {f"FLOW_{name.upper()}": field for name, field in Settings.model_fields.items()}
    credentials = {name for name in documented if name.startswith("FLOW_CREDENTIAL_")}
    assert len(documented) == len(set(documented))
    assert set(documented) - credentials == set(fields)
    assert len(credentials) == 1
    for name, field in fields.items():
        if isinstance(field.default, int):
            assert f"\n#{name}={field.default}\n" in text


def test_the_documented_lines_are_settings_that_work(project_dir: Path, tmp_path: Path) -> None:
    text = (project_dir / ".env.example").read_text(encoding="utf-8")
    text = re.sub(r"^#(?=FLOW_)", "", text, flags=re.MULTILINE)
    for file in (
        "/srv/geoip/GeoLite2-Country.mmdb",
        "/srv/geoip/GeoLite2-ASN.mmdb",
        "/srv/azure/ServiceTags_Public.json",
        "/srv/networks.csv",
        "/srv/scanners.csv",
    ):
        path = tmp_path / Path(file).name
        path.touch()
        text = text.replace(file, str(path))
    (tmp_path / "online.csv").write_text("nic,online_at\n", encoding="utf-8")
    text = text.replace("/srv/flow-logs", str(tmp_path))
    (tmp_path / "allowed.csv").write_text("prefix,reason\n198.51.100.7,scanner\n")
    text = text.replace("/etc/flow-pipeline/allowed.csv", str(tmp_path / "allowed.csv"))
    Path(".env").write_text(text, encoding="utf-8")
    settings = load_settings()
    assert [type(location) for location in settings.source_locations()] == [
        AccountLocation,
        AccountLocation,
        FolderLocation,
    ]
    first = settings.source_locations()[0]
    assert isinstance(first, AccountLocation)
    assert (secret_of(first) or "").startswith("sv=")
    assert settings.top_excluded_ports == {22, 3389}
    assert len(settings.threat_feeds) == 2
    assert [allowed.prefix for allowed in settings.allowed()] == ["198.51.100.7"]
