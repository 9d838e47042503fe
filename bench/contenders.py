"""Who takes part, and with whom each is compared.

Belongs here: the list of rows of the table. A contender's module is imported only in the process
that measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from bench import floor
from bench.documents import Documents

Work = Callable[[], int]
"""What is measured; gives the tuples that it read."""


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    `prepare` names a function `(documents, out) -> Work` in a module of this package; whatever it
    does itself is not measured. `writes`: Parquet, into `out`. `against`: the row that it is
    compared with.
    """

    name: str
    title: str
    prepare: str
    writes: bool
    against: str

    def load(self) -> Callable[[Documents, Path], Work]:
        """Import what takes part."""
        module, function = self.prepare.split(":")
        return cast(
            Callable[[Documents, Path], Work], getattr(import_module(f"bench.{module}"), function)
        )

    def missing(self) -> str | None:
        """What this machine lacks for it, in words."""
        if self.name == "floor" and floor.compiler() is None:
            return "no C compiler"
        if self.name == "polars" and find_spec("polars") is None:
            return "Polars is not installed: make bench does it"
        return None


_ALL = (
    Contender("floor", "floor: a scan in C", "floor:prepare", writes=False, against="floor"),
    Contender("scan", "scan to columns", "ours:scan", writes=False, against="floor"),
    Contender("decode", "decode to Arrow", "ours:decode", writes=False, against="floor"),
    Contender("parquet", "decode + Parquet", "ours:write_parquet", writes=True, against="parquet"),
    Contender("landing", "landing, whole", "ours:land", writes=True, against="parquet"),
    Contender("plain", "plain Python", "plain_python:prepare", writes=True, against="parquet"),
    Contender("duckdb", "DuckDB SQL", "duckdb_sql:prepare", writes=True, against="parquet"),
    Contender("polars", "Polars", "polars_frames:prepare", writes=True, against="parquet"),
    Contender("one", "landing, 1 worker", "ours:land", writes=True, against="one"),
    Contender("two", "landing, 2 workers", "ours:land_on_two", writes=True, against="one"),
)
CONTENDERS = {contender.name: contender for contender in _ALL}

DECODE = ("floor", "scan", "decode")
PARQUET = ("parquet", "plain", "duckdb", "polars")
LANDING = ("parquet", "landing")
EVERYBODY = ("floor", "scan", "decode", "parquet", "landing", "plain", "duckdb", "polars")
CORES = ("one", "two")
