"""Looking up addresses: for each written hour, what was known of every address in its flows.

Belongs here: building `ip_lookup`. A row holds an address, what is known of it (its class, country,
network and so on) and the threat entry that listed it, for a span of time in which the same was
known of it: nearly always one row an address, more only where a feed changed during those hours. So
a flow is judged by what was known when it happened, with one join by equality.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flow_pipeline.enrichment.address_facts import AddressFacts, Facts
from flow_pipeline.enrichment.threat_feeds import ThreatSpan
from flow_pipeline.errors import LakeBusy
from flow_pipeline.lake import (
    ATTEMPTS,
    FOOTER_KEY,
    CommitRefused,
    Lake,
    Snapshot,
    TableSpec,
    attempts,
    footer_bytes,
    staging,
)
from flow_pipeline.landed_file import LANDED_TUPLES, Landing, read_landing
from flow_pipeline.partitions import Partition, utc_now, written_partition
from flow_pipeline.threat_history import ThreatHistory

# As `address_facts` gives them.
_FACTS: tuple[tuple[str, pa.DataType], ...] = (
    ("address_class", pa.string()),
    ("country", pa.string()),
    ("asn", pa.int64()),
    ("organisation", pa.string()),
    ("azure_region", pa.string()),
    ("azure_service", pa.string()),
    ("scanner", pa.string()),
    ("network", pa.string()),
    ("network_kind", pa.string()),
    ("network_region", pa.string()),
    ("vnet", pa.string()),
)
# When a look-up was made, and of what: the same in all its rows.
_MADE_OF: tuple[tuple[str, pa.DataType], ...] = (
    ("looked_up_at", pa.timestamp("ms")),
    ("country_db", pa.string()),
    ("asn_db", pa.string()),
    ("azure_ranges", pa.string()),
    ("scanner_list", pa.string()),
    ("network_list", pa.string()),
)
_KNOWN = pa.schema(
    [
        ("ip", pa.string()),
        *_FACTS,
        ("threat_feed", pa.string()),
        ("threat_entry", pa.string()),
        ("threat_type", pa.string()),
        ("valid_from", pa.timestamp("ms")),
        ("valid_to", pa.timestamp("ms")),
    ]
)
LOOKUP_COLUMNS = pa.schema([*_KNOWN, *(pa.field(*each) for each in _MADE_OF)])
IP_LOOKUP = TableSpec(
    "ip_lookup",
    LOOKUP_COLUMNS.append(pa.field("written_date", pa.date32())).append(
        pa.field("written_hour", pa.int32())
    ),
    ("written_date", "written_hour"),
)

# Part of every look-up's id: raise it when the same inputs would give other rows.
LOOKUP_VERSION = 2


@dataclass(frozen=True)
class LookedUpHour:
    """What looking up a written hour came to."""

    hour: datetime
    addresses: int
    listed: int
    size: int
    changed: bool


class ReferenceData:
    """What addresses are looked up in; remembers them, for the same scanners come every hour."""

    # Some hundred megabytes; then it forgets, for a long backfill meets more than memory holds.
    _REMEMBERED_ROWS = 2_000_000

    def __init__(self, facts: AddressFacts, threats: ThreatHistory) -> None:
        self.facts = facts
        self.threats = threats
        self._remembered = _KNOWN.empty_table()

    def rows_of(self, addresses: pa.Array) -> pa.Table:
        """What is known of distinct addresses: rows whose spans cover all time, sorted by address.

        Columns are those of LOOKUP_COLUMNS but for when they were looked up, and in what.
        """
        remembered = pc.is_in(addresses, value_set=self._remembered["ip"].combine_chunks())
        new = addresses.filter(pc.invert(remembered)).to_pylist()
        if self._remembered.num_rows > self._REMEMBERED_ROWS:
            self._remembered, new = _KNOWN.empty_table(), addresses.to_pylist()
        rows = [
            (address, facts, span)
            for address in new
            for facts in (self.facts.facts_of(address),)
            for span in _filled(self.threats.matcher.spans_of(address))
        ]
        found = pa.table(
            [
                [address for address, _, _ in rows],
                *([facts[no] for _, facts, _ in rows] for no in range(len(Facts._fields))),
                [span.feed or None for _, _, span in rows],
                [span.entry or None for _, _, span in rows],
                [span.threat_type for _, _, span in rows],
                [span.listed_from for _, _, span in rows],
                [span.listed_to for _, _, span in rows],
            ],
            schema=_KNOWN,
        )
        self._remembered = pa.concat_tables([self._remembered, found]).combine_chunks()
        wanted = self._remembered.filter(pc.is_in(self._remembered["ip"], value_set=addresses))
        # A stable sort: an address's spans were remembered in order of time.
        return wanted.take(pc.sort_indices(wanted, [("ip", "ascending")]))

    def version_for(self, landings: Iterable[Landing]) -> str:
        """An id of the reference data that applies to the flows of some landings."""
        latest = max(
            (
                time
                for landing in landings
                if (time := landing.file.highest.get("flow_time")) is not None
            ),
            default=None,
        )
        applied = [LOOKUP_VERSION, self.facts.version, self.threats.version_at(latest)]
        return hashlib.sha256(footer_bytes({"applied": applied})).hexdigest()[:16]


def lookup_inputs(landings: Sequence[Landing], reference: ReferenceData) -> dict[str, Any]:
    """What the look-up of these landings should be made of today."""
    return {"landings": landing_ids(landings), "reference": reference.version_for(landings)}


def lookup_id(landings: Sequence[Landing], reference: ReferenceData) -> str:
    """The id of the look-up that these landings should have today."""
    return _id_of(lookup_inputs(landings, reference))


def _id_of(inputs: Mapping[str, Any]) -> str:
    return hashlib.sha256(footer_bytes(inputs)).hexdigest()[:32]


def landing_ids(landings: Iterable[Landing]) -> list[str]:
    """What a look-up's footer names as the landings whose addresses it has."""
    return sorted(landing.manifest.landing_id for landing in landings)


def current_lookup(
    lookups: Snapshot, landed: Snapshot, reference: ReferenceData, hour: datetime
) -> LookedUpHour | None:
    """A written hour's look-up as it stands in the lake, if it is current."""
    partition = written_partition(hour)
    old = lookups.files_of(partition)
    if len(old) != 1:
        return None
    landings = [read_landing(file) for file in landed.files_of(partition)]
    footer = old[0].footer()
    if footer["id"] != lookup_id(landings, reference):
        return None
    return LookedUpHour(hour, footer["addresses"], footer["listed"], old[0].size, changed=False)


def look_up_hour(
    lake: Lake,
    reference: ReferenceData,
    hour: datetime,
    now: Callable[[], datetime] = utc_now,
) -> LookedUpHour:
    """Look up every distinct address of a written hour, unless that stands already.

    Raises LakeBusy if other writers won every time.
    """
    partition = written_partition(hour)
    for _ in attempts():
        target = lake.existing(IP_LOOKUP)
        landed = lake.existing(LANDED_TUPLES)
        standing = current_lookup(target, landed, reference, hour)
        if standing is not None:
            return standing
        landings = [read_landing(file) for file in landed.files_of(partition)]
        inputs = lookup_inputs(landings, reference)
        try:
            return _write(target, partition, hour, landings, reference, inputs, now())
        except CommitRefused:
            continue
    raise LakeBusy(
        f"The look-up of {hour:%Y-%m-%dT%H} was changed by other runs {ATTEMPTS} times",
        "One run at a time for the same hour, or a few",
        "Run again when the others have ended",
    )


def _write(
    target: Snapshot,
    partition: Partition,
    hour: datetime,
    landings: Sequence[Landing],
    reference: ReferenceData,
    inputs: Mapping[str, Any],
    now: datetime,
) -> LookedUpHour:
    addresses = _distinct_addresses(landings)
    known = table = reference.rows_of(addresses)
    made_of = {"looked_up_at": now, **asdict(reference.facts.versions)}
    for name, data_type in _MADE_OF:
        value = pa.scalar(made_of[name], data_type)
        table = table.append_column(LOOKUP_COLUMNS.field(name), pa.repeat(value, len(known)))
    listed = len(pc.unique(known.filter(pc.is_valid(known["threat_feed"]))["ip"]))
    counts = {"addresses": len(addresses), "listed": listed}
    # The id has them in `reference`, from which nobody can read what has changed.
    facts = {"facts": asdict(reference.facts.versions)}
    footer = {"id": _id_of(inputs), **inputs, **facts, **counts}
    path = target.stage(partition)
    with (
        staging(path),
        pq.ParquetWriter(path, LOOKUP_COLUMNS, compression="zstd") as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata({FOOTER_KEY: footer_bytes(footer)})
    size = path.stat().st_size
    target.commit(partition, [path], target.files_of(partition))
    return LookedUpHour(hour, len(addresses), listed, size, True)


def _distinct_addresses(landings: Sequence[Landing]) -> pa.Array:
    columns = [pa.chunked_array([], pa.string())]
    for landing in landings:
        table = pq.read_table(landing.file.path, columns=["src_ip", "dst_ip"], partitioning=None)
        columns += table.columns
    chunks = [chunk for column in columns for chunk in column.chunks]
    # A rejected tuple has no addresses.
    return pc.unique(pa.chunked_array(chunks, pa.string())).drop_null()


def _filled(spans: Sequence[ThreatSpan]) -> list[ThreatSpan]:
    """Spans that cover all time: between those that are listed stand those that are not."""
    filled: list[ThreatSpan] = []
    covered_to: datetime | None = None
    is_open = True
    for span in spans:
        if span.listed_from is not None and (covered_to is None or covered_to < span.listed_from):
            filled.append(_unlisted(covered_to, span.listed_from))
        filled.append(span)
        covered_to = span.listed_to
        is_open = covered_to is not None
    if is_open:
        filled.append(_unlisted(covered_to, None))
    return filled


def _unlisted(start: datetime | None, end: datetime | None) -> ThreatSpan:
    return ThreatSpan(start, end, "", "", None)
