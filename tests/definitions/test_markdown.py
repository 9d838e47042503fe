"""Names that come out of logs, as Markdown in Dagster's UI: no cell leaves its place."""

from __future__ import annotations

import pytest

from flow_pipeline.defs.markdown import code, table

HOSTILE = [
    "[red]x[/red]",
    "\x1b[2J\x1b]0;title\x07\x9b31m",
    "one\r\ntwo\nthree\u2028four",
    "`|**x**|`",
    "before\x00behind",
    "\u202egnp.exe",
    "![x](http://198.51.100.1/x.png)<script>alert(1)</script>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_one_piece_of_code_on_one_line(name: str) -> None:
    shown = code(name)
    assert shown[0] == shown[-1] == "`"
    assert "`" not in shown[1:-1]
    assert "|" not in shown
    assert shown.isprintable()


def test_a_table_of_names_has_a_line_for_each_row() -> None:
    lines = table(["name", "country"], [[name, name] for name in HOSTILE]).split("\n")
    assert len(lines) == len(HOSTILE) + 2
    assert {line.count("|") for line in lines} == {3}
