"""The documentation held against the program: what it names exists, what it answers is true.

Belongs here: every page of README.md and docs/. What does not hold is mended by hand, or by
scripts/build_docs.py where that made it.
"""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer

from flow_pipeline.cli import app
from flow_pipeline.dbt_models import load_project
from flow_pipeline.flowlog.problems import ProblemCode
from flow_pipeline.flowlog.schema import RejectReason
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import connect
from flow_pipeline.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
README = PROJECT_DIR / "README.md"
DOCS = PROJECT_DIR / "docs"
PAGES = [README, PROJECT_DIR / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def name_of(page: Path) -> str:
    return page.relative_to(PROJECT_DIR).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    return FENCED.sub("", text_of(page))


def anchors_of(page: Path) -> set[str]:
    """The anchors that a reader's Markdown makes of headings."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> Iterator[tuple[str, Path, str]]:
    """(the link as written, the file that it leads to, the anchor there) for links within."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page, anchor


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(PROJECT_DIR / "scripts" / "build_docs.py"))


# --- what is made from the program ---------------------------------------------------------------


def test_the_data_dictionary_is_that_of_the_models(script: dict[str, Any]) -> None:
    made = script["tables_page"](load_project().manifest)
    assert text_of(DOCS / "reference/tables.md") == made, "run scripts/build_docs.py"


def test_the_commands_are_those_of_the_command_line(script: dict[str, Any]) -> None:
    made = script["commands_page"]()
    assert text_of(DOCS / "reference/commands.md") == made, "run scripts/build_docs.py"


def test_an_answer_is_put_below_its_question(script: dict[str, Any]) -> None:
    page = (
        "A question\n\n```sql\nselect 7 as n, 'a|b' as t, null as x\n```\n\n| old |\n|---|\n\nEnd\n"
    )
    with duckdb.connect(":memory:") as connection:
        made = script["with_answers"](page, connection)
    assert made == (
        "A question\n\n```sql\nselect 7 as n, 'a|b' as t, null as x\n```\n\n"
        "| n | t | x |\n| --: | --- | --: |\n| 7 | a\\|b |  |\n\nEnd\n"
    )


# --- what is written by hand ---------------------------------------------------------------------


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link, target, anchor in links_of(page):
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target), link


def test_every_page_is_found_from_the_readme() -> None:
    found: set[Path] = set()
    waiting = [README]
    while waiting:
        page = waiting.pop()
        if page not in found and page.suffix == ".md":
            found.add(page)
            waiting += [target for _, target, _ in links_of(page)]
    assert [name_of(page) for page in PAGES if page not in found] == []


def test_pictures_fetch_nothing() -> None:
    pictures = sorted(DOCS.rglob("*.svg"))
    assert pictures
    for picture in pictures:
        fetching = re.search(r"@font-face|@import|href|src=|url\((?!#)|<script", text_of(picture))
        assert not fetching, picture.name


def test_every_setting_is_explained_with_its_default() -> None:
    text = text_of(DOCS / "reference/settings.md")
    sections = dict(re.findall(r"^## (FLOW_\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    fields = Settings.model_fields
    assert set(sections) == {f"FLOW_{name.upper()}" for name in fields} | {
        "FLOW_CREDENTIAL_ACCOUNT"
    }
    for name, field in fields.items():
        told = re.search(r"^Default: (.*)", sections[f"FLOW_{name.upper()}"], re.MULTILINE)
        assert told, name
        if isinstance(field.default, int):
            assert told[1] == f"`{field.default}`."
            for bound in field.metadata:
                limit = getattr(bound, "ge", None) or getattr(bound, "le", 0)
                assert str(limit) in sections[f"FLOW_{name.upper()}"], (name, limit)


@pytest.mark.parametrize(
    "form", ["connection string", "SAS", "account key", "`DefaultAzureCredential`"]
)
def test_every_form_of_a_credential_is_explained(form: str) -> None:
    text = text_of(DOCS / "reference/settings.md")
    [section] = re.findall(
        r"^## FLOW_CREDENTIAL_ACCOUNT\n(.*?)^## ", text, re.DOTALL | re.MULTILINE
    )
    assert form in section


@every_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {f"FLOW_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"\bFLOW_[A-Z_]+[A-Z]\b", text_of(page)))
    assert {name for name in named - known if not name.startswith("FLOW_CREDENTIAL_")} == set()


@pytest.mark.parametrize(
    ("heading", "members"),
    [("Reject reasons", RejectReason), ("Problems", ProblemCode)],
    ids=["reasons", "problems"],
)
def test_every_reject_reason_and_problem_is_explained(heading: str, members: Any) -> None:
    text = text_of(DOCS / "reference/reject-reasons.md")
    [section] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [str(each) for each in members]


@every_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    command: Any = typer.main.get_command(app)
    known = {name: {o for p in c.params for o in p.opts} for name, c in command.commands.items()}
    for line in re.findall(r"flow-pipeline ((?:[a-z]+|\[)[^`\n#]*)", text_of(page)):
        words = re.sub(r'"[^"]*"', "TEXT", line).split()
        if page.name == "commands.md" or words[0] in ("with", "and", "reads"):
            continue
        assert words[0] in known, line
        options = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        assert options <= known[words[0]] | {"--help"}, line


@every_page
def test_every_target_of_make_that_is_named_exists(page: Path) -> None:
    [targets] = re.findall(r"^\.PHONY: (.*)$", text_of(PROJECT_DIR / "Makefile"), re.MULTILINE)
    named = set(re.findall(r"^make ([a-z-]+)$|`make ([a-z-]+)", text_of(page), re.MULTILINE))
    assert {either for pair in named for either in pair if either} <= set(targets.split())


@every_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", text_of(page)))
    known = {
        node.name
        for path in (PROJECT_DIR / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, ast.FunctionDef)
    }
    assert named - known == set()


def test_modules_import_only_what_stands_above_them() -> None:
    text = text_of(DOCS / "explanation/architecture.md")
    [section] = re.findall(r"^## The modules\n(.*)", text, re.DOTALL | re.MULTILINE)
    order = re.findall(r"^\| `([\w.]+)` \|", section, re.MULTILINE)
    package = PROJECT_DIR / "flow_pipeline"
    paths = {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert sorted(order) == sorted(paths)
    for name, path in paths.items():
        above = set(order[: order.index(name)])
        assert imported_by(path) & paths.keys() <= above, name


def imported_by(path: Path) -> set[str]:
    """Modules of ours that a file imports, without the package's name; a package as its own."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("flow_pipeline"):
            module = (node.module or "").removeprefix("flow_pipeline").lstrip(".")
            found |= {module, *(f"{module}.{alias.name}".lstrip(".") for alias in node.names)}
    return found


def test_the_notice_names_every_file_of_data_that_comes_with_us() -> None:
    notice = text_of(PROJECT_DIR / "NOTICE")
    for attribution in PROJECT_DIR.glob("*/**/ATTRIBUTION.md"):
        if ".venv" in attribution.parts or "node_modules" in attribution.parts:
            continue
        assert name_of(attribution) in notice
        [file] = re.findall(r"^# (\S+)$", text_of(attribution), re.MULTILINE)
        assert name_of(attribution.with_name(file)) in notice
        assert attribution.with_name(file).is_file()


# --- questions and answers -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def empty_tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """Every table that the data dictionary has, without a row."""
    manifest = load_project().manifest
    nodes = [*manifest["sources"].values(), *manifest["nodes"].values()]
    with duckdb.connect(":memory:") as connection:
        for node in nodes:
            # A source without columns of its own is shown only while tables are built.
            is_public = node["resource_type"] in ("source", "model") and node["schema"] == "main"
            if is_public and node["columns"]:
                columns = node["columns"].values()
                typed = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in columns)
                connection.execute(f"create table {node['name']} ({typed})")
        yield connection


@every_page
def test_every_question_can_be_asked(
    page: Path, script: dict[str, Any], empty_tables: duckdb.DuckDBPyConnection
) -> None:
    for question in script["questions"](text_of(page)):
        empty_tables.execute(question)
    for quoted in re.findall(r'flow-pipeline sql [^"\n]*"([^"…\n]+)"', text_of(page)):
        empty_tables.execute(quoted)


def test_the_readme_has_its_questions(script: dict[str, Any]) -> None:
    assert len(script["questions"](text_of(README))) == 5


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_answers_and_picture_are_those_of_the_sample(
    script: dict[str, Any], tmp_path: Path
) -> None:
    output = script["run_sample"](tmp_path)
    lake = Lake.open_to_read(tmp_path / "sample" / "lake")
    with connect(lake) as connection:
        made = script["with_answers"](text_of(README), connection)
        before = connection.execute(
            "select mac, count(*) from fct_flows where is_new_flow and flow_time < "
            "(select min(flow_time) from fct_flows as own "
            "where own.mac = fct_flows.mac and direction = 'O') group by mac"
        ).fetchall()
    # The generator's own account of the story that the README tells.
    told = json.loads((tmp_path / "sample" / "sample.json").read_bytes())["machines"]
    assert dict(before) == {each["mac"]: each["probes_before_first_outbound"] for each in told}
    assert text_of(README) == made, "run scripts/build_docs.py --answers"
    picture = script["picture"](output)
    assert text_of(DOCS / "images/run.svg") == picture, "run scripts/build_docs.py --answers"
