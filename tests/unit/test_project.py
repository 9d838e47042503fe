"""The project's own files: what is tracked, what is pinned, what is explained."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# Where packages are downloaded from, and where people and machines keep their files.
FOREIGN = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com"
    r"|(?<![\w.~/:-])/(root|work|tmp|home/\w+|Users/\w+)/\w"
)


@pytest.fixture(scope="module")
def pyproject(project_dir: Path) -> dict[str, Any]:
    return tomllib.loads((project_dir / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def declared(pyproject: dict[str, Any]) -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for: to run, and to develop beside it."""
    return {
        "run": [Requirement(line) for line in pyproject["project"]["dependencies"]],
        "dev": [Requirement(line) for line in pyproject["dependency-groups"]["dev"]],
    }


@pytest.fixture(scope="module")
def lock(project_dir: Path) -> str:
    return (project_dir / "requirements.txt").read_text(encoding="utf-8")


def tracked_texts(project_dir: Path) -> Iterator[tuple[str, str]]:
    # A checkout that is mounted into a container belongs to another user there.
    git = ["git", "-c", f"safe.directory={project_dir}"]
    listing = subprocess.run(
        [*git, "ls-files", "-z"], cwd=project_dir, capture_output=True, check=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        path = project_dir / name
        if path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                yield name, content.decode("utf-8")


def locked_blocks(lock: str) -> list[str]:
    """Each requirement of the lock with the lines that belong to it."""
    return re.split(r"\n(?=[a-z0-9])", re.sub(r"\A(#.*\n)*", "", lock).rstrip())


# --- what is tracked -----------------------------------------------------------------------------


def test_no_tracked_file_names_a_download_host_or_a_place_on_one_machine(
    project_dir: Path,
) -> None:
    texts = dict(tracked_texts(project_dir))
    assert "requirements.txt" in texts
    found = [
        f"{name}: {match.group()}"
        for name, text in texts.items()
        for match in FOREIGN.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_foreign"),
    [
        ("--index-url https://" + "pypi" + ".org/simple", True),
        ("resolved: https://registry." + "npmjs" + ".org/azurite", True),
        ("see /" + "tmp/x", True),
        ("'/" + "home/ana/flows'", True),
        ("https://example.org/" + "home/ana", False),
        ("tests/tmp/x", False),
        ("the pypi package", False),
    ],
)
def test_the_pattern_of_foreign_places_finds_them(text: str, is_foreign: bool) -> None:
    assert (FOREIGN.search(text) is not None) == is_foreign


def test_nothing_that_is_made_is_tracked(project_dir: Path) -> None:
    made = re.compile(
        r"(^|/)(\.venv|node_modules|__pycache__|target|\.dagster)/|^(sample|lake)/|^\.env$"
    )
    assert [name for name, _ in tracked_texts(project_dir) if made.search(name)] == []


# --- packages ------------------------------------------------------------------------------------


def test_the_lock_has_hashes_and_names_no_place(lock: str) -> None:
    blocks = locked_blocks(lock)
    assert len(blocks) > 100
    for block in blocks:
        assert re.match(r"[a-z0-9._-]+==\S+( ; [^\\]+)? \\\n", block), block.splitlines()[0]
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in lock
    assert " @ " not in lock
    assert not re.search(r"^\s*-", lock.replace("    --hash=", ""), re.MULTILINE)


def test_the_lock_holds_what_is_declared(lock: str, declared: dict[str, list[Requirement]]) -> None:
    pins: dict[str, list[Version]] = {}
    for block in locked_blocks(lock):
        name, version = re.split("==|[ ;]", block)[:2]
        pins.setdefault(canonicalize_name(name), []).append(Version(version))
    for requirement in declared["run"] + declared["dev"]:
        versions = pins.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement.name} is not locked: make lock"
        for version in versions:
            assert version in requirement.specifier, f"{requirement}: {version} is locked"


@pytest.mark.parametrize(
    ("group", "file"),
    [("bench", "bench/requirements.txt"), ("torture", "tests/torture/requirements.txt")],
)
def test_what_one_target_needs_is_locked_beside_the_lock_and_not_in_it(
    group: str, file: str, lock: str, pyproject: dict[str, Any], project_dir: Path
) -> None:
    beside = (project_dir / file).read_text(encoding="utf-8")
    pins = dict(re.split("==|[ ;]", block)[:2] for block in locked_blocks(beside))
    for requirement in map(Requirement, pyproject["dependency-groups"][group]):
        assert pins[requirement.name] in requirement.specifier
        assert f"\n{requirement.name}==" not in lock
    assert all("--hash=sha256:" in block for block in locked_blocks(beside))
    assert "://" not in beside


def test_both_lines_of_duckdb_are_admitted(declared: dict[str, list[Requirement]]) -> None:
    [duckdb] = [requirement for requirement in declared["run"] if requirement.name == "duckdb"]
    assert all(Version(version) in duckdb.specifier for version in ("1.5.5", "2.0.0"))
    assert Version("3.0.0") not in duckdb.specifier


def test_every_package_that_is_imported_is_declared(
    project_dir: Path, pyproject: dict[str, Any], declared: dict[str, list[Requirement]]
) -> None:
    distributions = packages_distributions()
    extras = pyproject["project"]["optional-dependencies"].values()
    optional = [Requirement(line) for lines in extras for line in lines]
    names = {canonicalize_name(requirement.name) for requirement in declared["run"] + optional}
    undeclared: set[str] = set()
    for path in (project_dir / "flow_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                top = module.partition(".")[0]
                if top in sys.stdlib_module_names or top == "flow_pipeline":
                    continue
                owners = {canonicalize_name(owner) for owner in distributions.get(top, [])}
                if not owners & names:
                    undeclared.add(f"{path.name}: {module}")
    assert undeclared == set()


def test_the_package_has_a_version_and_a_licence(
    pyproject: dict[str, Any], project_dir: Path
) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pyproject["project"]["version"])
    assert pyproject["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (project_dir / "LICENSE").read_text(encoding="utf-8")


# --- what is explained ---------------------------------------------------------------------------


def test_make_explains_every_target(project_dir: Path) -> None:
    makefile = (project_dir / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    shown = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=project_dir,
        capture_output=True,
        check=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    ).stdout
    explained = re.findall(r"^  ([a-z-]+)  +\S", shown, re.MULTILINE)
    assert explained == phony.split()
    assert set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) == set(explained)


def test_the_changelog_has_a_place_for_what_comes(project_dir: Path) -> None:
    text = (project_dir / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"


def test_ci_runs_what_a_person_is_told_to_run(project_dir: Path) -> None:
    script = project_dir / ".ci/run"
    assert os.access(script, os.X_OK)
    commands = script.read_text(encoding="utf-8").splitlines()
    assert "set -euo pipefail" in commands
    assert "make check" in commands
    assert "make test" in commands
    # Browser tests that nobody runs would rot.
    assert ("make test-browser" in commands) == (project_dir / "tests/browser").is_dir()


# --- Dagster -------------------------------------------------------------------------------------


def test_the_code_location_has_one_name(project_dir: Path, pyproject: dict[str, Any]) -> None:
    workspace = yaml.safe_load((project_dir / "workspace.yaml").read_text(encoding="utf-8"))
    [location] = workspace["load_from"]
    project = pyproject["tool"]["dg"]["project"]
    assert location["python_module"]["location_name"] == project["code_location_name"]
    assert location["python_module"]["module_name"] == f"{project['root_module']}.definitions"
    assert (project_dir / project["root_module"] / "definitions.py").is_file()


@pytest.mark.integration
def test_dagster_takes_its_configuration_and_reports_to_nobody(
    project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster import DagsterInstance

    (tmp_path / "dagster.yaml").write_bytes((project_dir / "dagster.yaml").read_bytes())
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        queue = instance.get_concurrency_config().run_queue_config
        assert queue is not None
        assert queue.max_concurrent_runs == 2
