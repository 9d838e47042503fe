"""Which derived files are not current, and why not, in words.

Belongs here: asking it of every derived table alike. What a file is made of is known to
`address_lookup` and `modelling`; nothing is built here.
"""

from __future__ import annotations

from collections.abc import Iterator
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


def models_not_current(planner: Planner, grain: Grain, since: datetime) -> list[NotCurrent]:
    """The hours or days since a moment whose files are not current, table by table.

    Asked of those that flows are in, and those that there is a file of.
    """
    return [
        NotCurrent(model.name, when, why)
        for model in planner.project.named(grain)
        for when in planner.known_to(model, since)
        if (why := planner.why_not_current(model, when)) is not None
    ]


def lookups_not_current(
    planner: Planner, reference: ReferenceData, since: datetime
) -> list[NotCurrent]:
    """The written hours since a moment whose look-up is not current."""
    return [
        NotCurrent(IP_LOOKUP.name, hour, "; ".join(_reasons(planner, reference, hour)))
        for hour in planner.landed_hours()
        if hour >= since
        and planner.lookup_id_of(hour) != lookup_id(planner.landings_of(hour), reference)
    ]


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
