"""Flow logs that grow, come late, vanish and are rewritten, counted while they are made.

Belongs here: changing logs at random, where they lie, and which counts a lake may show of them. The
counts come from how the logs were made, never from reading them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobServiceClient

from flow_pipeline.flowlog.schema import VNET_CONTAINER
from flow_pipeline.partitions import floor_hour
from flow_pipeline.sample.blobs import BLOB_HEAD, BLOB_TAIL
from flow_pipeline.sample.upload import HEAD_BLOCK_ID, TAIL_BLOCK_ID, data_block_id
from tests.unit.blobs import MINUTE, blob_name, flow, record

# So many that new flows come from new addresses, which have to be looked up first.
ADDRESSES = [f"198.51.{100 + n // 250}.{1 + n % 250}" for n in range(500)]
# Those that a threat feed lists from the beginning.
LISTED = ADDRESSES[:100]
_PORTS = (22, 80, 443, 445, 3389, 5060)
_FLOWS_IN_A_BLOCK = 12

FlowCount = tuple[int, int]
"""Flows, and those of them that come from a listed address."""


@dataclass(frozen=True)
class Block:
    """The record of a minute: its bytes, its flows by event hour, and its tuples that are none."""

    number: int
    data: bytes
    flows: Counter[datetime]
    from_listed: Counter[datetime]
    rejected: int


@dataclass
class Blob:
    """A NIC's blob of a written hour."""

    hour: datetime
    nic: str
    blocks: list[Block] = field(default_factory=list[Block])
    is_gone: bool = False

    @property
    def name(self) -> str:
        return blob_name(self.hour, self.nic)

    @property
    def parts(self) -> list[tuple[str, bytes]]:
        """Its blocks: ids and bytes. From the second on a data block begins with a comma."""
        data = [
            (data_block_id(block.number), (b"," if no else b"") + block.data)
            for no, block in enumerate(self.blocks)
        ]
        return [(HEAD_BLOCK_ID, BLOB_HEAD), *data, (TAIL_BLOCK_ID, BLOB_TAIL)]


class Store(Protocol):
    """Where blobs lie. `sources` is what FLOW_SOURCES names, `environment` what it needs beside."""

    sources: tuple[str, ...]
    environment: Mapping[str, str]

    def write(self, blob: Blob) -> None: ...
    def delete(self, blob: Blob) -> None: ...


class Folders:
    """Two folders, a NIC in one or the other: so that an hour has two files and one commit."""

    def __init__(self, directory: Path) -> None:
        self._folders = (directory / "east", directory / "west")
        for folder in self._folders:
            (folder / VNET_CONTAINER).mkdir(parents=True)
        self.sources = tuple(map(str, self._folders))
        self.environment: Mapping[str, str] = {}

    def write(self, blob: Blob) -> None:
        path = self._path(blob)
        path.parent.mkdir(parents=True, exist_ok=True)
        # In one step, as Azure commits a block list.
        written = path.with_name("written")
        written.write_bytes(b"".join(data for _, data in blob.parts))
        written.replace(path)

    def delete(self, blob: Blob) -> None:
        self._path(blob).unlink()

    def _path(self, blob: Blob) -> Path:
        return self._folders[int(blob.nic, 16) % 2] / blob.name


class Account:
    """A storage account, in which a blob is a list of blocks."""

    def __init__(
        self, service: BlobServiceClient, endpoint: str, environment: Mapping[str, str]
    ) -> None:
        with suppress(ResourceExistsError):
            service.create_container(VNET_CONTAINER)
        self._service = service
        self.sources = (endpoint,)
        self.environment = environment

    def write(self, blob: Blob) -> None:
        container, _, name = blob.name.partition("/")
        client = self._service.get_blob_client(container, name)
        try:
            committed = {block.id for block in client.get_block_list("committed")[0]}
        except ResourceNotFoundError:
            committed = set[str]()
        for block_id, data in blob.parts:
            if block_id not in committed:
                client.stage_block(block_id, data)
        client.commit_block_list([BlobBlock(block_id) for block_id, _ in blob.parts])

    def delete(self, blob: Blob) -> None:
        container, _, name = blob.name.partition("/")
        self._service.get_blob_client(container, name).delete_blob()


@dataclass(frozen=True)
class HourState:
    """What the blobs of a written hour hold: flows by event hour, and tuples that are none."""

    flows: Counter[datetime]
    from_listed: Counter[datetime]
    rejected: int

    @property
    def tuples(self) -> int:
        return self.flows.total() + self.rejected


class GrowingLogs:
    """The logs of some written hours. A lake shows each hour as it was in one of `states`.

    `settle()` says that the lake was brought up to date: from then on only the newest counts, until
    the logs change again.
    """

    def __init__(self, store: Store, randomness: Random, hours: Sequence[datetime]) -> None:
        self.store = store
        self.hours = tuple(hours)
        self._randomness = randomness
        self._blobs: dict[str, Blob] = {}
        self._blocks = 0
        self._touched: set[str] = set()
        self._states: list[dict[datetime, HourState]] = [self._state()]
        for hour in hours:
            for _ in range(2):
                self._new_blob(hour)
        self._states.append(self._state())

    def change(self, hours: Sequence[datetime] | None = None) -> None:
        """Something grows in one of some hours, always; and something else may happen as well."""
        among = hours or self.hours
        draw = self._randomness.random()
        if draw < 0.15:
            self._new_blob(self._randomness.choice(among))
        elif draw < 0.3:
            self._rewrite(among)
        elif draw < 0.45:
            self._vanish(among)
        self._grow(among)
        self._states.append(self._state())

    def settle(self) -> None:
        """The lake shows the newest state now, and has to go on doing so."""
        del self._states[:-1]
        self._touched.clear()

    def landed(self, hour: datetime) -> set[int]:
        """How many tuples a lake may show for a written hour."""
        return {state[hour].tuples for state in self._states}

    def facts(self, hour: datetime) -> set[FlowCount]:
        """What a lake may show for an event hour: any mix of states of written hours."""
        return _sums(
            {(state[w].flows[hour], state[w].from_listed[hour]) for state in self._states}
            for w in self.hours
        )

    def day(self, hours: Iterable[datetime]) -> set[int]:
        """How many flows a day's summary may rest on; `hours` are those of the day."""
        known = self.event_hours()
        sums = _sums(self.facts(hour) for hour in hours if hour in known)
        return {flows for flows, _ in sums}

    def event_hours(self) -> set[datetime]:
        """The hours in which flows of any state happened."""
        return {hour for state in self._states for each in state.values() for hour in each.flows}

    def _grow(self, among: Sequence[datetime]) -> None:
        blob = self._randomness.choice(self._there(among))
        blob.blocks += [self._block(blob.hour) for _ in range(self._randomness.randint(1, 3))]
        self._write(blob)

    def _rewrite(self, among: Sequence[datetime]) -> None:
        blob = self._randomness.choice(self._there(among))
        blob.blocks[self._randomness.randrange(len(blob.blocks)) :] = [self._block(blob.hour)]
        self._write(blob)

    def _vanish(self, among: Sequence[datetime]) -> None:
        # Rows stay of what was landed: of a blob that changed since, nobody knows whether it was.
        landed = [blob for blob in self._there(among) if blob.name not in self._touched]
        if len(landed) > len(among):
            blob = self._randomness.choice(landed)
            blob.is_gone = True
            self.store.delete(blob)

    def _new_blob(self, hour: datetime) -> None:
        nic = f"{len(self._blobs):012X}"
        self._write(Blob(hour, nic, [self._block(hour) for _ in range(3)]))

    def _there(self, among: Sequence[datetime]) -> list[Blob]:
        return [b for b in self._blobs.values() if b.hour in among and not b.is_gone]

    def _write(self, blob: Blob) -> None:
        self._blobs[blob.name] = blob
        self._touched.add(blob.name)
        self.store.write(blob)

    def _block(self, hour: datetime) -> Block:
        """A minute's record: mostly flows of the minute before, some that come hours late."""
        draw = self._randomness
        written = hour + draw.choice((0, 0, 1, 30, 59)) * MINUTE
        flows: Counter[datetime] = Counter()
        from_listed: Counter[datetime] = Counter()
        tuples: list[str] = []
        rejected = 0
        for _ in range(draw.randint(1, _FLOWS_IN_A_BLOCK)):
            if draw.random() < 0.05:
                tuples.append(f"{draw.random()},no flow")
                rejected += 1
                continue
            lag = timedelta(hours=2) if draw.random() < 0.1 else timedelta(0)
            time = written - lag - timedelta(milliseconds=draw.randint(1, 59_999))
            src = draw.choice(ADDRESSES)
            tuples.append(flow(time, src, port=draw.choice(_PORTS), state=draw.choice("BCED")))
            event_hour = floor_hour(time)
            flows[event_hour] += 1
            from_listed[event_hour] += src in LISTED
        self._blocks += 1
        data = json.dumps(record(tuples, written)).encode()
        return Block(self._blocks, data, flows, from_listed, rejected)

    def _state(self) -> dict[datetime, HourState]:
        states: dict[datetime, HourState] = {}
        for hour in self.hours:
            blocks = [k for b in self._blobs.values() if b.hour == hour for k in b.blocks]
            states[hour] = HourState(
                sum((block.flows for block in blocks), Counter[datetime]()),
                sum((block.from_listed for block in blocks), Counter[datetime]()),
                sum(block.rejected for block in blocks),
            )
        return states


def _sums(choices: Iterable[set[FlowCount]]) -> set[FlowCount]:
    """What can come out when one of each is taken."""
    sums = {(0, 0)}
    for counts in choices:
        sums = {(flows + f, listed + n) for flows, listed in sums for f, n in counts}
    return sums
