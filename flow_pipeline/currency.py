"""Which derived files are not current, and why not, in words.

Belongs here: asking it of every derived table alike. What a file is made of is known to
`address_lookup` and `modelling`; nothing is built here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from flow_pipeline.address_lookup import IP_LOOKUP, ReferenceData, lookup_id, lookup_inputs
from flow_pipeline.dbt_models import Grain
from flow_pipeline.modelling import Planner, When
from flow_pipeline.partitions import utc_now

# What a check after each run looks back on: reading a footer for each hour of years would be felt.
CHECKED = timedelta(days=7)


@dataclass(frozen=True)
class NotCurrent:
    """A partition of a derived table that is not what it would be made of today, and why."""

    table: str
    when: When
    why: str


@dataclass(frozen=True)
class Currency:
    """How many partitions of each table were looked at, and which of them are not current."""

    looked_at: Mapping[str, int]
    not_current: tuple[NotCurrent, ...]

    def of(self, *tables: str) -> Currency:
        """What was found of some tables."""
        found = tuple(one for one in self.not_current if one.table in tables)
        return Currency({table: self.looked_at[table] for table in tables}, found)


def currency_of_models(
    planner: Planner, grain: Grain, since: datetime, also: Iterable[When] = ()
) -> Currency:
    """Look at the files of hours or days since a moment, and at those of some others.

    Asked of hours and days that flows are in, and of those that there is a file of.
    """
    others = set(also)
    models = planner.project.named(grain)
    whens = {model.name: {*planner.known_to(model, since), *others} for model in models}
    return Currency(
        {name: len(found) for name, found in whens.items()},
        tuple(
            NotCurrent(model.name, when, why)
            for model in models
            for when in sorted(whens[model.name])
            if (why := planner.why_not_current(model, when)) is not None
        ),
    )


def currency_of_lookups(
    planner: Planner, reference: ReferenceData, since: datetime, also: Iterable[When] = ()
) -> Currency:
    """Look at the look-ups of written hours since a moment, and of some others."""
    others = set(also)
    hours = [hour for hour in planner.landed_hours() if hour >= since or hour in others]
    return Currency(
        {IP_LOOKUP.name: len(hours)},
        tuple(
            NotCurrent(IP_LOOKUP.name, hour, "; ".join(_reasons(planner, reference, hour)))
            for hour in hours
            if planner.lookup_id_of(hour) != lookup_id(planner.landings_of(hour), reference)
        ),
    )


def checked_since(planner: Planner) -> datetime:
    """From when on a check after a run looks: some time before the newest landing."""
    landed = planner.landed_hours()
    return (landed[-1] if landed else utc_now()) - CHECKED


def _reasons(planner: Planner, reference: ReferenceData, hour: datetime) -> Iterator[str]:
    file = planner.lookup_of(hour)
    if file is None:
        yield "never looked up"
        return
    landings = planner.landings_of(hour)
    old, new = file.footer(), lookup_inputs(landings, reference)
    if "facts" not in old:
        yield "looked up by an older version, which did not say in what"
        return
    for landing in landings:
        manifest = landing.manifest
        if manifest.landing_id not in old["landings"]:
            yield f"the landing of {hour:%Y-%m-%dT%H} from {manifest.source} is newer"
    if len(new["landings"]) < len(old["landings"]):
        yield "the landing of a source is not there any more"
    if old["reference"] != new["reference"]:
        known, applies = old["facts"], asdict(reference.facts.versions)
        changed = [
            f"{name} was {known.get(name) or 'not set'}, is {version or 'not set'}"
            for name, version in applies.items()
            if known.get(name) != version
        ]
        yield from changed or ["the threat feeds have changed, or how addresses are looked up"]
