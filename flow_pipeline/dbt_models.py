"""The dbt project as the pipeline sees it: which models live in the lake, and what they rest on.

Belongs here: reading dbt's manifest, and making it anew when the project's files changed. What is
current and what has to be built belongs to `modelling`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, Literal

from flow_pipeline.errors import ModelError
from flow_pipeline.lake import replace_file
from flow_pipeline.settings import PROJECT_DIR

DBT_DIR = PROJECT_DIR / "dbt_project"
TARGET_DIR = DBT_DIR / "target"
_PACKAGE = "flow_pipeline"
_IGNORED = {"target", "logs"}

Grain = Literal["hour", "day"]


@dataclass(frozen=True)
class Conservation:
    """Totals that a staged file must share with a table that it is made of: ours -> theirs."""

    table: str
    totals: Mapping[str, str]


@dataclass(frozen=True)
class Carry:
    """What a table's hour is made of besides its parents: rows of its own hour before.

    dbt sees them as a source of this name, for a model cannot rest on itself: the rows of the
    nearest earlier hour for which `where` holds. The columns `without` tell of the hour before
    alone, and change nothing of the next.
    """

    source: str
    where: str
    without: tuple[str, ...]


@dataclass(frozen=True)
class LakeModel:
    """A model that is stored in the lake: one file for each hour or day.

    `parents` are the lake's tables that it is made of, found through views. `version` changes when
    its SQL, or the SQL of a view, seed or macro below it, does. `by_written`: its days are those of
    the written hours, not of the event hours. `columns`: names and SQL types, by its contract.
    """

    name: str
    unique_id: str
    grain: Grain
    by_written: bool
    parents: tuple[str, ...]
    version: str
    settings: tuple[str, ...]
    required: tuple[str, ...]
    unique: tuple[str, ...]
    order_by: tuple[str, ...]
    conserves: Conservation | None
    carries: Carry | None
    columns: Mapping[str, str]


@dataclass(frozen=True)
class DbtProject:
    """dbt's manifest and the models in it."""

    manifest: Mapping[str, Any]

    @cached_property
    def models(self) -> dict[str, LakeModel]:
        """The models that are stored in the lake, in an order in which they can be built."""
        found: dict[str, LakeModel] = {}
        waiting = [
            node
            for node in self.manifest["nodes"].values()
            if node["resource_type"] == "model" and node["config"]["materialized"] == "lake"
        ]
        stored = {node["name"] for node in waiting}
        while waiting:
            ready = [
                node
                for node in waiting
                if all(p in found or p not in stored for p in self._lake_parents(node))
            ]
            for node in sorted(ready, key=lambda node: node["name"]):
                found[node["name"]] = self._model(node)
                waiting.remove(node)
        return found

    @cached_property
    def views(self) -> dict[str, list[str]]:
        """The public views by name: the public tables and views, and the sources, that each shows.

        What stands between, such as a staging view, is looked through.
        """
        found = {
            node["name"]: sorted(self._shown_by(node))
            for node in self.manifest["nodes"].values()
            if _is_public(node) and node["config"]["materialized"] == "view"
        }
        return dict(sorted(found.items()))

    def _shown_by(self, node: Mapping[str, Any]) -> set[str]:
        found: set[str] = set()
        for unique_id in node["depends_on"]["nodes"]:
            source = self.manifest["sources"].get(unique_id)
            if source is not None:
                found.add(source["name"])
                continue
            parent = self.manifest["nodes"][unique_id]
            if _is_public(parent):
                found.add(parent["name"])
            elif parent["resource_type"] == "model":
                found |= self._shown_by(parent)
        return found

    def named(self, grain: Grain) -> list[LakeModel]:
        """The models of one grain."""
        return [model for model in self.models.values() if model.grain == grain]

    def selection(self, grain: Grain) -> list[str]:
        """What dbt builds for a grain: its models, the views that show them, and all below these.

        What lies below another table of the lake is left out, for it is of no use here.
        """
        names: dict[str, None] = {}
        for node in self.manifest["nodes"].values():
            if node["resource_type"] == "model" and self._grain_of(node) == grain:
                self._add_with_what_is_below(node, names)
        return list(names)

    def views_version(self, grain: Grain) -> str:
        """Changes when the SQL of a view that shows a grain's tables, or of one below it, does."""
        codes = [
            self._code(node)
            for _, node in sorted(self.manifest["nodes"].items())
            if node["resource_type"] == "model" and self._grain_of(node) == grain
        ]
        return _digest([codes, self._macros()])

    def _grain_of(self, node: Mapping[str, Any]) -> Grain | None:
        """The grain of a table, or of a view that nothing rests on: a day's, if it shows a day."""
        if node["config"]["materialized"] == "lake":
            return node["config"]["meta"]["lake"]["grain"]
        if node["unique_id"] in self._rested_on:
            return None
        shown = [self.models[name] for name in self._lake_parents(node) if name in self.models]
        return "day" if any(model.grain == "day" for model in shown) else "hour"

    @cached_property
    def _rested_on(self) -> set[str]:
        return {
            unique_id
            for node in self.manifest["nodes"].values()
            if node["resource_type"] in ("model", "seed")
            for unique_id in node["depends_on"].get("nodes", ())
        }

    def _add_with_what_is_below(self, node: Mapping[str, Any], names: dict[str, None]) -> None:
        names[node["name"]] = None
        for unique_id in node["depends_on"].get("nodes", ()):
            below = self.manifest["nodes"].get(unique_id)
            if below is not None and below["config"]["materialized"] != "lake":
                self._add_with_what_is_below(below, names)

    def _model(self, node: Mapping[str, Any]) -> LakeModel:
        lake = node["config"]["meta"]["lake"]
        conserves, carries = lake.get("conserves"), lake.get("carries")
        return LakeModel(
            name=node["name"],
            unique_id=node["unique_id"],
            grain=lake["grain"],
            by_written=lake.get("by_written", False),
            parents=tuple(sorted(self._lake_parents(node))),
            version=self._version(node),
            settings=tuple(lake.get("settings", ())),
            required=tuple(
                name
                for name, column in node["columns"].items()
                if any(each["type"] == "not_null" for each in column["constraints"])
            ),
            unique=tuple(lake["unique"]),
            order_by=tuple(lake["order_by"]),
            conserves=Conservation(conserves["from"], conserves["totals"]) if conserves else None,
            carries=Carry(carries["source"], carries["where"], tuple(carries["without"]))
            if carries
            else None,
            columns={name: column["data_type"] for name, column in node["columns"].items()},
        )

    def _lake_parents(self, node: Mapping[str, Any]) -> set[str]:
        parents: set[str] = set()
        for unique_id in node["depends_on"]["nodes"]:
            if unique_id in self.manifest["sources"]:
                parents.add(self.manifest["sources"][unique_id]["name"])
                continue
            parent = self.manifest["nodes"][unique_id]
            if parent["config"]["materialized"] == "lake":
                parents.add(parent["name"])
            elif parent["resource_type"] == "model":
                parents |= self._lake_parents(parent)
        return parents

    def _version(self, node: Mapping[str, Any]) -> str:
        return _digest([self._code(node), node["config"]["meta"]["lake"], self._macros()])

    def _macros(self) -> list[tuple[str, str]]:
        return sorted(
            (unique_id, macro["macro_sql"])
            for unique_id, macro in self.manifest["macros"].items()
            if macro["package_name"] == _PACKAGE
        )

    def _code(self, node: Mapping[str, Any]) -> list[object]:
        """The node's own code, and that of the views and seeds below it."""
        below: list[object] = []
        for unique_id in sorted(node["depends_on"].get("nodes", ())):
            parent = self.manifest["nodes"].get(unique_id)
            if parent is not None and parent["config"]["materialized"] != "lake":
                below.append(self._code(parent))
        return [node["name"], node["checksum"]["checksum"], *below]


def _is_public(node: Mapping[str, Any]) -> bool:
    return node["resource_type"] == "model" and node["schema"] == "main"


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_project() -> DbtProject:
    """The project as its files stand now; dbt reads them again only if one of them changed.

    Raises ModelError if dbt cannot.
    """
    wanted = _fingerprint()
    recorded = TARGET_DIR / "fingerprint"
    manifest = TARGET_DIR / "manifest.json"
    if not (manifest.is_file() and recorded.is_file() and recorded.read_text() == wanted):
        # From nothing: two that parse at once, or a change of a model's tests, can leave dbt's own
        # record of what it parsed before in a state in which it finds each test twice.
        _invoke(None, "parse", "--no-partial-parse")
        replace_file(recorded, wanted.encode())
    return DbtProject(json.loads(manifest.read_bytes()))


def load_manifest_of_this_call() -> DbtProject:
    """The manifest as the dbt that is running now has just written it."""
    from dbt.flags import get_flags

    # Whoever starts dbt by hand may have it write elsewhere.
    target = DBT_DIR / (get_flags().TARGET_PATH or TARGET_DIR)
    return DbtProject(json.loads((target / "manifest.json").read_bytes()))


def build(*arguments: str) -> Any:
    """`dbt build` in this process, on the manifest that `load_project` saw; returns its result.

    A model or test that failed is for the caller to see in the result. Raises ModelError with
    dbt's own words if it could not run.
    """
    from dbt.contracts.graph.manifest import Manifest

    # Parsing again, and writing what nobody reads, would take longer than building an hour.
    manifest = Manifest.from_msgpack((TARGET_DIR / "partial_parse.msgpack").read_bytes())
    manifest.build_flat_graph()
    return _invoke(manifest, "build", *arguments, "--no-write-json")


def _invoke(manifest: Any, *arguments: str) -> Any:
    from dbt.cli.main import dbtRunner  # its import takes most of a second

    def invoke() -> Any:
        return dbtRunner(manifest=manifest).invoke(
            [
                *arguments,
                "--project-dir",
                str(DBT_DIR),
                "--profiles-dir",
                str(DBT_DIR),
                "--target-path",
                str(TARGET_DIR),
                "--quiet",
                "--log-level",
                "none",
                "--no-use-colors",
            ]
        )

    # dbt reads the source of every function that called it, of which a thread of its own has few.
    with _quiet_environment(), ThreadPoolExecutor(max_workers=1) as thread:
        outcome = thread.submit(invoke).result()
    if outcome.exception is not None:
        raise ModelError(
            f"dbt {arguments[0]} could not run: {outcome.exception}",
            "A dbt project that dbt can read",
            "Correct what dbt names; `dbt parse --project-dir dbt_project` says more",
        )
    return outcome.result


@contextmanager
def _quiet_environment() -> Any:
    # dbt loads its tracking before it reads the project's flags.
    before = os.environ.get("DBT_SEND_ANONYMOUS_USAGE_STATS")
    os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"]
        else:
            os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = before


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')}".encode())
    for path in sorted(DBT_DIR.rglob("*")):
        relative = path.relative_to(DBT_DIR)
        if path.is_file() and relative.parts[0] not in _IGNORED and path.name[0] != ".":
            digest.update(f"{relative.as_posix()}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
