"""The steps of the pipeline, put together from settings; what Dagster's assets and commands call.

Belongs here: which hours and days a step concerns. How a step is done belongs to the modules it
calls; when it runs, to `defs` and `cli`.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property

from flow_pipeline import progress
from flow_pipeline.address_lookup import (
    IP_LOOKUP,
    LookedUpHour,
    ReferenceData,
    current_lookup,
    look_up_hour,
    lookup_id,
)
from flow_pipeline.currency import (
    Currency,
    checked_since,
    currency_of_lookups,
    currency_of_models,
)
from flow_pipeline.dbt_models import Grain, load_project
from flow_pipeline.enrichment.address_facts import open_address_facts
from flow_pipeline.enrichment.feed_fetch import check_feed_names
from flow_pipeline.errors import SettingError
from flow_pipeline.flowlog.blob_source import BlobSource, open_sources
from flow_pipeline.lake import Lake
from flow_pipeline.lake_views import publish
from flow_pipeline.landed_file import LANDED_TUPLES, Landing, read_landing
from flow_pipeline.landing import LandedHour, land_hours
from flow_pipeline.modelling import ModelledRange, Planner, When, model_range
from flow_pipeline.partitions import (
    HOUR,
    day_start,
    floor_hour,
    hours_between,
    utc_now,
    written_partition,
)
from flow_pipeline.setting_views import setting_views
from flow_pipeline.settings import Settings
from flow_pipeline.threat_history import FeedState, feed_states, read_history, refresh_feeds


@dataclass(frozen=True)
class Pipeline:
    """The pipeline over one lake with one set of settings."""

    settings: Settings
    lake: Lake

    @classmethod
    def open(cls, settings: Settings) -> Pipeline:
        """Open the lake, or begin one.

        Raises SettingError if two feeds have one name, ReferenceDataError if a database or a list
        cannot be used, LakeError if the lake cannot.
        """
        check_feed_names(settings.feed_locations)
        # Opened for what it raises: a fault of the lists is told before anything is read or built.
        with open_address_facts(settings):
            lake = Lake.open(settings.lake_dir, is_sample=settings.is_sample)
        lake.begin_anew_if_other_columns(IP_LOOKUP.name, IP_LOOKUP.schema.names)
        return cls(settings, lake)

    @cached_property
    def planner(self) -> Planner:
        """What every derived file is made of today."""
        return Planner(self.lake, load_project(), self.settings, self.look_up)

    @contextmanager
    def sources(self) -> Generator[list[BlobSource]]:
        """The sources, open. Raises SourceError for the first that cannot be reached."""
        opened = open_sources(self.settings.source_locations())
        try:
            yield opened
        finally:
            for source in opened:
                source.close()

    def ensure_start(self, earlier: datetime | None = None) -> datetime:
        """The first written hour: set, recorded, or the earliest that the sources have.

        It is recorded in the lake, so that partitions need no network to be defined. An `earlier`
        hour moves it. Raises SettingError if there is not a single blob.
        """
        start = self.settings.start or self.lake.start or self._earliest()
        if earlier is not None:
            start = min(start, earlier)
        self.lake.record_start(start)
        return start

    def land(self, hours: Sequence[datetime]) -> list[LandedHour]:
        """Land written hours, one commit each, as many side by side as there are cores."""
        landed: list[LandedHour] = []
        with self.sources() as sources:
            for each in land_hours(self.lake, sources, hours):
                landed.append(each)
                progress.report("Landing", len(landed), len(hours))
        return landed

    @contextmanager
    def reference(self) -> Generator[ReferenceData]:
        """What addresses are looked up in, as it stands now."""
        with open_address_facts(self.settings) as facts:
            yield ReferenceData(facts, read_history(self.lake, self.settings.feed_locations))

    def refresh_feeds(self, accepted: Collection[str] = ()) -> list[FeedState]:
        """Ask the threat feeds and record what changed; of those `accepted`, whatever they list."""
        return refresh_feeds(self.lake, self.settings.feed_locations, accepted)

    def feed_states(self) -> list[FeedState]:
        """The threat feeds as they were when they were asked last."""
        return feed_states(self.lake, self.settings.feed_locations)

    def look_up(self, hours: Sequence[datetime]) -> list[LookedUpHour]:
        """Look up the addresses of written hours."""
        looked_up: list[LookedUpHour] = []
        with self.reference() as reference:
            lookups = self.lake.existing(IP_LOOKUP)
            landed = self.lake.existing(LANDED_TUPLES)
            for hour in hours:
                standing = current_lookup(lookups, landed, reference, hour)
                looked_up.append(standing or look_up_hour(self.lake, reference, hour))
                progress.report("Looking up", len(looked_up), len(hours))
        return looked_up

    def model_hours(self, hours: Sequence[datetime], *, days_follow: bool = False) -> ModelledRange:
        """Bring event hours up to date, and those that flows of the same written hours are in.

        Whoever brings their days up to date next leaves `flows.duckdb` to that.
        """
        self.planner.refresh()
        modelled = self._model("hour", sorted({*hours, *self.planner.event_hours(hours)}))
        if not days_follow:
            self.publish()
        return modelled

    def model_days(self, days: Sequence[date]) -> ModelledRange:
        """Bring days up to date."""
        modelled = self._model("day", sorted(days))
        self.publish()
        return modelled

    def days_of(self, hours: Sequence[datetime], *, landed: Sequence[datetime]) -> list[date]:
        """The days of event hours asked for, of written hours, and those their flows are in."""
        self.planner.refresh()
        touched = {*hours, *landed, *self.planner.event_hours(landed)}
        return sorted({hour.date() for hour in touched})

    def hours_to_catch_up(self, now: datetime | None = None) -> tuple[datetime, datetime]:
        """Event hours [from, to): from the earliest that is not complete or not current, to now.

        `to` is the hour that is running; as a written hour it is the last one to land.
        """
        end = floor_hour(now or utc_now())
        return self.first_stale(self.ensure_start(), end), end

    def first_stale(self, start: datetime, end: datetime) -> datetime:
        """The earliest event hour that is not complete or not current; `end` if all are.

        The hours of [start, end) are looked for, and what else is in the lake. Writes nothing.
        """
        self.planner.refresh()
        if not self.planner.landed_hours():
            return start
        expected = set(hours_between(start, end))
        known = expected | self.planner.all_event_hours()
        stale: set[datetime] = {hour for hour in expected if not self.planner.is_complete(hour)}
        stale.update(self._stale_lookups())
        stale.update(hour for hour in known if not self.planner.is_current("hour", hour))
        # The day of a stale hour is built anew with it.
        days = {hour.date() for hour in known} - {hour.date() for hour in stale}
        stale.update(
            max(day_start(day), start) for day in days if not self.planner.is_current("day", day)
        )
        return min(stale, default=end)

    def _stale_lookups(self) -> list[datetime]:
        """The written hours whose look-up is not what today's reference data would give."""
        landed = self.planner.landed_hours()
        with self.reference() as reference:
            if reference.threats.unread:
                # A feed's first snapshot counts as listed since always.
                return landed
            return [
                hour
                for hour in landed
                if self.planner.lookup_id_of(hour)
                != lookup_id(self.planner.landings_of(hour), reference)
            ]

    def currency(self, grain: Grain, whens: Iterable[When] = ()) -> Currency:
        """Which files of the last days, and of some hours or days, are not current, and why not.

        In the lake that the planner saw last, as a run leaves it. Of hours the look-ups as well.
        """
        whens = list(whens)
        since = checked_since(self.planner)
        found = currency_of_models(self.planner, grain, since, whens)
        if grain == "day":
            return found
        with self.reference() as reference:
            lookups = currency_of_lookups(self.planner, reference, since, whens)
        return Currency(
            {**found.looked_at, **lookups.looked_at}, found.not_current + lookups.not_current
        )

    def publish(self) -> None:
        """Make `flows.duckdb` anew, and delete files that were replaced long enough ago."""
        publish(self.lake, setting_views(self.settings))
        self.lake.vacuum_daily(timedelta(days=self.settings.keep_days))

    def landed(self, hours: Sequence[datetime]) -> list[Landing]:
        """What the lake holds of some written hours."""
        snapshot = self.lake.snapshot(LANDED_TUPLES.name)
        if snapshot is None:
            return []
        return [
            read_landing(file)
            for hour in hours
            for file in snapshot.files_of(written_partition(hour))
        ]

    def _model(self, grain: str, whens: Sequence[When]) -> ModelledRange:
        models = self.planner.project.named("hour" if grain == "hour" else "day")
        for model in models:
            self.lake.begin_anew_if_other_columns(model.name, model.columns)
        total, done = len(whens) * len(models), 0

        def on_built(_name: str, _when: When) -> None:
            nonlocal done
            done += 1
            # An hour that changes what is open at its end brings later ones that nobody asked for.
            told = max(done, total)
            progress.report("Modelling hours" if grain == "hour" else "Summarising", done, told)

        return model_range(self.planner, "hour" if grain == "hour" else "day", whens, on_built)

    def _earliest(self) -> datetime:
        with self.sources() as sources:
            found = [hour for source in sources if (hour := source.earliest_hour()) is not None]
        if not found:
            raise no_flow_log()
        return min(found)


def no_flow_log() -> SettingError:
    """Where nothing says with which hour to begin."""
    return SettingError(
        "FLOW_SOURCES",
        "no flow log was found in any source",
        "at least one PT1H.json",
        "Check that flow logs are switched on and write to these accounts, "
        "or set FLOW_START to begin with empty hours",
    )


def written_hours(start: datetime, end: datetime, now: datetime | None = None) -> list[datetime]:
    """The written hours that hold the event hours of [start, end), those to come left out."""
    return list(hours_between(start, min(end, floor_hour(now or utc_now())) + HOUR))
