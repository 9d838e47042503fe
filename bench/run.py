"""A run of the benchmark: make the documents, see that all agree, then measure by turns.

Belongs here: the order of things.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import agreement, floor
from bench.contenders import CONTENDERS, Contender
from bench.documents import Documents, Layout, Shape
from bench.generator import WARM_UP_TUPLES, make
from bench.measure import Measurement, measure
from bench.report import Row, new_row

# Where nobody looks, the table is as wide as it is.
console = Console(width=None if sys.stdout.isatty() else 170)


def measure_all(
    scratch: Path,
    names: Sequence[str],
    layouts: Iterable[Layout],
    shapes: Iterable[Shape],
    tuples: int,
    repeat: int,
) -> list[Row]:
    """Every contender on every kind of documents. Raises Disagreement."""
    contenders = [CONTENDERS[name] for name in names]
    runs = scratch / "runs"
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    if floor.compiler() is not None:
        floor.build(runs)
    rows: list[Row] = []
    shapes = list(shapes)
    for layout in layouts:
        for shape in shapes:
            console.print(f"{layout} {shape}: making documents", style="dim")
            small = make(scratch, layout, Shape.DAY, WARM_UP_TUPLES)
            documents = make(scratch, layout, shape, tuples)
            rows += _measure(runs, contenders, documents, small, shape, repeat)
    return rows


def _measure(
    runs: Path,
    contenders: Sequence[Contender],
    documents: Documents,
    small: Documents,
    shape: Shape,
    repeat: int,
) -> list[Row]:
    place = f"{documents.layout} {shape}"
    found = {one.name: new_row(documents, shape, one) for one in contenders}
    able = [one for one in contenders if found[one.name].missing is None]
    console.print(f"{place}: all read the same?", style="dim")
    check(runs, able, documents, small)
    for number in range(1, repeat + 1):
        # By turns, so that what disturbs the machine for a while disturbs all alike.
        for one in able:
            console.print(f"{place}: {number} of {repeat}, {one.title}", style="dim")
            found[one.name].measurements.append(_once(runs, one, documents, small))
    return list(found.values())


def check(
    runs: Path, contenders: Sequence[Contender], documents: Documents, small: Documents
) -> None:
    """Let everybody read the documents once. Raises Disagreement where one reads them otherwise."""
    ours: dict[str, Any] = {}
    sums: dict[str, int] = {}
    for one in (CONTENDERS["parquet"], *(c for c in contenders if c.name != "parquet")):
        out = runs / "out"
        done = measure(one, documents, small, out)
        if done.tuples != documents.tuples:
            raise agreement.Disagreement(
                f"{one.title} read {done.tuples} tuples, and {documents.tuples} were written"
            )
        if not ours:
            ours = agreement.digest(out)
            if (ours["rows"], ours["rejected"]) != (documents.tuples, 0):
                raise agreement.Disagreement(f"{documents.tuples} tuples were written: {ours}")
            sums = agreement.floor_sums(out)
        elif one.writes:
            agreement.check_parquet(ours, out, one.title)
        elif one.name == "floor":
            agreement.check_floor(sums, floor.sums(documents, runs))
        shutil.rmtree(out)


def _once(runs: Path, contender: Contender, documents: Documents, small: Documents) -> Measurement:
    out = runs / "out"
    done = measure(contender, documents, small, out)
    shutil.rmtree(out)
    return done
