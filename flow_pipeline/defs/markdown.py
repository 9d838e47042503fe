"""Text of strangers as Markdown for Dagster's UI.

Belongs here: putting names that come out of logs where they can do no harm, and bounded tables.
"""

from collections.abc import Sequence

_ROWS_SHOWN = 50


def code(text: str) -> str:
    """A text as code on one line: nothing in it is markup, or breaks a table."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return "`" + plain.replace("`", "'").replace("|", "¦") + "`"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first rows as a Markdown table, and how many more there are."""
    lines = [heads, ["---"] * len(heads), *([code(cell) for cell in row] for row in rows)]
    shown = "\n".join("| " + " | ".join(line) + " |" for line in lines[: _ROWS_SHOWN + 2])
    more = len(rows) - _ROWS_SHOWN
    return f"{shown}\n\nand {more:,} more" if more > 0 else shown
