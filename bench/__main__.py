"""`python -m bench`: everything, or one part of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import typer

from bench import bounded as bounds
from bench.agreement import Disagreement
from bench.contenders import CORES, DECODE, EVERYBODY, LANDING, PARQUET
from bench.documents import Layout, Shape
from bench.report import RESULTS, append, table
from bench.run import console, measure_all

SCRATCH = Path(__file__).resolve().parents[1] / ".bench"

app = typer.Typer(
    help="How fast and in how much memory flow logs land, beside other ways to do it.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@dataclass(frozen=True)
class _Places:
    scratch: Path
    results: Path


Repeat = Annotated[int, typer.Option(min=1, help="Repetitions; the medians are shown.")]
Tuples = Annotated[int, typer.Option(min=1, help="Tuples of each set of documents, at least.")]
Layouts = Annotated[list[Layout], typer.Option("--layout", help="Formats; may be repeated.")]
Shapes = Annotated[list[Shape], typer.Option("--shape", help="May be repeated.")]
_REPEAT = 3
_TUPLES = 2_000_000
_LAYOUTS = list(Layout)
_SHAPES = list(Shape)
_LARGE_BLOB = 2_000_000_000
_MANY_BLOBS = 5_000


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    scratch: Annotated[Path, typer.Option(help="Where documents and outputs lie.")] = SCRATCH,
    results: Annotated[Path, typer.Option(help="The file that lines are added to.")] = RESULTS,
) -> None:
    """How fast and in how much memory flow logs land. Without a command: speed, cores, bounded."""
    context.obj = _Places(scratch, results)
    if context.invoked_subcommand is None:
        speed(context)
        cores(context)
        bounded(context)


@app.command()
def speed(
    context: typer.Context,
    repeat: Repeat = _REPEAT,
    tuples: Tuples = _TUPLES,
    layouts: Layouts = _LAYOUTS,
    shapes: Shapes = _SHAPES,
) -> None:
    """The whole table: decode, decode + Parquet, landing, and everybody beside them."""
    _show(context, "speed", EVERYBODY, layouts, shapes, tuples, repeat)


@app.command()
def decode(
    context: typer.Context,
    repeat: Repeat = _REPEAT,
    tuples: Tuples = _TUPLES,
    layouts: Layouts = _LAYOUTS,
    shapes: Shapes = _SHAPES,
) -> None:
    """Decoding alone, and the floor."""
    _show(context, "decode", DECODE, layouts, shapes, tuples, repeat)


@app.command()
def parquet(
    context: typer.Context,
    repeat: Repeat = _REPEAT,
    tuples: Tuples = _TUPLES,
    layouts: Layouts = _LAYOUTS,
    shapes: Shapes = _SHAPES,
) -> None:
    """To Parquet: ours, plain Python, DuckDB, Polars."""
    _show(context, "parquet", PARQUET, layouts, shapes, tuples, repeat)


@app.command()
def landing(
    context: typer.Context,
    repeat: Repeat = _REPEAT,
    tuples: Tuples = _TUPLES,
    layouts: Layouts = _LAYOUTS,
    shapes: Shapes = _SHAPES,
) -> None:
    """What landing costs beyond decoding and Parquet."""
    _show(context, "landing", LANDING, layouts, shapes, tuples, repeat)


@app.command()
def cores(
    context: typer.Context,
    repeat: Repeat = _REPEAT,
    tuples: Tuples = _TUPLES,
    layouts: Layouts = _LAYOUTS,
) -> None:
    """A day of blobs landed by one worker and by two."""
    _show(context, "cores", CORES, layouts, [Shape.DAY], tuples, repeat)


@app.command()
def bounded(
    context: typer.Context,
    layout: Annotated[Layout, typer.Option(help="Format.")] = Layout.NSG2,
    size: Annotated[int, typer.Option(min=1, help="Bytes of the large blob.")] = _LARGE_BLOB,
    blobs: Annotated[int, typer.Option(min=1, help="Blobs of the hour.")] = _MANY_BLOBS,
) -> None:
    """Peak memory of landing one large blob, and one hour of many blobs."""
    places = cast(_Places, context.obj)
    rows = bounds.measure_bounded(places.scratch, layout, size, blobs)
    append(places.results, "bounded", 1, rows)
    console.print(bounds.table(rows))


def _show(
    context: typer.Context,
    what: str,
    names: Sequence[str],
    layouts: Sequence[Layout],
    shapes: Sequence[Shape],
    tuples: int,
    repeat: int,
) -> None:
    places = cast(_Places, context.obj)
    rows = measure_all(places.scratch, names, layouts, shapes, tuples, repeat)
    append(places.results, what, repeat, rows)
    console.print(table(rows))


if __name__ == "__main__":
    try:
        app()
    except Disagreement as error:
        console.print(f"No figures, for the rows would not be of the same work: {error}")
        sys.exit(1)
