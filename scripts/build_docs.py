"""Write the parts of the documentation that are made from the program.

Without an option: docs/reference/tables.md and commands.md. With --answers also the answers below
the SQL questions of README.md and the picture of a run, from the generated sample. The outcome is
committed, and tests hold it against the program.

Belongs here: making those parts. Everything else in the documentation is written by hand.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import duckdb
import typer
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from typer.cli import get_docs_for_click

from flow_pipeline.cli import app
from flow_pipeline.dbt_models import load_project
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import connect

PROJECT_DIR = Path(__file__).resolve().parent.parent
README = PROJECT_DIR / "README.md"
TABLES = PROJECT_DIR / "docs" / "reference" / "tables.md"
COMMANDS = PROJECT_DIR / "docs" / "reference" / "commands.md"
PICTURE = PROJECT_DIR / "docs" / "images" / "run.svg"

# The counts do not depend on the day; the picture shows one, so that it stays the same.
_DAY = "2026-03-01"
_PICTURE_COLUMNS = 92
_MADE_BY = "<!-- Made by scripts/build_docs.py: change what it is made from, and run that. -->"

# The order in which a reader needs them: the tables to ask first.
_TABLES = (
    "fct_flows",
    "sessions",
    "session_states",
    "top_ports_daily",
    "top_sources_daily",
    "top_targets_daily",
    "nic_first_contacts",
    "nic_first_contacts_fleet",
    "ports_daily",
    "services_daily",
    "protocols_daily",
    "new_ports",
    "sources_daily",
    "countries_daily",
    "origins_daily",
    "concentration_daily",
    "rules",
    "rules_daily",
    "open_ports",
    "broad_rules",
    "rule_replay",
    "malicious_daily",
    "allowed_daily",
    "nic_contacts_daily",
    "nic_sources_daily",
    "merged_flows",
    "traffic_hourly",
    "traffic_daily",
    "traffic_monthly",
    "hosts_daily",
    "pairs_daily",
    "networks_daily",
    "regions_daily",
    "subscriptions_daily",
    "public_addresses_daily",
    "NTANetAnalytics",
    "NTAIpDetails",
    "dim_ip",
    "threat_matches",
    "retro_hunt",
    "allow_listed_daily",
    "log_parity_daily",
    "coverage_hourly",
    "coverage_gaps",
    "lag_daily",
    "schema_drift",
    "schema_daily",
    "flow_records",
    "rejected_tuples",
    "landings",
    "landed_blobs",
    "blob_problems",
    "ip_lookup",
    "threat_entries",
    "threat_feeds",
    "allow_list",
)
_STORED = {"hour": "one file per event hour", "day": "one file per day"}
_SOURCES_STORED = {
    "flow_records": "view of `landed_tuples`: its decoded rows",
    "rejected_tuples": "view of `landed_tuples`: its rejected rows",
    "landings": "view of the footers of `landed_tuples`",
    "landed_blobs": "view of the footers of `landed_tuples`",
    "blob_problems": "view of the footers of `landed_tuples`",
    "ip_lookup": "one file per written hour",
    "threat_entries": "one file per feed",
    "threat_feeds": "view of the settings",
    "allow_list": "view of the settings",
}
_TABLES_HEAD = f"""\
{_MADE_BY}

# Tables

Every table that `flow-pipeline sql` and `flows.duckdb` know, column by column. Times are UTC and
without a zone. The words are explained in the [glossary](../glossary.md).

Stored as Delta tables in the lake: `landed_tuples`, `ip_lookup`, `threat_entries`, `fct_flows`,
`session_states`, `merged_flows`, `traffic_hourly`, `traffic_daily`, the three summaries,
`hosts_daily`, `pairs_daily`, `ports_daily`, `services_daily`, `protocols_daily`, `sources_daily`,
`nic_contacts_daily`, `nic_sources_daily`, `rules_daily`, `allowed_daily`, `malicious_daily`, and of
the coverage `coverage_hourly`, `lag_daily` and `schema_daily`. The others are views.
`landed_tuples` has the columns of `flow_records` and, of `rejected_tuples`, `reject_reason` and
`raw`.
"""

# A question is an SQL block; its answer is the Markdown table right below it.
_ANSWERED = re.compile(r"```sql\n(?P<sql>.*?)```\n\n(?P<answer>(?:\|[^\n]*\n)+)", re.DOTALL)

_THEME = TerminalTheme(
    (17, 24, 39),
    (229, 231, 235),
    [(75, 85, 99)] * 8,
    [(156, 163, 175)] * 8,
)
# rich's own format fetches a font from the network; a reader's browser must fetch nothing.
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<title>What flow-pipeline run --sample ends with</title>
<style>
.{unique_id}-matrix {{
    font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; white-space: pre;
}}
.{unique_id}-title {{ font: 600 17px ui-sans-serif, system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description="Write the parts of the documentation that are made from the program."
    )
    parser.add_argument(
        "--answers",
        action="store_true",
        help="also run the generated sample, for the answers and the picture in the README",
    )
    options = parser.parse_args(arguments)
    TABLES.write_text(tables_page(load_project().manifest), encoding="utf-8")
    COMMANDS.write_text(commands_page(), encoding="utf-8")
    if options.answers:
        with tempfile.TemporaryDirectory(prefix="flow-pipeline-") as directory:
            output = run_sample(Path(directory))
            PICTURE.write_text(picture(output), encoding="utf-8")
            lake = Lake.open_to_read(Path(directory) / "sample" / "lake")
            with connect(lake) as connection:
                text = with_answers(README.read_text(encoding="utf-8"), connection)
            README.write_text(text, encoding="utf-8")
    return 0


def tables_page(manifest: Mapping[str, Any]) -> str:
    """docs/reference/tables.md from dbt's manifest."""
    # A source without columns is shown to a model alone while it is built.
    sources = manifest["sources"].values()
    nodes = {node["name"]: node for node in sources if node["columns"]}
    nodes |= {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and "marts" in node["fqn"]
    }
    parts = [_TABLES_HEAD, "\n".join(f"- [`{name}`](#{name.lower()})" for name in _TABLES) + "\n"]
    parts += ["\n".join(_table_section(nodes.pop(name))) for name in _TABLES]
    assert not nodes, f"tables without a place on the page: {', '.join(nodes)}"
    return "\n".join(parts)


def _table_section(node: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {node['name']}\n"
    yield f"{_one_line(node['description'])}\n"
    yield f"Stored: {_stored(node)}.\n"
    yield "| column | type | |"
    yield "|---|---|---|"
    for column in node["columns"].values():
        yield f"| `{column['name']}` | {column['data_type']} | {_cell(column['description'])} |"
    yield ""


def _stored(node: Mapping[str, Any]) -> str:
    if node["name"] in _SOURCES_STORED:
        return _SOURCES_STORED[node["name"]]
    lake = node["config"]["meta"].get("lake")
    if lake is None:
        return "view"
    order = ", ".join(f"`{term}`" for term in lake["order_by"])
    hours = " of written hours" if lake.get("by_written") else ""
    return f"{_STORED[lake['grain']]}{hours}, sorted by {order}"


def commands_page() -> str:
    """docs/reference/commands.md from the command line's own help."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="flow-pipeline")
    text = get_docs_for_click(obj=command, ctx=context, name="flow-pipeline")
    lines = [line.rstrip() for line in text.strip().splitlines()]
    return f"{_MADE_BY}\n\n" + "\n".join(lines).replace("# `flow-pipeline`", "# Commands", 1) + "\n"


def questions(text: str) -> list[str]:
    """The SQL blocks of a Markdown page."""
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


def with_answers(text: str, connection: duckdb.DuckDBPyConnection) -> str:
    """A Markdown page with each table below an SQL block made anew from its answer."""

    def answered(match: re.Match[str]) -> str:
        return f"```sql\n{match['sql']}```\n\n{_answer(match['sql'], connection)}"

    return _ANSWERED.sub(answered, text)


def _answer(sql: str, connection: duckdb.DuckDBPyConnection) -> str:
    result = connection.execute(sql)
    heads = [column[0] for column in result.description or ()]
    rows = result.fetchall()
    rules = ["---" if _is_text(row) else "--:" for row in zip(*rows, strict=True)]
    lines = [heads, rules or ["---"] * len(heads)]
    lines += [["" if cell is None else _cell(str(cell)) for cell in row] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _is_text(cells: Sequence[object]) -> bool:
    return any(isinstance(cell, str) for cell in cells)


def run_sample(directory: Path) -> str:
    """Generate the sample in a directory and run everything on it; returns what it printed."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("FLOW_", "DAGSTER_"))
    }
    environment |= {"COLUMNS": str(_PICTURE_COLUMNS), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "flow_pipeline.cli"]
    for arguments in (["generate", "--out", "sample", "--date", _DAY], ["run", "--sample"]):
        done = subprocess.run(
            [*command, *arguments],
            cwd=directory,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    return done.stdout


def picture(output: str) -> str:
    """The tables that a run closes with, as an SVG that fetches nothing."""
    shown = output[: output.index("\x1b[1mWhere to look next")]
    console = Console(record=True, width=_PICTURE_COLUMNS, file=StringIO(), legacy_windows=False)
    console.print(Text.from_ansi(shown.rstrip()))
    svg = console.export_svg(
        title="flow-pipeline run --sample", theme=_THEME, code_format=_SVG, unique_id="run"
    )
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
