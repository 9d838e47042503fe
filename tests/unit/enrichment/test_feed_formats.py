"""Each format of feeds, laid out as its publisher does, with addresses of the documentation."""

from __future__ import annotations

import builtins
import json
import sys
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.enrichment.feed_fetch import feed_place
from flow_pipeline.enrichment.feed_formats import FeedColumns, FeedContent, parse_content
from flow_pipeline.enrichment.threat_feeds import read_feed
from flow_pipeline.enrichment.threat_types import THREAT_TYPES, threat_type_of
from flow_pipeline.errors import ReferenceDataError, SettingError

NOON = datetime(2026, 3, 1, 12)
Entries = dict[str, str | None]


def parsed(text: str, columns: FeedColumns | None = None) -> FeedContent:
    return parse_content("list", text.encode(), NOON, columns)


def as_json(document: object) -> FeedContent:
    return parsed(json.dumps(document))


DROP = """\
{"cidr":"203.0.113.0/25","sblid":"SBL1","rir":"ripencc"}
{"cidr":"2001:db8::/32","sblid":"SBL2","rir":"arin"}
{"type":"metadata","timestamp":1772323200,"size":99,"records":2,"copyright":"(c)"}
"""


class TestSpamhausDrop:
    def test_a_cidr_a_line(self) -> None:
        found = parsed(DROP)
        assert found.entries == {"203.0.113.0/25": None, "2001:db8::/32": None}
        assert found.ignored == 0

    def test_one_line_is_enough(self) -> None:
        assert parsed(DROP.splitlines()[0]).entries == {"203.0.113.0/25": None}

    def test_metadata_alone_is_a_list_of_nothing(self) -> None:
        assert parsed('{"type":"metadata","records":0}').entries == {}

    def test_a_list_that_lacks_lines_is_refused(self) -> None:
        with pytest.raises(ReferenceDataError, match="not whole: 1 of 2 entries"):
            parsed("\n".join(DROP.splitlines()[1:]))

    def test_a_line_that_breaks_off_is_refused(self) -> None:
        with pytest.raises(ReferenceDataError, match="breaks off, or of an unknown kind"):
            parsed(DROP[:70])


class TestDshield:
    TEXT = (
        "#   DShield.org Recommended Block List; primary URL is elsewhere\n"
        "Start\tEnd\tNetmask\tAttacks\tName\tCountry\temail\n"
        "203.0.113.0\t203.0.113.255\t24\t2650\tSOME; #NET\tNL\tabuse@example.org\n"
        "198.51.100.4\t198.51.100.9\t24\t17\t\t\t\n"
        "203.0.114.9\t203.0.114.0\t24\t17\t\t\t\n"
        "nonsense\tx\t24\n"
    )

    def test_a_range_becomes_the_cidrs_that_it_takes(self) -> None:
        found = parsed(self.TEXT)
        # 4..9 is 4/30 (4 to 7) and 8/31 (8 and 9).
        assert found.entries == dict.fromkeys(
            ("203.0.113.0/24", "198.51.100.4/30", "198.51.100.8/31")
        )
        assert found.ignored == 2

    def test_it_is_known_without_its_head(self) -> None:
        assert parsed("203.0.113.0\t203.0.113.255\t24\t9\n").entries == {"203.0.113.0/24": None}

    def test_ipsum_is_something_else(self) -> None:
        assert parsed("203.0.113.7\t9\n203.0.113.8\t3\n").entries == {
            "203.0.113.7": None,
            "203.0.113.8": None,
        }


FEODO_CSV = """\
################################################################
# abuse.ch Feodo Tracker Botnet C2 IP Blocklist (CSV)          #
################################################################
#
"first_seen_utc","dst_ip","dst_port","c2_status","last_online","malware"
"2026-01-17 07:44:46","203.0.113.7","4643","online","2026-02-28","Dridex, new"
"2026-01-18 07:44:46","not an address","443","offline","2026-02-01","Emotet"
# END 2 entries
"""


class TestFeodoTracker:
    def test_json(self) -> None:
        rows = [
            {"ip_address": "203.0.113.7", "port": 443, "status": "online", "malware": "QakBot"},
            {"ip_address": "203.0.113.8", "port": 995, "status": "offline", "malware": "QakBot"},
            {"ip_address": None},
            "odd",
        ]
        found = as_json(rows)
        assert found.entries == {"203.0.113.7": "C2", "203.0.113.8": "C2"}
        assert found.ignored == 2

    def test_json_of_a_day_without_servers(self) -> None:
        found = as_json([])
        assert (found.entries, found.ignored) == ({}, 0)

    @pytest.mark.parametrize("head", ["", "# "])
    def test_csv(self, head: str) -> None:
        text = FEODO_CSV.replace('"first_seen_utc"', head + '"first_seen_utc"')
        found = parsed(text)
        assert found.entries == {"203.0.113.7": "C2"}
        assert found.ignored == 1


class TestCsv:
    TEXT = (
        "id,IP address,kind\n1,203.0.113.7,botnet\n"
        '2,"203.0.113.8","Phishing, again"\n3,,x\n# done\n4\n5,203.0.113.9,C&C\n'
    )

    def test_the_named_column(self) -> None:
        found = parsed(self.TEXT, FeedColumns("IP address"))
        assert found.entries == dict.fromkeys(("203.0.113.7", "203.0.113.8", "203.0.113.9"))
        assert found.ignored == 2

    def test_the_kind_of_threat_from_another(self) -> None:
        found = parsed(self.TEXT, FeedColumns("IP address", "kind"))
        assert found.entries == {
            "203.0.113.7": "Botnet",
            "203.0.113.8": None,
            "203.0.113.9": "C2",
        }

    @pytest.mark.parametrize(
        "columns", [FeedColumns("ip"), FeedColumns("IP address", "nothing")], ids=["ip", "type"]
    )
    def test_a_column_that_is_not_there_is_told_with_those_that_are(
        self, columns: FeedColumns
    ) -> None:
        with pytest.raises(ReferenceDataError, match=r"has no column .*id, IP address, kind"):
            parsed(self.TEXT, columns)

    def test_a_csv_whose_column_nobody_named_says_how(self) -> None:
        with pytest.raises(ReferenceDataError, match=r"#column=NAME.*id,IP address,kind"):
            parsed(self.TEXT)

    def test_the_setting_names_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a#b.csv"
        path.write_text(self.TEXT)
        found = read_feed(f"{path}#column=IP%20address&type=kind")
        assert found.feed == "a#b.csv"
        assert [(each.entry, each.threat_type) for each in found.entries] == [
            ("203.0.113.7", "Botnet"),
            ("203.0.113.8", None),
            ("203.0.113.9", "C2"),
        ]

    def test_what_the_setting_names_is_not_asked_of_the_server(self) -> None:
        place = feed_place("https://lists.example/x.csv?key=s#column=ip")
        assert place.name == "lists.example/x.csv"
        assert place.address == "https://lists.example/x.csv?key=s"
        assert place.columns == FeedColumns("ip")
        assert feed_place("https://lists.example/x#top").columns is None

    @pytest.mark.parametrize("options", ["colum=ip", "type=kind", "column="])
    def test_an_option_that_is_not_there_is_refused(self, options: str) -> None:
        with pytest.raises(SettingError, match=r"FLOW_THREAT_FEEDS.*#column=NAME"):
            feed_place(f"https://lists.example/x.csv?key=secret#{options}")


def indicator(pattern: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": "2026-01-01T00:00:00Z",
        **fields,
    }


def bundle(*objects: Any) -> dict[str, Any]:
    return {"type": "bundle", "id": "bundle--1", "objects": list(objects)}


class TestStix:
    def test_addresses_and_prefixes(self) -> None:
        found = as_json(
            bundle(
                {"type": "identity", "name": "x"},
                indicator("[ipv4-addr:value = '203.0.113.7']", indicator_types=["anonymization"]),
                indicator(
                    "[ipv4-addr:value ISSUBSET '198.51.100.0/24'] OR "
                    "[ipv6-addr:value IN ('2001:db8::1', '2001:db8::2')]",
                    labels=["malicious-activity", "Command-and-Control"],
                ),
                indicator("[domain-name:value = 'example.org']"),
                indicator("rule x { condition: true }", pattern_type="yara"),
            )
        )
        assert found.entries == {
            "203.0.113.7": "Proxy",
            "198.51.100.0/24": "C2",
            "2001:db8::1": "C2",
            "2001:db8::2": "C2",
        }
        assert found.ignored == 0

    def test_a_taxii_envelope_is_read_too(self) -> None:
        answer = {"more": False, "objects": [indicator("[ipv4-addr:value = '203.0.113.7']")]}
        assert as_json(answer).entries == {"203.0.113.7": None}

    @pytest.mark.parametrize(
        "pattern",
        [
            "[ipv4-addr:value = '203.0.113.7' AND network-traffic:dst_port = 80]",
            "[ipv4-addr:value = '203.0.113.7'] AND [ipv4-addr:value = '203.0.113.8']",
            "[ipv4-addr:value = '203.0.113.7'] FOLLOWEDBY [ipv4-addr:value = '203.0.113.8']",
            "[ipv4-addr:value = '203.0.113.7'] REPEATS 5 TIMES",
            "[ipv4-addr:value != '203.0.113.7']",
            "[ipv4-addr:value NOT = '203.0.113.7']",
            "[ipv4-addr:value LIKE '203.0.113.%']",
            "[ipv4-addr:belongs_to_refs[*].value = '203.0.113.7']",
            "ipv4-addr: nonsense",
            "[" + "(" * 3000 + "ipv4-addr:value = '203.0.113.7'" + ")" * 3000 + "]",
        ],
    )
    def test_what_lists_no_address_by_itself_is_counted(self, pattern: str) -> None:
        found = as_json(bundle(indicator(pattern)))
        assert (found.entries, found.ignored) == ({}, 1)

    @pytest.mark.parametrize(
        "fields",
        [
            {"revoked": True},
            {"indicator_types": ["benign"]},
            {"valid_until": "2026-03-01T12:00:00Z"},
            {"valid_from": "2026-03-01T13:00:01+01:00"},
        ],
    )
    def test_what_does_not_hold_now_is_left_out(self, fields: dict[str, Any]) -> None:
        found = as_json(bundle(indicator("[ipv4-addr:value = '203.0.113.7']", **fields)))
        assert (found.entries, found.ignored) == ({}, 0)

    def test_it_says_when_it_will_say_something_else(self) -> None:
        pattern = "[ipv4-addr:value = '203.0.113.7']"
        found = as_json(
            bundle(
                indicator(pattern, valid_until="2026-03-02T12:00:00Z"),
                indicator(pattern, valid_until="2026-03-01T18:00:00Z"),
                indicator(pattern, valid_from="2026-03-01T20:00:00Z"),
                indicator(pattern, valid_until="2026-02-01T00:00:00Z"),
            )
        )
        assert found.changes_at == NOON + timedelta(hours=6)
        assert as_json(bundle(indicator(pattern))).changes_at is None

    @pytest.mark.parametrize("time", [5, "soon", "0001-01-01T00:00:00+14:00"])
    def test_a_time_that_is_none_is_counted(self, time: object) -> None:
        found = as_json(bundle(indicator("[ipv4-addr:value = '203.0.113.7']", valid_from=time)))
        assert (found.entries, found.ignored) == ({}, 1)


def attribute(kind: str, value: Any, *tags: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "category": "Network activity",
        "value": value,
        "to_ids": True,
        "Tag": [{"name": name} for name in tags],
        **fields,
    }


MISP_EVENT: dict[str, Any] = {
    "Event": {
        "info": "An event",
        "uuid": "5a0b1b5e-0000-4000-8000-000000000001",
        "Tag": [{"name": 'misp-galaxy:botnet="Mirai"'}, {"name": "tlp:white"}],
        "Attribute": [
            attribute("ip-src", "203.0.113.7"),
            attribute("ip-dst|port", "203.0.113.8|4444", "kill-chain:Command and Control"),
            attribute("domain|ip", "example.org|203.0.113.9"),
            attribute("domain", "example.org"),
            attribute("a-type-of-tomorrow", "x"),
            attribute("ip-src", "198.51.100.1", to_ids=False),
            attribute("ip-src", "198.51.100.2", deleted=True),
            attribute("ip-src", "nonsense"),
            attribute("ip-src", None),
            "odd",
        ],
        "Object": [
            {
                "name": "ip-port",
                "Attribute": [attribute("ip-dst", "2001:db8::1", object_relation="ip")],
            }
        ],
    }
}
MISP_FOUND: Entries = {
    "203.0.113.7": "Botnet",
    "203.0.113.8": "Botnet",
    "203.0.113.9": "Botnet",
    "2001:db8::1": "Botnet",
}


class TestMisp:
    def test_an_event(self) -> None:
        found = as_json(MISP_EVENT)
        assert found.entries == MISP_FOUND
        assert found.ignored == 3

    def test_an_attribute_has_a_kind_of_its_own(self) -> None:
        one = attribute("ip-src", "203.0.113.7", 'enisa:nefarious-activity-abuse="phishing"')
        found = as_json({"Event": {"info": "x", "Attribute": [one]}})
        assert found.entries == {"203.0.113.7": "Phishing"}

    def test_what_a_search_answers(self) -> None:
        assert as_json({"response": [MISP_EVENT]}).entries == MISP_FOUND
        assert as_json([MISP_EVENT]).entries == MISP_FOUND
        attributes = {"response": {"Attribute": [attribute("ip-src", "203.0.113.7")]}}
        assert as_json(attributes).entries == {"203.0.113.7": None}

    def test_a_table_of_contents_says_what_to_name_instead(self) -> None:
        contents = {"5a0b1b5e-0000-4000-8000-000000000001": {"Orgc": {"name": "x"}, "info": "y"}}
        with pytest.raises(ReferenceDataError, match=r"table of contents.*Name the events"):
            as_json(contents)


@pytest.mark.parametrize("text", ["{}", "[1]", '{"error": "slow down"}', '{"objects": 1}', "[{"])
def test_json_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ReferenceDataError, match=r"unknown kind.*STIX 2\.1.*FLOW_THREAT_FEEDS"):
        parsed(text)


@pytest.mark.parametrize(
    ("library", "document", "name"),
    [
        ("stix2patterns", bundle(indicator("[ipv4-addr:value = '203.0.113.7']")), r"STIX 2\.1"),
        ("pymisp", MISP_EVENT, "MISP"),
    ],
)
def test_a_library_that_is_missing_is_told_with_the_extra_that_brings_it(
    library: str, document: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(module: str, *args: Any, **kwargs: Any) -> Any:
        if module.split(".", maxsplit=1)[0] == library:
            raise ImportError(module)
        return real(module, *args, **kwargs)

    for module in [each for each in sys.modules if each.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReferenceDataError, match=rf"is {name}.*threat-intel"):
        as_json(document)


DOCUMENTS = [
    json.dumps(MISP_EVENT),
    json.dumps(bundle(indicator("[ipv4-addr:value = '203.0.113.7']", labels=["bot"]))),
    json.dumps([{"ip_address": "203.0.113.7"}]),
    DROP,
    FEODO_CSV,
    TestDshield.TEXT,
    "203.0.113.7\t3\n",
]


@given(
    st.sampled_from(DOCUMENTS),
    st.integers(0, 2000),
    st.integers(0, 40),
    st.binary(max_size=8),
)
def test_no_content_ends_in_anything_but_entries_or_a_failure_of_ours(
    document: str, place: int, length: int, put: bytes
) -> None:
    content = document.encode()
    place %= len(content) + 1
    broken = content[:place] + put + content[place + length :]
    with suppress(ReferenceDataError):
        found = parse_content("list", broken, NOON)
        assert set(found.entries.values()) <= {*THREAT_TYPES, None}


def json_values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("ip-src")
    names = st.sampled_from(
        ["Event", "Attribute", "Tag", "Object", "objects", "type", "value", "name", "pattern",
         "to_ids", "response", "info", "indicator_types", "timestamp", "cidr", "ip_address"]
    )  # fmt: skip
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner),
        max_leaves=12,
    )


@given(st.sampled_from(["Event", "objects", "response"]), json_values())
def test_no_json_ends_in_anything_else_either(name: str, value: Any) -> None:
    with suppress(ReferenceDataError):
        assert set(as_json({name: value}).entries.values()) <= {*THREAT_TYPES, None}


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (["Botnet"], "Botnet"),
        (["C&C"], "C2"),
        (["command-and-control"], "C2"),
        (["crypto_mining"], "CryptoMining"),
        (["TOR"], "DarkNet"),
        (["DDoS"], "DDos"),
        (["malicious-url"], "MaliciousUrl"),
        (["ransomware"], "Malware"),
        (['circl:incident-classification="phishing"'], "Phishing"),
        (["open-proxy"], "Proxy"),
        (["adware"], "PUA"),
        (["watchlist"], "WatchList"),
        (["tlp:red", "malicious-activity", "robot", ""], None),
        ([], None),
        (["phishing", "botnet"], "Botnet"),
    ],
)
def test_words_of_feeds_as_the_names_of_traffic_analytics(
    told: list[str], kind: str | None
) -> None:
    assert threat_type_of(told) == kind
    assert kind is None or kind in THREAT_TYPES
