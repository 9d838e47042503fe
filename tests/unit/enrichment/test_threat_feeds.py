import gzip
import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipeline.enrichment.feed_fetch import FeedLimits, feed_name
from flow_pipeline.enrichment.threat_feeds import (
    THREAT_SCHEMA,
    FeedEntry,
    FeedSnapshot,
    ThreatMatcher,
    ThreatSpan,
    merge_snapshot,
    parse_feed,
    read_feed,
)
from flow_pipeline.errors import ReferenceDataError

NOON = datetime.fromisoformat("2026-03-01T12:00:00")
HOUR = timedelta(hours=1)
NO_HISTORY = THREAT_SCHEMA.empty_table()


def at(hours: float) -> datetime:
    return NOON + hours * HOUR


def parsed(text: str) -> FeedSnapshot:
    return parse_feed("list.txt", text.encode(), NOON)


def entries_of(snapshot: FeedSnapshot) -> list[str]:
    return [each.entry for each in snapshot.entries]


def snapshot(hours: float, *entries: str, feed: str = "a") -> FeedSnapshot:
    listed = tuple(FeedEntry(entry, None) for entry in sorted(entries))
    return FeedSnapshot(feed, at(hours), listed, 0, "".join(sorted(entries)))


def history(*rows: tuple[str, str, datetime | None, datetime | None, str | None]) -> pa.Table:
    columns = [[row[no] for row in rows] for no in range(5)]
    return pa.table(columns, schema=THREAT_SCHEMA)


class TestFeedName:
    @pytest.mark.parametrize(
        ("location", "name"),
        [
            ("threats.txt", "threats.txt"),
            ("lists/of/mine/threats.txt", "threats.txt"),
            ("/lists/threats.txt", "threats.txt"),
            ("https://lists.example/drop.txt", "lists.example/drop.txt"),
            ("https://user:secret@lists.example/a/b.txt?key=secret#x", "lists.example/a/b.txt"),
            ("http://127.0.0.1:8080/list", "127.0.0.1:8080/list"),
            ("ftp://user:secret@lists.example/list?key=secret", "lists.example/list"),
        ],
    )
    def test_names_the_feed_without_its_secrets(self, location: str, name: str) -> None:
        assert feed_name(location) == name

    @pytest.mark.parametrize("location", ["https://[secret/list", "https://host:secret/list"])
    def test_refuses_a_url_that_cannot_be_taken_apart(self, location: str) -> None:
        with pytest.raises(ReferenceDataError, match="FLOW_THREAT_FEEDS") as caught:
            feed_name(location)
        assert "secret" not in str(caught.value)


class TestFormats:
    def test_takes_addresses_and_cidrs_with_comments(self) -> None:
        found = parsed(
            "# a comment\n"
            "; another\n"
            "\n"
            "   \n"
            "203.0.113.7\n"
            "  203.0.113.8  \n"
            "198.51.100.0/24 ; SBL1234\n"
            "203.0.113.9# attached\n"
            "2001:DB8:0::1\n"
            "2001:db8:1::/48\n"
        )
        assert entries_of(found) == [
            "198.51.100.0/24",
            "2001:db8:1::/48",
            "2001:db8::1",
            "203.0.113.7",
            "203.0.113.8",
            "203.0.113.9",
        ]
        assert found.ignored == 0
        assert found.feed == "list.txt"
        assert {each.threat_type for each in found.entries} == {None}

    def test_takes_ipsum(self) -> None:
        found = parsed("# IP\tnumber of (black)lists\n#\n203.0.113.7\t10\n203.0.113.8\t9\n")
        assert entries_of(found) == ["203.0.113.7", "203.0.113.8"]
        assert found.ignored == 0

    def test_takes_windows_line_ends_and_a_byte_order_mark(self) -> None:
        found = parse_feed("x", b"\xef\xbb\xbf203.0.113.7\r\n203.0.113.8\r\n", NOON)
        assert entries_of(found) == ["203.0.113.7", "203.0.113.8"]
        assert found.ignored == 0

    @pytest.mark.parametrize(
        ("written", "canonical"),
        [
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("203.0.113.7/32", "203.0.113.7"),
            ("203.0.113.0/255.255.255.0", "203.0.113.0/24"),
            ("2001:db8:0:0::5/128", "2001:db8::5"),
            ("2001:db8::5/32", "2001:db8::/32"),
        ],
    )
    def test_writes_entries_in_one_way(self, written: str, canonical: str) -> None:
        assert entries_of(parsed(written)) == [canonical]

    def test_entry_written_twice_is_one(self) -> None:
        assert entries_of(parsed("203.0.113.7\n203.0.113.7/32\n203.0.113.7\t3\n")) == [
            "203.0.113.7"
        ]

    @pytest.mark.parametrize(
        "line",
        [
            "nonsense",
            "203.0.113.256",
            "203.0.113",
            "203.0.113.07",
            "203.0.113.7/33",
            "203.0.113.7/24 text",
            "203.0.113.7 3 4",
            "203.0.113.7,3",
            "\ufffd\ufffd",
            "2001:db8::g",
        ],
    )
    def test_line_that_cannot_be_read_is_counted(self, line: str) -> None:
        found = parsed(f"{line}\n198.51.100.1\n")
        assert entries_of(found) == ["198.51.100.1"]
        assert found.ignored == 1

    @pytest.mark.parametrize(
        ("line", "is_taken"),
        [
            ("0.0.0.0/0", False),
            ("::/0", False),
            ("64.0.0.0/7", False),
            ("64.0.0.0/8", True),
            ("2a00::/18", False),
            ("2a00::/19", True),
        ],
    )
    def test_entry_that_is_too_wide_is_ignored(self, line: str, is_taken: bool) -> None:
        found = parsed(f"{line}\n198.51.100.1\n")
        assert (line in entries_of(found)) is is_taken
        assert found.ignored == (0 if is_taken else 1)

    @pytest.mark.parametrize(
        "bogon",
        [
            "0.0.0.0/8",
            "10.0.0.0/8",
            "10.1.2.3",
            "100.64.0.0/10",
            "127.0.0.1",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "172.31.255.255",
            "192.168.0.0/16",
            "224.0.0.0/8",
            "240.0.0.0/8",
            "255.255.255.255",
            "::1",
            "::ffff:203.0.113.7",
            "fd00::/20",
            "fe80::1",
            "ff02::/24",
        ],
    )
    def test_entry_that_is_not_public_is_ignored(self, bogon: str) -> None:
        found = parsed(f"{bogon}\n198.51.100.1\n")
        assert entries_of(found) == ["198.51.100.1"]
        assert found.ignored == 1

    @pytest.mark.parametrize(
        "neighbour",
        [
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.169.0.0",
            "223.255.255.255",
            "2000::",
            "3fff:ffff::",
        ],
    )
    def test_neighbours_of_what_is_not_public_are_taken(self, neighbour: str) -> None:
        assert entries_of(parsed(neighbour)) == [neighbour]

    @pytest.mark.parametrize("content", ["", "# nothing today\n", "nonsense\n10.0.0.1\n"])
    def test_feed_without_entries_is_refused(self, content: str) -> None:
        with pytest.raises(ReferenceDataError, match=r"list\.txt holds no public") as caught:
            parsed(content)
        assert "FLOW_THREAT_FEEDS" in caught.value.remedy

    @pytest.mark.parametrize("start", ["<!DOCTYPE html>", "\n <html lang='en'>", "<?xml ?>"])
    def test_web_page_is_refused_even_with_an_address_in_it(self, start: str) -> None:
        with pytest.raises(ReferenceDataError, match="is a web page"):
            parsed(start + "\n203.0.113.7\n</html>\n")

    def test_digest_depends_on_entries_alone(self) -> None:
        first = parsed("# of today\n203.0.113.7\t3\n203.0.113.8\t4\n")
        again = parsed("# of tomorrow\n203.0.113.8\t5\n203.0.113.7\n")
        other = parsed("203.0.113.7\n203.0.113.9\n")
        assert first.content_digest == again.content_digest
        assert first.content_digest != other.content_digest

    def test_time_is_cut_to_milliseconds(self) -> None:
        found = parse_feed("x", b"203.0.113.7", NOON.replace(microsecond=123_987))
        assert found.fetched_at == NOON.replace(microsecond=123_000)


class TestFiles:
    def test_reads_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "threats.txt"
        path.write_text("203.0.113.7\n")
        before = datetime.now(UTC).replace(tzinfo=None) - timedelta(milliseconds=1)
        found = read_feed(str(path))
        assert found.feed == "threats.txt"
        assert entries_of(found) == ["203.0.113.7"]
        assert before <= found.fetched_at <= datetime.now(UTC).replace(tzinfo=None)

    def test_missing_file_and_folder_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ReferenceDataError, match=r"nowhere\.txt.*No such file") as caught:
            read_feed(str(tmp_path / "nowhere.txt"))
        assert "FLOW_THREAT_FEEDS" in caught.value.remedy
        with pytest.raises(ReferenceDataError, match="Is a directory"):
            read_feed(str(tmp_path))

    def test_too_large_a_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "threats.txt"
        path.write_text("203.0.113.7\n")  # 12 bytes
        assert read_feed(str(path), FeedLimits(max_bytes=12)).ignored == 0
        with pytest.raises(ReferenceDataError, match="larger than 11 bytes"):
            read_feed(str(path), FeedLimits(max_bytes=11))

    def test_other_schemes_are_refused_without_their_secrets(self) -> None:
        with pytest.raises(ReferenceDataError, match=r"lists\.example/x is neither") as caught:
            read_feed("ftp://user:secret@lists.example/x?key=secret")
        assert "secret" not in str(caught.value)


ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "/list": (200, b"203.0.113.7\n203.0.113.8\n", {}),
    "/zipped": (200, gzip.compress(b"203.0.113.7\n"), {"Content-Encoding": "gzip"}),
    "/unzipped": (200, b"203.0.113.7\n", {"Content-Encoding": "gzip"}),
    "/recovers": (200, b"203.0.113.7\n", {}),
    "/broken": (503, b"not now", {"Retry-After": "3600"}),
    "/moved": (302, b"", {"Location": "/list"}),
    "/endless": (302, b"", {"Location": "/endless"}),
    "/page": (200, b"<!doctype html><p>203.0.113.7</p>", {}),
    "/denied": (403, b"no", {}),
    "/odd": (204, b"", {}),
    "/nothing": (404, b"<html>none</html>", {}),
}


class FeedServer(ThreadingHTTPServer):
    """Serves one behaviour a path, and remembers what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FeedHandler)
        self.asked: list[str] = []
        self.over = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class FeedHandler(BaseHTTPRequestHandler):
    server: FeedServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        match path:
            case "/silent":
                self.server.over.wait(10)
            case "/trickles":
                self.send_response(200)
                self.end_headers()
                while not self.server.over.wait(0.05):
                    self.wfile.write(b"203.0.113.7\n")
            case "/chunked" | "/chunked-breaks-off":
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                # A byte a chunk: the first ten are gzip's header and decode to nothing.
                for byte in gzip.compress(b"203.0.113.7\n"):
                    self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
                if path == "/chunked":
                    self.wfile.write(b"0\r\n\r\n")
            case "/breaks-off":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"203.0.113.7\n")
            case "/recovers" if self.server.asked.count(path) == 1:
                self.answer(*ANSWERS["/broken"])
            case _:
                self.answer(*ANSWERS.get(path, ANSWERS["/nothing"]))

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


ONCE = FeedLimits(connect_seconds=2, read_seconds=0.2, total_seconds=0.3, retries=0)


class TestUrls:
    def test_reads_a_list(self, server: FeedServer) -> None:
        found = read_feed(f"{server.url}/list?key=secret")
        assert found.feed == f"{server.url.removeprefix('http://')}/list"
        assert entries_of(found) == ["203.0.113.7", "203.0.113.8"]

    def test_follows_a_redirect(self, server: FeedServer) -> None:
        assert len(read_feed(f"{server.url}/moved").entries) == 2

    def test_reads_a_compressed_list(self, server: FeedServer) -> None:
        assert len(read_feed(f"{server.url}/zipped").entries) == 1

    def test_reads_a_list_that_comes_in_pieces(self, server: FeedServer) -> None:
        assert len(read_feed(f"{server.url}/chunked").entries) == 1

    def test_server_that_recovers_is_asked_again(self, server: FeedServer) -> None:
        assert len(read_feed(f"{server.url}/recovers").entries) == 1
        assert server.asked == ["/recovers", "/recovers"]

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/nothing", r"does not exist \(HTTP 404\)"),
            ("/denied", r"denies access \(HTTP 403\)"),
            ("/odd", r"did not answer with a list \(HTTP 204\)"),
            ("/broken", r"did not answer with a list \(HTTP 503\)"),
            ("/page", "is a web page"),
            ("/endless", "cannot be reached"),
            ("/silent", "did not answer within 0.2 s"),
            ("/trickles", "was not through after 0.3 s"),
            ("/breaks-off", "broke off"),
            ("/chunked-breaks-off", "broke off"),
            ("/unzipped", "broke off"),
        ],
    )
    def test_says_why_there_is_no_list(self, server: FeedServer, path: str, message: str) -> None:
        with pytest.raises(ReferenceDataError, match=message) as caught:
            read_feed(f"{server.url}{path}?key=secret", ONCE)
        told = str(caught.value)
        assert f"{server.url.removeprefix('http://')}{path}" in told
        assert "FLOW_THREAT_FEEDS" in told
        assert "secret" not in told

    def test_too_large_a_list_is_refused(self, server: FeedServer) -> None:
        with pytest.raises(ReferenceDataError, match="larger than 20 bytes"):
            read_feed(f"{server.url}/list", FeedLimits(max_bytes=20))

    def test_port_where_nobody_listens(self) -> None:
        with FeedServer() as closed:
            url = closed.url
        with pytest.raises(ReferenceDataError, match="cannot be reached"):
            read_feed(f"{url}/list", ONCE)


class TestHistory:
    def test_first_snapshot_counts_since_always(self) -> None:
        assert merge_snapshot(NO_HISTORY, snapshot(0, "203.0.113.7", "203.0.113.8")).equals(
            history(("a", "203.0.113.7", None, None, None), ("a", "203.0.113.8", None, None, None))
        )

    def test_what_comes_goes_and_returns(self) -> None:
        merged = NO_HISTORY
        merged = merge_snapshot(merged, snapshot(0, "203.0.113.7", "203.0.113.8"))
        merged = merge_snapshot(merged, snapshot(1, "203.0.113.8", "203.0.113.9"))
        merged = merge_snapshot(merged, snapshot(2, "203.0.113.7", "203.0.113.8"))
        assert merged.equals(
            history(
                ("a", "203.0.113.7", None, at(1), None),
                ("a", "203.0.113.8", None, None, None),
                ("a", "203.0.113.9", at(1), at(2), None),
                ("a", "203.0.113.7", at(2), None, None),
            )
        )

    def test_unchanged_content_gives_the_same_table(self) -> None:
        merged = merge_snapshot(NO_HISTORY, snapshot(0, "203.0.113.7"))
        assert merge_snapshot(merged, snapshot(1, "203.0.113.7")) is merged

    def test_feeds_do_not_touch_each_other(self) -> None:
        merged = merge_snapshot(NO_HISTORY, snapshot(0, "203.0.113.7"))
        merged = merge_snapshot(merged, snapshot(1, "203.0.113.8", feed="b"))
        merged = merge_snapshot(merged, snapshot(2, "203.0.113.9", feed="b"))
        assert merged.equals(
            history(
                ("a", "203.0.113.7", None, None, None),
                ("b", "203.0.113.8", None, at(2), None),
                ("b", "203.0.113.9", at(2), None, None),
            )
        )

    def test_other_kind_of_threat_is_a_new_row(self) -> None:
        merged = merge_snapshot(NO_HISTORY, snapshot(0, "203.0.113.7"))
        retyped = FeedSnapshot("a", at(1), (FeedEntry("203.0.113.7", "Botnet"),), 0, "x")
        assert merge_snapshot(merged, retyped).equals(
            history(
                ("a", "203.0.113.7", None, at(1), None),
                ("a", "203.0.113.7", at(1), None, "Botnet"),
            )
        )

    def test_clock_that_runs_backwards_makes_no_span_that_ends_before_it_begins(self) -> None:
        merged = merge_snapshot(NO_HISTORY, snapshot(0, "203.0.113.7"))
        merged = merge_snapshot(merged, snapshot(5, "203.0.113.7", "203.0.113.8"))
        merged = merge_snapshot(merged, snapshot(3, "203.0.113.7"))
        assert merged.equals(
            history(
                ("a", "203.0.113.7", None, None, None),
                ("a", "203.0.113.8", at(5), at(5), None),
            )
        )
        assert ThreatMatcher(merged, ["a"]).spans_of("203.0.113.8") == []

    @given(
        st.lists(
            st.tuples(
                st.sampled_from("ab"),
                st.sets(
                    st.sampled_from(["203.0.113.7", "203.0.113.8", "203.0.113.0/24"]), min_size=1
                ),
            ),
            max_size=8,
        )
    )
    def test_history_replays_every_snapshot(self, said: list[tuple[str, set[str]]]) -> None:
        merged = NO_HISTORY
        for hour, (feed, entries) in enumerate(said):
            merged = merge_snapshot(merged, snapshot(hour, *entries, feed=feed))
        for feed in "ab":
            valid: set[str] = next((entries for name, entries in said if name == feed), set())
            for hour in range(len(said)):
                if said[hour][0] == feed:
                    valid = said[hour][1]
                for moment in (at(hour), at(hour + 0.5)):
                    assert listed_at(merged, feed, moment) == sorted(valid)
        assert merged.schema.equals(THREAT_SCHEMA)


def listed_at(table: pa.Table, feed: str, moment: datetime) -> list[str]:
    """The entries of a feed that hold at a moment, one for each row, so that twins would show."""
    return sorted(
        row["entry"]
        for row in table.to_pylist()
        if row["feed"] == feed and holds(row["listed_from"], row["listed_to"], moment)
    )


def holds(start: datetime | None, end: datetime | None, moment: datetime) -> bool:
    return (start is None or start <= moment) and (end is None or moment < end)


class TestMatching:
    def test_address_and_cidr(self) -> None:
        matcher = ThreatMatcher(
            history(
                ("a", "203.0.113.7", None, None, None),
                ("a", "198.51.100.0/24", None, None, "Botnet"),
                ("a", "2001:db8::/32", None, None, None),
            ),
            ["a"],
        )
        assert matcher.spans_of("203.0.113.7") == [ThreatSpan(None, None, "a", "203.0.113.7", None)]
        assert matcher.spans_of("203.0.113.8") == []
        assert matcher.spans_of("198.51.100.255") == [
            ThreatSpan(None, None, "a", "198.51.100.0/24", "Botnet")
        ]
        assert matcher.spans_of("198.51.101.0") == []
        assert matcher.spans_of("2001:db8:ffff::1") == [
            ThreatSpan(None, None, "a", "2001:db8::/32", None)
        ]
        assert matcher.spans_of("2001:db9::1") == []

    def test_feed_named_first_decides_then_the_most_specific_entry(self) -> None:
        table = history(
            ("a", "203.0.113.0/24", None, None, None),
            ("b", "203.0.113.7", None, None, None),
            ("b", "203.0.113.0/25", None, None, None),
        )

        def decided_by(*feeds: str) -> list[str]:
            spans = ThreatMatcher(table, feeds).spans_of("203.0.113.7")
            return [f"{span.feed} {span.entry}" for span in spans]

        assert decided_by("a", "b") == ["a 203.0.113.0/24"]
        assert decided_by("b", "a") == ["b 203.0.113.7"]
        assert decided_by("b", "a", "b") == ["b 203.0.113.7"]
        assert decided_by("c") == []
        assert decided_by() == []

    def test_time_is_cut_where_the_decision_changes(self) -> None:
        matcher = ThreatMatcher(
            history(
                ("b", "203.0.113.0/24", None, at(4), None),
                ("a", "203.0.113.7", at(1), at(2), None),
                ("a", "203.0.113.7", at(2), at(3), None),
                ("b", "203.0.113.0/24", at(6), None, None),
            ),
            ["a", "b"],
        )
        assert matcher.spans_of("203.0.113.7") == [
            ThreatSpan(None, at(1), "b", "203.0.113.0/24", None),
            # Two rows, one verdict.
            ThreatSpan(at(1), at(3), "a", "203.0.113.7", None),
            ThreatSpan(at(3), at(4), "b", "203.0.113.0/24", None),
            ThreatSpan(at(6), None, "b", "203.0.113.0/24", None),
        ]

    def test_private_address_inside_a_wide_entry_is_not_listed(self) -> None:
        matcher = ThreatMatcher(history(("a", "192.0.0.0/8", None, None, None)), ["a"])
        assert matcher.spans_of("192.168.0.4") == []
        assert len(matcher.spans_of("192.30.0.4")) == 1

    def test_empty_history_lists_nothing(self) -> None:
        assert ThreatMatcher(NO_HISTORY, ["a"]).spans_of("203.0.113.7") == []


# Few enough that entries cover each other often.
_entries = st.one_of(
    st.builds(lambda last: f"203.0.113.{last}", st.integers(0, 7)),
    st.builds(
        lambda last, length: str(ipaddress.ip_network((f"203.0.113.{last}", length), strict=False)),
        st.integers(0, 7),
        st.integers(8, 31),
    ),
    st.builds(
        lambda last, length: str(ipaddress.ip_network((f"2001:db8::{last}", length), strict=False)),
        st.integers(0, 7),
        st.integers(19, 127),
    ),
)
_moments = st.one_of(st.none(), st.integers(0, 6).map(at))
_rows = st.tuples(
    st.sampled_from("abc"), _entries, _moments, _moments, st.sampled_from([None, "Botnet"])
)


@given(rows=st.lists(_rows, max_size=12), feeds=st.permutations("abc"), last=st.integers(0, 8))
def test_matcher_agrees_with_looking_at_every_entry_at_every_moment(
    rows: list[tuple[str, str, datetime | None, datetime | None, str | None]],
    feeds: list[str],
    last: int,
) -> None:
    named = feeds[:2]
    # Of rows that a feed cannot hold (one entry twice at a moment) the first decides, as in reality
    # there is one.
    rows = list({(row[0], row[1]): row for row in rows}.values())
    matcher = ThreatMatcher(history(*rows), named)
    for address in (f"203.0.113.{last}", f"2001:db8::{last}"):
        spans = matcher.spans_of(address)
        for half_hours in range(-2, 16):
            moment = at(half_hours / 2)
            covering = [
                row
                for row in rows
                if row[0] in named
                and ipaddress.ip_address(address) in ipaddress.ip_network(row[1])
                and holds(row[2], row[3], moment)
            ]
            covering.sort(
                key=lambda row: (named.index(row[0]), -ipaddress.ip_network(row[1]).prefixlen)
            )
            found = [span for span in spans if holds(span.listed_from, span.listed_to, moment)]
            assert [(span.feed, span.entry, span.threat_type) for span in found] == [
                (feed, entry, threat_type) for feed, entry, _, _, threat_type in covering[:1]
            ]
        assert all(
            before.listed_to is not None and before.listed_to <= after.listed_from
            for before, after in pairwise(spans)
            if after.listed_from is not None
        )
