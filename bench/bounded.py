"""Memory that does not grow with what is landed: one large blob, and one hour of many blobs.

Belongs here: landing both in a process of its own, with neither Dagster nor dbt, and holding what
came out against what was written.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.table import Table

from bench.agreement import Disagreement, counts
from bench.contenders import CONTENDERS
from bench.documents import Documents, Layout, Shape
from bench.generator import WARM_UP_TUPLES, make, make_large_blob, make_many_blobs
from bench.measure import Measurement, measure
from bench.report import Row, new_row
from bench.run import console

TARGET_BYTES = 512 * 1024 * 1024


def measure_bounded(scratch: Path, layout: Layout, size: int, count: int) -> list[Row]:
    """Land one blob of `size` bytes, and an hour of `count` blobs. Raises Disagreement."""
    console.print("a large blob and many: making documents", style="dim")
    small = make(scratch, layout, Shape.DAY, WARM_UP_TUPLES)
    return [
        _land(scratch, documents, small, shape)
        for shape, documents in (
            ("large blob", make_large_blob(scratch, layout, size)),
            ("many blobs", make_many_blobs(scratch, layout, count)),
        )
    ]


def _land(scratch: Path, documents: Documents, small: Documents, shape: str) -> Row:
    runs = scratch / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    out = runs / "out"
    console.print(f"{documents.layout} {shape}: landing", style="dim")
    contender = CONTENDERS["landing"]
    done = measure(contender, documents, small, out)
    _verify(documents, out, done)
    shutil.rmtree(out)
    row = new_row(documents, shape, contender)
    row.measurements.append(done)
    return row


def _verify(documents: Documents, out: Path, done: Measurement) -> None:
    found = counts(out)
    expected = {"rows": documents.tuples, "rejected": 0, "blobs": documents.blobs}
    if found != expected or done.tuples != documents.tuples:
        raise Disagreement(f"{expected} were written; {done.tuples} tuples read, landed: {found}")


def table(rows: list[Row]) -> Table:
    """What was landed, in which time and memory, and whether that is within bounds."""
    shown = Table(title="Memory of the landing process, every count verified", title_justify="left")
    shown.add_column("what")
    for name in ("blobs", "MB read", "tuples", "s", "CPU s", "peak MiB", "increase MiB"):
        shown.add_column(name, justify="right")
    shown.add_column(f"within {TARGET_BYTES >> 20} MiB")
    for row in rows:
        [done] = row.measurements
        shown.add_row(
            f"{row.layout}, {row.shape}",
            f"{row.blobs:,}",
            f"{row.bytes_read / 1e6:,.0f}",
            f"{done.tuples:,}",
            f"{done.wall_seconds:.1f}",
            f"{done.cpu_seconds:.1f}",
            f"{done.peak_rss / 2**20:,.0f}",
            f"{done.rss_increase / 2**20:,.0f}",
            "yes" if done.peak_rss <= TARGET_BYTES else "NO",
        )
    return shown
