"""`python -m tests.torture`: all parts, or those that are named, and one table at the end.

    python -m tests.torture [kills] [races] [faults] [fuzz] [--short] [--seed 7]

Exit status 0 if there was no difference, 1 if there was one; its lake is left as it is.
"""

from __future__ import annotations

import importlib.util
import shutil
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.torture.parts import LONG, PARTS, SHORT, Outcome
from tests.torture.runs import PROJECT_DIR, Difference

SCRATCH = PROJECT_DIR / ".torture"
_console = Console(highlight=False, soft_wrap=True)
_Part = StrEnum("_Part", list(PARTS))


def main(
    parts: Annotated[list[_Part] | None, typer.Argument(help="All of them, if none.")] = None,
    short: Annotated[bool, typer.Option("--short", help="As much as `make test` does.")] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same logs.")] = None,
    scratch: Annotated[Path, typer.Option(help="Where lakes and logs lie.")] = SCRATCH,
) -> None:
    """Kill runs, let them race, break what they read; hold each lake to an undisturbed one."""
    names = parts or list(_Part)
    if _Part["fuzz"] in names and importlib.util.find_spec("atheris") is None:
        raise typer.BadParameter(
            "fuzz needs atheris, which `make torture` installs on Linux on x86-64 and which is "
            "there for no other: name the other parts"
        )
    seed = int(time.time()) if seed is None else seed
    _console.print(f"seed {seed}")
    table = Table(box=box.SIMPLE_HEAD, title=f"Torture, seed {seed}", title_justify="left")
    for column in ("part", "done", "differences", "minutes"):
        table.add_column(
            column, justify="right" if column in ("differences", "minutes") else "left"
        )
    told: list[str] = []
    has_failed = False
    try:
        for name in names:
            directory = scratch / time.strftime(f"%Y-%m-%dT%H-%M-%S-{name}")
            directory.mkdir(parents=True)
            began = time.monotonic()
            try:
                outcome = PARTS[name](directory, seed, SHORT if short else LONG, _say)
                differences = "0"
                shutil.rmtree(directory)
            except Difference as error:
                has_failed = True
                outcome, differences = Outcome("stopped at the first difference", ()), "1"
                _console.print(Text(f"{name}, in {directory}:\n{error}", style="red"))
            minutes = f"{(time.monotonic() - began) / 60:.1f}"
            table.add_row(name, outcome.done, differences, minutes)
            told += [f"{name}: {detail}" for detail in outcome.details]
    finally:
        # What was done before is told, too, when a part ends in an error of its own.
        _console.print(table)
        for line in told:
            _console.print(Text(line))
    raise typer.Exit(int(has_failed))


def _say(line: str) -> None:
    _console.print(Text(f"{time.strftime('%H:%M:%S')} {line}", style="dim"))


if __name__ == "__main__":
    typer.run(main)
