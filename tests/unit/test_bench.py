"""The benchmark is of the same work: all contenders read the same rows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bench import agreement, bounded, floor, report
from bench.contenders import CONTENDERS
from bench.documents import MARKER, Documents, Layout, Shape, open_documents
from bench.generator import make, make_large_blob, make_many_blobs
from bench.measure import Measurement, parquet_files
from flow_pipeline.flowlog.schema import LANDED_SCHEMA

IDENTITY = ("blob", "record_no", "flow_no", "group_no", "tuple_no")
TUPLES = 1_200

needs_cc = pytest.mark.skipif(floor.compiler() is None, reason="no C compiler")
needs_polars = pytest.mark.skipif(
    find_spec("polars") is None, reason="Polars is installed by make bench"
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module", params=[(x, y) for x in Layout for y in Shape], ids="-".join)
def documents(request: pytest.FixtureRequest, scratch: Path) -> Documents:
    layout, shape = request.param
    return make(scratch, layout, shape, TUPLES)


def written_by(name: str, documents: Documents, out: Path) -> pa.Table:
    out.mkdir()
    assert CONTENDERS[name].load()(documents, out)() == documents.tuples
    tables = [
        pq.read_table(path, partitioning=None).cast(LANDED_SCHEMA) for path in parquet_files(out)
    ]
    return pa.concat_tables(tables).sort_by([(column, "ascending") for column in IDENTITY])


@pytest.mark.parametrize(
    "name",
    ["landing", "two", "plain", "duckdb", pytest.param("polars", marks=needs_polars)],
)
def test_everybody_writes_the_rows_that_we_write(
    name: str, documents: Documents, tmp_path: Path
) -> None:
    ours = written_by("parquet", documents, tmp_path / "ours")
    # Counted when the tuples were drawn, before any was written.
    assert ours.num_rows == documents.tuples >= TUPLES
    assert pc.sum(ours["bytes_src_to_dst"]).as_py() > 0
    theirs = written_by(name, documents, tmp_path / name)
    for column in LANDED_SCHEMA.names:
        assert theirs[column].to_pylist() == ours[column].to_pylist(), column


@needs_cc
def test_the_floor_adds_up_to_what_we_read(documents: Documents, tmp_path: Path) -> None:
    floor.build(tmp_path)
    out = tmp_path / "out"
    ours = written_by("parquet", documents, out)
    sums = floor.sums(documents, tmp_path)
    assert floor.prepare(documents, out)() == documents.tuples
    assert sums["bytes_src_to_dst"] == pc.sum(ours["bytes_src_to_dst"]).as_py()
    assert sums["dst_port"] == pc.sum(ours["dst_port"]).as_py()
    assert sums == agreement.floor_sums(out)


@needs_cc
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b",10.0.0.4,", b",10.0.0,"),
        (b",10.0.0.4,", b",fd00::4,"),
        (b'"17723', b'"1772x'),
        (b",T,I,", b",X,I,"),
        (b',D,B,,,,"', b',D,B,,,"'),
        (b',D,B,,,,"', b',D,B,,,,,"'),
    ],
)
def test_the_floor_skips_no_field(old: bytes, new: bytes, scratch: Path, tmp_path: Path) -> None:
    whole = make(scratch, Layout.NSG2, Shape.DOCUMENT, TUPLES)
    [[blob]] = whole.hours.values()
    broken = tmp_path / blob.name
    broken.parent.mkdir(parents=True)
    content = blob.path.read_bytes()
    assert old in content
    broken.write_bytes(content.replace(old, new, 1))
    (tmp_path / MARKER).write_bytes((whole.folder / MARKER).read_bytes())
    floor.build(tmp_path)
    with pytest.raises(ValueError, match="does not know"):
        floor.sums(open_documents(tmp_path), tmp_path)


@pytest.mark.parametrize("column", ["src_ip", "tuple_no", "record_time", "rule"])
def test_one_other_value_in_any_column_is_a_disagreement(
    column: str, scratch: Path, tmp_path: Path
) -> None:
    documents = make(scratch, Layout.VNET, Shape.DOCUMENT, TUPLES)
    table = written_by("plain", documents, tmp_path / "plain")
    ours = agreement.digest(tmp_path / "plain")
    agreement.check_parquet(ours, tmp_path / "plain", "the same")
    values = table[column].to_pylist()
    values[7] = next(value for value in values if value != values[7])
    changed = table.set_column(
        table.schema.get_field_index(column),
        LANDED_SCHEMA.field(column),
        pa.array(values, LANDED_SCHEMA.field(column).type),
    )
    (tmp_path / "other").mkdir()
    pq.write_table(changed, tmp_path / "other/x.parquet")
    with pytest.raises(agreement.Disagreement, match="Somebody"):
        agreement.check_parquet(ours, tmp_path / "other", "Somebody")


def test_a_column_too_few_is_a_disagreement(scratch: Path, tmp_path: Path) -> None:
    documents = make(scratch, Layout.VNET, Shape.DOCUMENT, TUPLES)
    table = written_by("plain", documents, tmp_path / "plain")
    pq.write_table(table.drop_columns(["mac"]), next(iter(parquet_files(tmp_path / "plain"))))
    with pytest.raises(agreement.Disagreement, match="columns"):
        agreement.digest(tmp_path / "plain")


# --- the documents -------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", Layout)
def test_document_and_day_hold_the_same_records(layout: Layout, scratch: Path) -> None:
    day = make(scratch, layout, Shape.DAY, TUPLES)
    whole = make(scratch, layout, Shape.DOCUMENT, TUPLES)
    [[blob]] = whole.hours.values()
    records = [
        record
        for blobs in day.hours.values()
        for one in blobs
        for record in json.loads(one.path.read_bytes())["records"]
    ]
    assert json.loads(blob.path.read_bytes())["records"] == records
    assert day.blobs > 40
    assert day.tuples == whole.tuples


@pytest.mark.parametrize("layout", Layout)
def test_a_large_blob_and_many_blobs_are_landed_whole(
    layout: Layout, scratch: Path, tmp_path: Path
) -> None:
    large = make_large_blob(scratch, layout, 1_000_000)
    assert (large.blobs, large.size > 1_000_000) == (1, True)
    many = make_many_blobs(scratch, layout, 60)
    assert (many.blobs, len(many.hours)) == (60, 1)
    for documents in (large, many):
        out = tmp_path / documents.folder.name
        table = written_by("landing", documents, out)
        assert table.num_rows == documents.tuples
        assert table["reject_reason"].null_count == table.num_rows
        assert agreement.counts(out) == {
            "rows": documents.tuples,
            "rejected": 0,
            "blobs": documents.blobs,
        }
    # Each NIC has one blob, and the blob's path names the NIC of its records.
    named = pc.extract_regex(table["blob"], "macAddress=(?P<mac>[0-9A-F]{12})/")
    assert pc.struct_field(named, "mac").to_pylist() == table["mac"].to_pylist()
    assert len(table["mac"].unique()) == 60


# --- the report ----------------------------------------------------------------------------------

ONE = Measurement(
    tuples=1_000,
    cpu_seconds=0.1,
    wall_seconds=0.2,
    peak_rss=300_000_000,
    rss_increase=40_000_000,
    bytes_written=12_500,
)


def rows(documents: Documents, **cpu_seconds: tuple[float, ...]) -> list[report.Row]:
    made: list[report.Row] = []
    for name, seconds in cpu_seconds.items():
        row = report.new_row(documents, "document", CONTENDERS[name])
        row.missing = None
        row.tuples = 1_000
        row.measurements = [replace(ONE, cpu_seconds=one, wall_seconds=one) for one in seconds]
        made.append(row)
    return made


def shown(table: Any) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def line_of(text: str, title: str) -> list[str]:
    """The cells of the one row that begins with a title, or has it behind the documents' name."""
    cells = [[part.strip() for part in re.split("[│┃]", line)[1:-1]] for line in text.splitlines()]
    [found] = [line for line in cells if title in line[:2]]
    return found[found.index(title) :]


def test_the_table_shows_medians_and_what_they_are_compared_with(scratch: Path) -> None:
    documents = make(scratch, Layout.NSG2, Shape.DOCUMENT, TUPLES)
    text = shown(
        report.table(
            rows(
                documents,
                floor=(0.1, 0.3, 0.1),
                decode=(0.125,),
                parquet=(0.5,),
                plain=(3.0, 4.0, 50.0),
                one=(2.0,),
                two=(1.25,),
            )
        )
    )
    assert line_of(text, "floor: a scan in C")[1:4] == ["0.100", "0.100", "10,000"]
    # 0.1 s / 0.125 s
    assert line_of(text, "decode to Arrow")[-1] == "0.80 of the floor's speed"
    # 4.0 s / 0.5 s; 12,500 bytes / 1,000 tuples
    assert line_of(text, "plain Python")[5:] == [
        "300",
        "40",
        "12.5",
        "8.00 times the CPU of decode + Parquet",
    ]
    # 2.0 s / 1.25 s
    assert line_of(text, "landing, 2 workers")[-1] == "1.60 times as fast as 1 worker"


def test_who_cannot_take_part_has_a_row_that_says_why(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    documents = make(scratch, Layout.NSG2, Shape.DOCUMENT, TUPLES)
    row = report.new_row(documents, "document", CONTENDERS["floor"])
    [decoded] = rows(documents, decode=(0.125,))
    text = shown(report.table([row, decoded]))
    assert line_of(text, "floor: a scan in C")[-1] == "no C compiler"
    assert line_of(text, "decode to Arrow")[-1] == ""


def test_results_are_added_line_by_line_with_their_circumstances(
    scratch: Path, tmp_path: Path
) -> None:
    documents = make(scratch, Layout.NSG2, Shape.DOCUMENT, TUPLES)
    path = tmp_path / "results.jsonl"
    report.append(path, "decode", 2, rows(documents, decode=(0.125, 0.25)))
    report.append(path, "decode", 1, rows(documents, decode=(0.5,)))
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert first["packages"]["pyarrow"] == pa.__version__
    assert (first["what"], first["repeat"]) == ("decode", 2)
    assert [one["cpu_seconds"] for one in first["rows"][0]["measurements"]] == [0.125, 0.25]
    assert [one["cpu_seconds"] for one in second["rows"][0]["measurements"]] == [0.5]
    assert str(scratch) not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("peak", "verdict"), [(512 << 20, "yes"), ((512 << 20) + 1, "NO")])
def test_memory_is_held_against_its_bound(peak: int, verdict: str, scratch: Path) -> None:
    [row] = rows(make(scratch, Layout.NSG2, Shape.DOCUMENT, TUPLES), landing=(1.0,))
    row.measurements = [replace(ONE, peak_rss=peak)]
    assert line_of(shown(bounded.table([row])), "nsg2, document")[-1] == verdict
