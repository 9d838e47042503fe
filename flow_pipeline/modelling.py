"""Modelling: which derived files are not current, and building just these with dbt.

Belongs here: what an hour or a day is made of today, staging it from a model's SQL, checking the
staged file, committing it. What a table means is SQL in the dbt project; how files change belongs
to `lake`.

A derived file carries the id of its inputs in its footer. It is current if and only if that id is
the one that its inputs have now; nothing else is asked.
"""

from __future__ import annotations

import hashlib
import tempfile
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipeline.address_lookup import IP_LOOKUP, landing_ids
from flow_pipeline.dbt_models import Carry, DbtProject, Grain, LakeModel, build
from flow_pipeline.errors import LakeBusy, LakeError, ModelError
from flow_pipeline.lake import (
    ATTEMPTS,
    CommitRefused,
    Lake,
    LakeFile,
    Snapshot,
    TableSpec,
    attempts,
    footer_bytes,
    read_footer,
)
from flow_pipeline.lake_views import (
    arrow_type,
    landed_views,
    list_literal,
    literal,
    model_views_version,
    quoted,
    record_model_views,
    table_select,
)
from flow_pipeline.landed_file import LANDED_TUPLES, Landing, read_landing
from flow_pipeline.online_times import read_online_times
from flow_pipeline.partitions import (
    DAY,
    HOUR,
    Partition,
    day_partition,
    day_start,
    floor_hour,
    hour_partition,
    hours_of,
    partition_day,
    partition_hour,
    settled_at,
    written_day_partition,
    written_partition,
)
from flow_pipeline.setting_views import setting_views
from flow_pipeline.settings import Settings
from flow_pipeline.threat_history import THREAT_ENTRIES

When = datetime | date
_ROW_GROUP_ROWS = 30_720
_SOURCES = (LANDED_TUPLES, IP_LOOKUP, THREAT_ENTRIES)
# The sources of dbt that are views of landed files.
_OF_LANDINGS = frozenset(landed_views(None))
_SETTING_NAMES = {
    "top_n": "FLOW_TOP_N",
    "top_excluded_ports": "FLOW_TOP_EXCLUDED_PORTS",
    "online_times": "FLOW_ONLINE_TIMES",
    "session_timeout": "FLOW_SESSION_TIMEOUT",
}
_PARTITION_TYPES = {"date": pa.date32(), "written_date": pa.date32(), "hour": pa.int32()}


@dataclass(frozen=True)
class Inputs:
    """What one derived file is made of today: its id, the files to read, and SQL variables."""

    id: str
    made_of: Mapping[str, Any]
    files: Mapping[str, tuple[Path, ...]]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class HandedOn:
    """What one hour of a table hands on to the next: digests of the rows, none for no rows.

    `before` is what had been handed to the hour when its file was made.
    """

    path: Path
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class BuiltPartition:
    """A derived partition after a run. `changed`: it was built, not found current."""

    when: When
    rows: int
    size: int
    changed: bool


@dataclass(frozen=True)
class TestOutcome:
    """What a dbt test found."""

    unique_id: str
    status: str
    failures: int
    message: str

    @property
    def passed(self) -> bool:
        """Whether nothing was found; a warning is something."""
        return self.status == "pass"


class FileCheck(StrEnum):
    """What a staged file is checked for before it is committed."""

    COLUMNS_EXACT = "columns_exact"
    REQUIRED_FILLED = "required_columns_filled"
    GRAIN_UNIQUE = "grain_unique"
    TOTALS_CONSERVED = "totals_conserved"


@dataclass(frozen=True)
class ModelledRange:
    """What bringing some hours or days up to date came to; the last two are for a user to read."""

    partitions: Mapping[str, tuple[BuiltPartition, ...]]
    tests: tuple[TestOutcome, ...]
    failed_checks: Mapping[tuple[str, FileCheck], str]
    unbuilt: tuple[str, ...]
    failed_tests: tuple[str, ...]


class Planner:
    """What each derived file is made of today. `refresh()` looks at the lake again.

    `look_up` looks up the addresses of written hours, where another run has landed and not done so.
    """

    def __init__(
        self,
        lake: Lake,
        project: DbtProject,
        settings: Settings,
        look_up: Callable[[list[datetime]], object] | None = None,
    ) -> None:
        self.lake = lake
        self.project = project
        self._look_up = look_up
        self._settings = {
            "top_n": str(settings.top_n),
            "top_excluded_ports": "cast(["
            + ", ".join(str(port) for port in sorted(settings.top_excluded_ports))
            + "] as integer[])",
            "session_timeout": str(settings.session_timeout),
        }
        self._all_settings = settings
        path = settings.online_times
        self._online_times = read_online_times(path) if path is not None else {}
        # Files never change, so what their footers say is read once.
        self._landings: dict[Path, Landing] = {}
        self._footers: dict[Path, Mapping[str, Any]] = {}
        self._snapshots: dict[str, Snapshot | None] = {}
        self._current: dict[tuple[str, When], BuiltPartition | None] = {}
        # Of tables that rest on their own hours before: the hours that have a file, and what this
        # run has built of them since it looked at the lake.
        self._hours: dict[str, list[datetime]] = {}
        self._handed_on: dict[tuple[str, datetime], HandedOn] = {}
        self.refresh()

    @cached_property
    def setting_views(self) -> Mapping[str, str]:
        """What the settings say, as views; made when they are asked for."""
        return setting_views(self._all_settings)

    def refresh(self) -> None:
        """Look at the newest snapshots: what is made before what it is made of.

        So a file that somebody replaces while we read its inputs is seen as replaced when we
        commit, and an older result never covers a newer one.
        """
        names = [*reversed(self.project.models), IP_LOOKUP.name, LANDED_TUPLES.name]
        self._snapshots = {name: self.lake.snapshot(name) for name in names}
        self._forget()
        self.__dict__.pop("_landings_by_hour", None)

    def refresh_for(self, whens: Iterable[When]) -> None:
        """Refresh, until every flow of some event hours has its addresses looked up.

        Raises LakeBusy if other runs land faster than that.
        """
        hours = [when for when in whens if isinstance(when, datetime)]
        missing: list[datetime] = []
        for _ in range(ATTEMPTS):
            self.refresh()
            if self._look_up is None or not (missing := self._not_looked_up(hours)):
                return
            self._look_up(missing)
        raise LakeBusy(
            f"The written hours {', '.join(map(str, missing))} were landed anew {ATTEMPTS} times",
            "One run at a time for the same hours, or a few",
            "Run again when the others have ended",
        )

    def look_again_at(self, name: str) -> None:
        """Take the newest snapshot of one table that this run has written; all else stays."""
        self._snapshots[name] = self.lake.snapshot(name)
        self._forget()

    def _forget(self) -> None:
        """Forget what was found in snapshots that are not the newest any more."""
        self._current.clear()
        self._hours.clear()
        self._handed_on.clear()

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot of a table as of the last refresh."""
        return self._snapshots[name]

    def event_hours(self, written: Iterable[datetime]) -> set[datetime]:
        """The hours in which flows of some written hours happened, or were once said to have."""
        return {
            hour
            for written_hour in written
            for landing in self.landings_of(written_hour)
            for hour in landing.manifest.touched_hours
        }

    def all_event_hours(self) -> set[datetime]:
        """The written hours that were landed, and the hours in which their flows happened."""
        written = self.landed_hours()
        return {*written, *self.event_hours(written)}

    def landed_hours(self) -> list[datetime]:
        """The written hours that were looked at so far."""
        landed = self._snapshots[LANDED_TUPLES.name]
        return sorted(map(partition_hour, landed.by_partition)) if landed else []

    def lookup_id_of(self, hour: datetime) -> str | None:
        """The id of a written hour's look-up as it lies in the lake; None if there is none."""
        file = self.lookup_of(hour)
        return self._id(file.path) if file else None

    def lookup_of(self, hour: datetime) -> LakeFile | None:
        """A written hour's look-up as it lies in the lake."""
        snapshot = self._snapshots[IP_LOOKUP.name]
        files = snapshot.files_of(written_partition(hour)) if snapshot else ()
        return files[0] if len(files) == 1 else None

    def _not_looked_up(self, hours: Iterable[datetime]) -> list[datetime]:
        """The written hours with flows of some event hours that have no look-up of their own."""
        missing: set[datetime] = set()
        for written in {w for hour in hours for w in self._landings_by_hour.get(hour, ())}:
            snapshot = self._snapshots[IP_LOOKUP.name]
            files = snapshot.files_of(written_partition(written)) if snapshot else ()
            made_of = self._footer(files[0].path)["landings"] if len(files) == 1 else []
            # Look-ups of before they named their landings are trusted.
            if made_of is not None and made_of != landing_ids(self.landings_of(written)):
                missing.add(written)
        return sorted(missing)

    def all_days(self) -> set[date]:
        """The days that have any event hour in the lake."""
        return {hour.date() for hour in self.all_event_hours()}

    def complete_through(self, day: date) -> datetime | None:
        """The end of the unbroken complete hours since a day began; None if there are none.

        Of those that are built: what was landed and is not in the tables of hours yet is in no day.
        """
        hour = start = day_start(day)
        while hour < start + DAY and self.is_complete(hour) and self.is_current("hour", hour):
            hour += HOUR
        return hour if hour > start else None

    def is_complete(self, hour: datetime) -> bool:
        """Whether every source was listed for this written hour and the next after both settled."""
        first, second = self.landings_of(hour), self.landings_of(hour + HOUR)
        if not (first and second):
            return False
        sources = {
            name
            for landings in (first, second)
            for name in max(landings, key=lambda it: it.manifest.listed_at).manifest.sources
        }
        return all(
            {
                landing.manifest.source
                for landing in landings
                if landing.manifest.listed_at >= settled_at(hour)
            }
            >= sources
            for landings in (first, second)
        )

    def inputs(self, model: LakeModel, when: When) -> Inputs:
        """What a model's file for an hour or a day should be made of today."""
        files: dict[str, tuple[Path, ...]] = {}
        made_of: dict[str, Any] = {"version": model.version}
        variables: dict[str, str] = {}
        # Which landings a day has is asked only where something is made of them.
        is_of_landings = model.grain == "hour" or _OF_LANDINGS.intersection(model.parents)
        landings = self._landings_for(when) if is_of_landings else []
        for parent in model.parents:
            if model.carries is not None and parent == model.carries.source:
                before = self._handed_to(model, when)
                files[parent] = (before.path,) if before else ()
                made_of[parent] = list(before.after) if before else []
                continue
            if parent in _OF_LANDINGS:
                files[LANDED_TUPLES.name] = tuple(landing.file.path for landing in landings)
                made_of[parent] = sorted(landing.manifest.landing_id for landing in landings)
                continue
            snapshot = self._snapshots[parent]
            partitions = _parent_partitions(parent, self.project, when, landings)
            found = [f for p in partitions if snapshot for f in snapshot.files_of(p)]
            files[parent] = tuple(file.path for file in found)
            made_of[parent] = sorted(self._id(file.path) for file in found)
        for name in model.settings:
            if name == "complete_through":
                assert not isinstance(when, datetime), "only days are complete through an hour"
                through = self.complete_through(when)
                variables[name] = f"timestamp '{through:%Y-%m-%d %H:%M:%S}'" if through else "null"
            elif name == "online_times":
                assert not isinstance(when, datetime), "only days know who was online by their end"
                variables[name] = self._online_by(day_start(when) + DAY)
            elif name == "event_hour":
                variables[name] = f"timestamp '{when:%Y-%m-%d %H:%M:%S}'"
            else:
                variables[name] = self._settings[name]
        made_of["settings"] = variables
        inputs_id = hashlib.sha256(footer_bytes(made_of)).hexdigest()[:32]
        return Inputs(inputs_id, made_of, files, variables)

    def _online_by(self, end: datetime) -> str:
        """The machines that were online before a moment; later ones change nothing of a day."""
        entries = [
            f"{{'nic': {literal(nic)}, 'online_at': timestamp {literal(str(time))}}}"
            for nic, time in sorted(self._online_times.items())
            if time < end
        ]
        return f"[{', '.join(entries)}]"

    def _handed_to(self, model: LakeModel, when: When) -> HandedOn | None:
        """What the nearest earlier hour of the same table that has a file hands on to an hour."""
        assert isinstance(when, datetime), "only hours are handed on"
        hours = self._hours_of(model)
        place = bisect_left(hours, when)
        return self._handed_on_by(model, hours[place - 1]) if place else None

    def overtaken_after(self, model: LakeModel, when: When) -> datetime | None:
        """The next hour that has a file, if that was made of something else than is handed on now.

        None, too, of a table that does not rest on its own hours.
        """
        if model.carries is None:
            return None
        assert isinstance(when, datetime), "only hours are handed on"
        hours = self._hours_of(model)
        place = bisect_right(hours, when)
        if place == len(hours):
            return None
        before = self._handed_to(model, hours[place])
        was = self._handed_on_by(model, hours[place]).before
        return hours[place] if was != (before.after if before else ()) else None

    def record_built(self, model: LakeModel, when: When, handed_on: HandedOn) -> None:
        """Take note of an hour that this run has just committed, for the next to go on from."""
        assert isinstance(when, datetime), "only hours are handed on"
        hours = self._hours_of(model)
        place = bisect_left(hours, when)
        if place == len(hours) or hours[place] != when:
            insort(hours, when)
        self._handed_on[model.name, when] = handed_on
        self._current.pop((model.name, when), None)
        if place + 1 < len(hours):
            self._current.pop((model.name, hours[place + 1]), None)

    def _hours_of(self, model: LakeModel) -> list[datetime]:
        if model.name not in self._hours:
            snapshot = self._snapshots[model.name]
            partitions = snapshot.by_partition if snapshot else ()
            self._hours[model.name] = sorted(map(partition_hour, partitions))
        return self._hours[model.name]

    def _handed_on_by(self, model: LakeModel, hour: datetime) -> HandedOn:
        key = model.name, hour
        if key not in self._handed_on:
            snapshot = self._snapshots[model.name]
            assert snapshot is not None, "it has hours"
            path = snapshot.files_of(hour_partition(hour))[0].path
            footer = self._footer(path)
            self._handed_on[key] = HandedOn(path, footer["before"], footer["after"])
        return self._handed_on[key]

    def current_file(self, model: LakeModel, when: When) -> BuiltPartition | None:
        """The partition as it lies in the lake, if it is current."""
        key = model.name, when
        if key not in self._current:
            self._current[key] = self._find_current(model, when)
        return self._current[key]

    def _find_current(self, model: LakeModel, when: When) -> BuiltPartition | None:
        snapshot = self._snapshots[model.name]
        files = snapshot.files_of(_partition(model, when)) if snapshot else ()
        if len(files) != 1 or self._id(files[0].path) != self.inputs(model, when).id:
            return None
        return BuiltPartition(when, files[0].rows, files[0].size, changed=False)

    def is_current(self, grain: Grain, when: When) -> bool:
        """Whether the files that all models have of an hour or a day are current."""
        return all(self.current_file(it, when) is not None for it in self.project.named(grain))

    def not_current(self, grain: Grain, whens: Iterable[When]) -> list[When]:
        """Which of some hours or days have a model whose file is not current."""
        return sorted(when for when in set(whens) if not self.is_current(grain, when))

    def why_not_current(self, model: LakeModel, when: When) -> str | None:
        """In words, why a model's file of an hour or a day is not current; None if it is.

        The file's footer says what it was made of, which is held against what it should be.
        """
        if self.current_file(model, when) is not None:
            return None
        snapshot = self._snapshots[model.name]
        files = snapshot.files_of(_partition(model, when)) if snapshot else ()
        if len(files) != 1:
            return f"{len(files)} files, where one is written" if files else "never built"
        [file] = files
        old, new = file.footer().get("made_of", {}), self.inputs(model, when).made_of
        reasons = ["its SQL has changed"] if old.get("version") != new["version"] else []
        settings = old.get("settings", {})
        reasons += [
            f"{_SETTING_NAMES.get(name, name)} was {settings.get(name, 'not set')}, is {value}"
            for name, value in new["settings"].items()
            if settings.get(name) != value
        ]
        for parent in model.parents:
            known = set(old.get(parent, ()))
            changed = [
                where for where, its_id in self._inputs_of(parent, when) if its_id not in known
            ]
            reasons += [f"{where} is newer" for where in changed]
            if not changed and known - set(new[parent]):
                reasons.append(f"some of {parent} that it was made of is not there any more")
        # Two sources of dbt can be views of the same landings.
        return "; ".join(dict.fromkeys(reasons)) or "made of the same, by another version"

    def known_to(self, model: LakeModel, since: datetime) -> list[When]:
        """The hours or days since a moment that a table should have: those that flows are in.

        Of a table of written days those that were landed. And those that it has, for an hour
        without flows that was asked for is a file, too.
        """
        snapshot = self._snapshots[model.name]
        written = [hour for hour in self.landed_hours() if hour >= since]
        found = written if model.by_written else self.event_hours(written)
        hours = {hour for hour in found if hour >= since}
        partitions = snapshot.by_partition if snapshot else ()
        if model.grain == "hour":
            hours.update(hour for hour in map(partition_hour, partitions) if hour >= since)
            return sorted(hours)
        days = {hour.date() for hour in hours}
        days.update(day for day in map(partition_day, partitions) if day_start(day) >= since)
        return sorted(days)

    def _inputs_of(self, parent: str, when: When) -> Iterator[tuple[str, str]]:
        """What a parent gives to an hour or a day: each part in words, with its id."""
        model = self._carrying.get(parent)
        if model is not None:
            before = self._handed_to(model, when)
            for digest in before.after if before else ():
                yield f"what was open before ({parent})", digest
            return
        if parent in _OF_LANDINGS:
            for landing in self._landings_for(when):
                manifest = landing.manifest
                hour = f"{manifest.written_hour:%Y-%m-%dT%H}"
                yield f"the landing of {hour} from {manifest.source}", manifest.landing_id
            return
        snapshot = self._snapshots[parent]
        for partition in _parent_partitions(parent, self.project, when, self._landings_for(when)):
            for file in snapshot.files_of(partition) if snapshot else ():
                yield f"{parent} {partition.path}", self._id(file.path)

    def _landings_for(self, when: When) -> list[Landing]:
        """The landings with flows of an event hour, or those of the written hours of a day."""
        if isinstance(when, datetime):
            return self._with_flows_of(when)
        return [landing for hour in hours_of(when) for landing in self.landings_of(hour)]

    def _id(self, path: Path) -> str:
        return self._footer(path)["id"]

    def _footer(self, path: Path) -> Mapping[str, Any]:
        if path not in self._footers:
            # What else it was made of would be a burden for the files of a year.
            footer = read_footer(path)
            kept: dict[str, Any] = {key: footer.get(key) for key in ("id", "landings")}
            carry = self._carrying_by_name.get(path.relative_to(self.lake.root).parts[0])
            if carry is not None:
                kept["before"] = tuple(footer["made_of"][carry.source])
                kept["after"] = tuple(footer["hands_on"])
            self._footers[path] = kept
        return self._footers[path]

    @cached_property
    def _carrying(self) -> dict[str, LakeModel]:
        """The models that rest on their own hours before, by the source that shows these."""
        return {
            model.carries.source: model for model in self.project.models.values() if model.carries
        }

    @cached_property
    def _carrying_by_name(self) -> dict[str, Carry]:
        return {
            model.name: model.carries for model in self.project.models.values() if model.carries
        }

    def landings_of(self, hour: datetime) -> list[Landing]:
        """What was landed of a written hour, one for each source."""
        landed = self._snapshots[LANDED_TUPLES.name]
        if landed is None:
            return []
        found = []
        for file in landed.files_of(written_partition(hour)):
            if file.path not in self._landings:
                self._landings[file.path] = read_landing(file)
            found.append(self._landings[file.path])
        return found

    def _with_flows_of(self, hour: datetime) -> list[Landing]:
        return [
            landing
            for written in self._landings_by_hour.get(hour, ())
            for landing in self.landings_of(written)
            if hour in landing.manifest.event_hours
        ]

    @cached_property
    def _landings_by_hour(self) -> dict[datetime, list[datetime]]:
        """Written hours that may hold flows of an event hour, by the files' own statistics.

        The log has lowest and highest flow times, so that no footer is read to find candidates.
        """
        found: dict[datetime, set[datetime]] = {}
        landed = self._snapshots[LANDED_TUPLES.name]
        for file, lowest, highest in landed.bounds("flow_time") if landed else ():
            written = partition_hour(file.partition)
            hour = floor_hour(lowest)
            if highest - lowest > DAY:
                hours: Iterable[datetime] = read_landing(file).manifest.event_hours
            else:
                hours = [hour + n * HOUR for n in range(int((highest - hour) / HOUR) + 1)]
            for each in hours:
                found.setdefault(each, set()).add(written)
        return {hour: sorted(written) for hour, written in found.items()}


class ModelRun:
    """One call of dbt: the partitions it may build, and what became of them.

    dbt's plugin finds the run in `current` and asks it for views, variables and files.
    """

    current: ModelRun | None = None

    def __init__(
        self,
        planner: Planner,
        whens: Mapping[Grain, Sequence[When]],
        on_built: Callable[[str, When], None],
    ) -> None:
        self.planner = planner
        self.whens = whens
        self.built: dict[str, list[BuiltPartition]] = {}
        self.views: list[tuple[str, str, str]] = []
        self.failed_checks: dict[tuple[str, FileCheck], str] = {}
        self._on_built = on_built
        self._empty_dir = tempfile.TemporaryDirectory(prefix="flow-pipeline-")
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._specs: dict[str, TableSpec] = {spec.name: spec for spec in _SOURCES}
        self._carries: dict[str, Carry] = {}
        for model in planner.project.models.values():
            if model.carries is not None:
                # Such a table may have no file yet: its contract says what its rows will look like.
                fields = [pa.field(name, arrow_type(kind)) for name, kind in model.columns.items()]
                spec = TableSpec(model.carries.source, pa.schema(fields), _partition_columns(model))
                self._specs[model.carries.source] = spec
                self._carries[model.carries.source] = model.carries
        self.visible: dict[str, tuple[Path, ...]] = {}
        self._visible_to_tests: dict[str, Mapping[str, tuple[Path, ...]]] = {}
        self._shown: tuple[Grain, Sequence[When]] | None = None

    def show(self, grain: Grain, whens: Sequence[When]) -> None:
        """Let views and tests see what some hours or days are made of, and what is built of them.

        Where nothing was shown, as in a dbt that was started by hand, they see the whole lake.
        """
        self._shown = (grain, whens)
        seen: dict[str, dict[Path, None]] = {}
        for model in self.planner.project.named(grain):
            for when in whens:
                for name, paths in self.planner.inputs(model, when).files.items():
                    seen.setdefault(name, {}).update(dict.fromkeys(paths))
            if model.name in self.built:
                files = self._standing_files(model, whens)
                seen[model.name] = dict.fromkeys(files.values())
        self.visible.update({name: tuple(paths) for name, paths in seen.items()})

    def close(self) -> None:
        """Remove what the run kept beside the lake."""
        self._connection = None
        self._empty_dir.cleanup()

    def join(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make views over the lake on dbt's connection; what they show is set by variables.

        dbt keeps its connection from one call in a process to the next, a run is of one call.
        """
        if self._connection is connection:
            return
        self._connection = connection
        # An hour is too small to gain from more threads, which take a third more memory for it.
        connection.execute("set threads = 1")
        for name in self.planner.project.models:
            snapshot = self.planner.snapshot(name)
            if snapshot is not None:
                self._specs[name] = snapshot.spec
        self.set_variables(connection)
        for name in self._specs:
            self._create_view(connection, name)
        files = _variable(LANDED_TUPLES.name)
        for name, query in {**landed_views(files), **self.planner.setting_views}.items():
            connection.execute(f"create or replace view {quoted(name)} as {query}")

    def set_variables(self, cursor: duckdb.DuckDBPyConnection, node_id: str = "") -> None:
        """Show what this run has to do with: its inputs, and what it has built so far.

        A test of a model (`node_id` is dbt's id of it) sees what that model was made of, though
        a later one was made of what another run has brought meanwhile.
        """
        node = self.planner.project.manifest["nodes"].get(node_id, {})
        visible = self._visible_to_tests.get(node.get("attached_node"), self.visible)
        for name in self._specs:
            self._set_files(cursor, name, visible.get(name, ()))

    def build(self, name: str, query: str) -> None:
        """Build a model's partitions that are not current, each in one commit.

        Raises ModelError if a staged file fails a check, LakeBusy if other writers won every time.
        """
        assert self._connection is not None, "dbt opens the connection before it builds"
        model = self.planner.project.models[name]
        done: dict[When, BuiltPartition] = {}
        paths: dict[When, Path] = {}
        cursor = self._connection.cursor()
        self.set_variables(cursor)
        self._ensure_table(cursor, model, query)
        # All models of a run are made of one state of their inputs, which is also what their tests
        # see, though other runs write meanwhile: so all is looked at again only if one of them won.
        refused = False
        if self.planner.snapshot(name) is None:
            self.planner.look_again_at(name)
            # The table is new. What somebody has put there already may be newer than our inputs.
            refused = bool(self._standing_files(model, self.whens[model.grain]))
        for _ in attempts():
            if refused:
                self.planner.refresh_for(self.whens["hour"])
                if self._shown is not None:
                    self.show(*self._shown)
            refused = False
            committed = 0
            for when in self._whens_of(model):
                standing = self.planner.current_file(model, when)
                try:
                    built = standing or self._build_one(cursor, model, when, query, paths)
                except CommitRefused:
                    refused = True
                    continue
                if standing is None:
                    committed += 1
                else:
                    paths.update(self._standing_files(model, [when]))
                if when not in done:
                    self._on_built(name, when)
                # What this run built stays its own, found current when all was looked at again.
                if when not in done or built.changed:
                    done[when] = built
            # An hour that another run has built meanwhile is no reason to refuse ours, though ours
            # rests on it: whoever commits last has to look again.
            refused = refused or (
                model.carries is not None and committed > 0 and self._is_behind(model, committed)
            )
            if not refused:
                break
        else:
            raise LakeBusy(
                f"{name} was changed by other runs {ATTEMPTS} times",
                "One run at a time for the same hours, or a few",
                "Run again when the others have ended",
            )
        self.built[name] = [done[when] for when in sorted(done)]
        self.planner.look_again_at(name)
        shown = paths if self._shown is None or model.carries else self._shown[1]
        ours = {when: paths[when] for when in shown if when in paths}
        replaced = {path.parent for path in ours.values()}
        others = (path for path in self.visible.get(name, ()) if path.parent not in replaced)
        self.visible[name] = (*others, *ours.values())
        self._visible_to_tests[model.unique_id] = dict(self.visible)
        self._create_view(self._connection, name)

    def _whens_of(self, model: LakeModel) -> Iterator[When]:
        """The hours or days to look at, in order; each is asked for when that before is built.

        Of a table that rests on its own hours before, the later hours that were made of something
        else, too, until one is met that was not.
        """
        asked = self.whens[model.grain]
        for when in asked:
            yield when
            after = self.planner.overtaken_after(model, when)
            while after is not None and after not in asked:
                yield after
                after = self.planner.overtaken_after(model, after)

    def _is_behind(self, model: LakeModel, committed: int) -> bool:
        """Whether a table has commits that are neither ours nor in our snapshot."""
        snapshot = self.planner.snapshot(model.name)
        assert snapshot is not None, f"{model.name} was ensured"
        return self.planner.lake.version(model.name) != snapshot.version + committed

    def _build_one(
        self,
        cursor: duckdb.DuckDBPyConnection,
        model: LakeModel,
        when: When,
        query: str,
        paths: dict[When, Path],
    ) -> BuiltPartition:
        snapshot = self.planner.snapshot(model.name)
        assert snapshot is not None, f"{model.name} was ensured"
        inputs = self.planner.inputs(model, when)
        partition = _partition(model, when)
        path = snapshot.stage(partition)
        for parent, files in inputs.files.items():
            self._set_files(cursor, parent, files)
        for variable, value in inputs.variables.items():
            cursor.execute(f"set variable {variable} = {value}")
        excluded = ", ".join(quoted(name) for name in snapshot.spec.partition_by)
        rows_of_it = f"from ({query}) where {_predicate(partition)}"
        recorded: dict[str, Any] = {"id": inputs.id, "made_of": inputs.made_of}
        try:
            if model.carries is not None:
                # What is handed on has to be known before the footer can be written.
                cursor.execute(f"create or replace temp table staged_rows as select * {rows_of_it}")
                rows_of_it = "from staged_rows"
                recorded["hands_on"] = _digests(cursor, model.carries, snapshot.spec.partition_by)
            footer = footer_bytes(recorded).decode()
            cursor.execute(
                f"copy (select * exclude ({excluded}) {rows_of_it} "
                f"order by {', '.join(model.order_by)}) to {literal(path)} (format parquet, "
                f"compression zstd, row_group_size {_ROW_GROUP_ROWS}, "
                f"kv_metadata {{flow_pipeline: {literal(footer)}}})"
            )
            rows = self._check(cursor, model, snapshot, partition, path)
            size = path.stat().st_size
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        snapshot.commit(partition, [path], snapshot.files_of(partition))
        if model.carries is not None:
            before = tuple(inputs.made_of[model.carries.source])
            handed_on = HandedOn(path, before, tuple(recorded["hands_on"]))
            self.planner.record_built(model, when, handed_on)
        paths[when] = path
        return BuiltPartition(when, rows, size, changed=True)

    def _standing_files(self, model: LakeModel, whens: Iterable[When]) -> dict[When, Path]:
        snapshot = self.planner.snapshot(model.name)
        return {
            when: file.path
            for when in whens
            for file in (snapshot.files_of(_partition(model, when)) if snapshot else ())
        }

    def _check(
        self,
        cursor: duckdb.DuckDBPyConnection,
        model: LakeModel,
        snapshot: Snapshot,
        partition: Partition,
        path: Path,
    ) -> int:
        """Check a staged file before anybody can read it; returns its rows."""
        metadata = pq.read_metadata(path)
        wanted = [f for f in snapshot.spec.schema if f.name not in snapshot.spec.partition_by]
        staged = metadata.schema.to_arrow_schema()
        if [(f.name, f.type) for f in staged] != [(f.name, f.type) for f in wanted]:
            self._fail(model, partition, FileCheck.COLUMNS_EXACT, f"it has {staged.names}")
        nulls = _null_counts(metadata)
        empty = sorted(name for name in model.required if nulls.get(name))
        if empty:
            self._fail(model, partition, FileCheck.REQUIRED_FILLED, f"nulls in {empty}")
        relation = f"read_parquet({literal(path)}, hive_partitioning = false)"
        keys = ", ".join(quoted(name) for name in model.unique)
        doubled = _rows(
            cursor, f"select 1 from {relation} group by {keys} having count(*) > 1 limit 1"
        )
        if doubled:
            self._fail(model, partition, FileCheck.GRAIN_UNIQUE, f"twice the same {keys}")
        if model.conserves is not None:
            ours, theirs = model.conserves.totals.keys(), model.conserves.totals.values()
            [have] = _rows(cursor, f"select {', '.join(ours)} from {relation}")
            [want] = _rows(
                cursor,
                f"select {', '.join(theirs)} from {quoted(model.conserves.table)} "
                f"where {_predicate(partition)}",
            )
            if have != want:
                totals = dict(zip(ours, zip(have, want, strict=True), strict=True))
                told = f"other totals than {model.conserves.table}: {totals}"
                self._fail(model, partition, FileCheck.TOTALS_CONSERVED, told)
        return metadata.num_rows

    def _fail(
        self, model: LakeModel, partition: Partition, check: FileCheck, told: str
    ) -> NoReturn:
        self.failed_checks[model.name, check] = f"{partition.path}: {told}"
        raise ModelError(
            f"{model.name} {partition.path}: the staged file failed the check {check}: {told}",
            "A file that keeps to the model's contract",
            "This is a defect of the model; the lake is unchanged",
        )

    def _ensure_table(
        self, cursor: duckdb.DuckDBPyConnection, model: LakeModel, query: str
    ) -> None:
        columns = cursor.sql(query).limit(0).to_arrow_table().schema
        names = _partition_columns(model)
        fields = [pa.field(f.name, f.type) for f in columns if f.name not in names]
        fields += [pa.field(name, _PARTITION_TYPES[name]) for name in names]
        schema = pa.schema(fields)
        spec = TableSpec(model.name, schema, tuple(names))
        self.planner.lake.ensure_table(spec)
        self._specs[model.name] = spec

    def _create_view(self, cursor: duckdb.DuckDBPyConnection, name: str) -> None:
        self._set_files(cursor, name, self.visible.get(name, ()))
        query = table_select(self._specs[name], _variable(name))
        if name in self._carries:
            query = f"{query} where {self._carries[name].where}"
        cursor.execute(f"create or replace view {quoted(name)} as {query}")

    def _set_files(
        self, cursor: duckdb.DuckDBPyConnection, name: str, paths: Sequence[Path]
    ) -> None:
        files = list_literal(paths or [self._empty_file(name)])
        cursor.execute(f"set variable files_{name} = {files}")

    def _empty_file(self, name: str) -> Path:
        """A file without rows: `read_parquet` of nothing fails, and a view needs its types."""
        spec = self._specs[name]
        partition = Partition(
            tuple((c, "0" if c.endswith("hour") else "2000-01-01") for c in spec.partition_by)
        )
        path = Path(self._empty_dir.name) / name / partition.path / "empty.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fields = [f for f in spec.schema if f.name not in spec.partition_by]
            pq.write_table(pa.schema(fields).empty_table(), path)
        return path


def model_range(
    planner: Planner,
    grain: Grain,
    whens: Iterable[When],
    on_built: Callable[[str, When], None] = lambda _name, _when: None,
) -> ModelledRange:
    """Bring hours or days up to date with one call of dbt; none if all are current, views too.

    `whens` are hours for grain `hour`, days for grain `day`. Failed models and tests are told in
    the result. Raises ModelError if dbt could not run at all.
    """
    wanted = sorted(set(whens))
    models = planner.project.named(grain)
    planner.refresh_for(wanted)
    overtaken = {
        after
        for model in models
        for when in wanted
        if (after := planner.overtaken_after(model, when)) is not None
    }
    stale = sorted({*planner.not_current(grain, wanted), *overtaken})
    views_version = planner.project.views_version(grain)
    has_views = model_views_version(planner.lake, grain) == views_version
    if not wanted or (not stale and has_views):
        standing = {
            model.name: tuple(
                partition
                for when in wanted
                if (partition := planner.current_file(model, when)) is not None
            )
            for model in models
        }
        return ModelledRange(standing, (), {}, (), ())
    run = ModelRun(planner, {"hour": [], "day": [], grain: wanted}, on_built)
    run.show(grain, stale)
    ModelRun.current = run
    try:
        result = build(
            "--select",
            *planner.project.selection(grain),
            "--indirect-selection",
            "buildable",
            "--exclude-resource-type",
            "unit_test",
        )
    finally:
        ModelRun.current = None
        run.close()
    tests: list[TestOutcome] = []
    unbuilt: list[str] = []
    failed_tests: list[str] = []
    for found in result.results:
        unique_id, status = found.node.unique_id, str(found.status)
        is_test = unique_id.startswith("test.")
        if is_test:
            tests.append(TestOutcome(unique_id, status, found.failures or 0, found.message or ""))
        if status in ("error", "fail"):
            told = f"{found.node.name}: {(found.message or status).strip()}"
            (failed_tests if is_test else unbuilt).append(told)
    # Views rest on it, and without threat feeds nothing has made it yet.
    planner.lake.ensure_table(THREAT_ENTRIES)
    # Views of what could not be built were left out, and are to be made by the next run.
    try:
        record_model_views(planner.lake, grain, "" if unbuilt else views_version, run.views)
    except LakeError as error:
        # Where the disk is full, what it kept from being built says more.
        if not unbuilt:
            raise
        unbuilt.append(str(error))
    built = {name: tuple(partitions) for name, partitions in run.built.items()}
    return ModelledRange(
        built, tuple(tests), run.failed_checks, tuple(unbuilt), tuple(failed_tests)
    )


def _parent_partitions(
    parent: str, project: DbtProject, when: When, landings: Sequence[Landing]
) -> list[Partition]:
    if parent == IP_LOOKUP.name:
        return sorted({landing.file.partition for landing in landings})
    model = project.models[parent]
    if isinstance(when, datetime) or model.grain == "day":
        return [_partition(model, when)]
    return [hour_partition(hour) for hour in hours_of(when)]


def _partition(model: LakeModel, when: When) -> Partition:
    if isinstance(when, datetime):
        return hour_partition(when)
    return written_day_partition(when) if model.by_written else day_partition(when)


def _partition_columns(model: LakeModel) -> tuple[str, ...]:
    if model.grain == "hour":
        return ("date", "hour")
    return ("written_date",) if model.by_written else ("date",)


def _digests(
    cursor: duckdb.DuckDBPyConnection, carry: Carry, partition_by: Sequence[str]
) -> list[str]:
    """A digest of the rows that are handed on, in whatever order they are; none for no rows."""
    excluded = ", ".join(quoted(name) for name in (*partition_by, *carry.without))
    [(digest,)] = _rows(
        cursor,
        "select md5(string_agg(row_digest, '' order by row_digest)) from ("
        "select md5(cast(to_json(handed_on) as varchar)) as row_digest from ("
        f"select * exclude ({excluded}) from staged_rows where {carry.where}) as handed_on)",
    )
    return [digest] if digest is not None else []


def _predicate(partition: Partition) -> str:
    return " and ".join(
        f"{quoted(name)} = "
        + (f"date {literal(value)}" if _PARTITION_TYPES[name] == pa.date32() else str(int(value)))
        for name, value in partition.values
    )


def _null_counts(metadata: pq.FileMetaData) -> dict[str, int]:
    """Nulls of each column, as the file's own statistics count them."""
    counts: dict[str, int] = {}
    for group_no in range(metadata.num_row_groups):
        group = metadata.row_group(group_no)
        for column_no in range(group.num_columns):
            column = group.column(column_no)
            # A column without statistics is one that nobody can vouch for.
            nulls = group.num_rows if column.statistics is None else column.statistics.null_count
            counts[column.path_in_schema] = counts.get(column.path_in_schema, 0) + nulls
    return counts


def _variable(name: str) -> str:
    return f"getvariable('files_{name}')"


def _rows(cursor: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return cursor.execute(query).fetchall()


def run_over_everything(planner: Planner) -> ModelRun:
    """A run for a dbt that was started by hand: it sees the whole lake and builds what is stale."""
    run = ModelRun(
        planner,
        {"hour": sorted(planner.all_event_hours()), "day": sorted(planner.all_days())},
        lambda _name, _when: None,
    )
    for name in [*planner.project.models, *(spec.name for spec in _SOURCES)]:
        snapshot = planner.lake.snapshot(name)
        if snapshot is not None:
            run.visible[name] = tuple(file.path for file in snapshot.files)
    return run
