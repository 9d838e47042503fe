"""What stands around the tuples: the envelopes of the two products.

Belongs here: the keys of a record, what its groups have in common, and what is wrong with them.
Most records of a blob have the same envelope but for their time, so each is read once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import numpy as np
import orjson
import pyarrow as pa

from flow_pipeline.flowlog import scan
from flow_pipeline.flowlog.problems import ProblemCode, ProblemLog, shown
from flow_pipeline.flowlog.schema import NSG_CATEGORY, VNET_CATEGORY

# Azure's longest names are some 400 characters, and a hostile one must not fill the memory.
_LONGEST_NAME = 1_024
_NSG_VERSIONS = (1, 2)
_VNET_VERSIONS = (4,)
_RECORD_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z"
)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)

NAME_COLUMNS = ("rule", "acl_id", "flow_log_id", "target_resource_id", "mac")
_UNUSED = (-1,) * (len(NAME_COLUMNS) + 2)


class _Group(NamedTuple):
    """One array of tuples: which one of its record, its names, and its place."""

    array_no: int
    names: tuple[str | None, ...]
    flow_no: int
    group_no: int


@dataclass(frozen=True)
class _Envelope:
    """An envelope that was read. `time_us` is None if the scanner read the time itself."""

    problems: tuple[tuple[ProblemCode, str], ...]
    time_us: int | None
    first_key: int
    key_count: int


class Envelopes:
    """The envelopes of one blob, by the number of their skeleton, and its groups by key.

    A key says what the rows of an array of tuples have in common; -1 stands for no group.
    """

    def __init__(self, nonce: str, skeleton: Callable[[int], bytes], problems: ProblemLog) -> None:
        self._nonce = nonce
        self._skeleton = skeleton
        self._problems = problems
        self._known: list[_Envelope] = []
        self._has_problems = False
        self._names: tuple[dict[str, int], ...] = tuple({} for _ in NAME_COLUMNS)
        self._keys: list[tuple[int, ...]] = []
        self._key_columns: np.ndarray = np.empty((len(_UNUSED), 0), np.int32)

    def take(self, records: np.ndarray, broken: str) -> None:
        """Read the envelopes of `records` that are new; report what is wrong with any of them.

        `broken` says what is wrong with one that is no JSON.
        """
        numbers = records[scan.RECORD_SKELETON]
        if not self._has_problems and numbers.min() >= 0 and numbers.max() < len(self._known):
            return
        for number, record_no in zip(
            records[scan.RECORD_SKELETON].tolist(),
            records[scan.RECORD_NUMBER].tolist(),
            strict=True,
        ):
            if number < 0:
                self._problems.add(ProblemCode.RECORD_MALFORMED, broken, record_no)
                continue
            if number == len(self._known):
                self._known.append(self._read(self._skeleton(number)))
            for code, detail in self._known[number].problems:
                self._has_problems = True
                self._problems.add(code, detail, record_no)

    def forget(self) -> None:
        """Numbers of skeletons begin anew; keys and names with them."""
        self._known.clear()
        self._keys.clear()
        self._key_columns = self._key_columns[:, :0]
        for names in self._names:
            names.clear()

    def keys(self, records: np.ndarray, record: np.ndarray, array: np.ndarray) -> np.ndarray:
        """The key of each array of tuples, by place of its record and its number in it."""
        first_keys = np.array([known.first_key for known in self._known] or [0])
        key_counts = np.array([known.key_count for known in self._known] or [0])
        skeletons = records[scan.RECORD_SKELETON, record]
        is_known = (skeletons >= 0) & (array < key_counts[skeletons])
        keys = np.where(is_known, first_keys[skeletons] + array, 0)
        is_used = self._columns()[-1][keys] >= 0 if len(self._keys) else is_known
        return np.where(is_known & is_used, keys, -1)

    def times(self, records: np.ndarray) -> np.ndarray:
        """The time of each record in microseconds since 1970; NO_TIME where there is none."""
        times = records[scan.RECORD_TIME].copy()
        skeletons = records[scan.RECORD_SKELETON]
        for number, known in enumerate(self._known):
            if known.time_us is not None:
                times[skeletons == number] = known.time_us
        return times

    def places(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`flow_no` and `group_no` of each key."""
        columns = self._columns()
        return columns[-2][keys], columns[-1][keys]

    def names(self, column: str, keys: np.ndarray) -> tuple[np.ndarray, pa.Array]:
        """Of each key a name as its place in a dictionary (-1: none), and that dictionary."""
        number = NAME_COLUMNS.index(column)
        return self._columns()[number][keys], pa.array(list(self._names[number]), pa.string())

    def _columns(self) -> np.ndarray:
        if self._key_columns.shape[1] != len(self._keys):
            self._key_columns = np.array(self._keys, np.int32).T.copy()
        return self._key_columns

    def _read(self, data: bytes) -> _Envelope:
        reader = _Reader(self._nonce)
        groups: list[_Group] = []
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            # Its place would be one in the skeleton.
            reader.report(ProblemCode.RECORD_MALFORMED, error.msg)
        else:
            groups = list(reader.groups(value))
        first_key = len(self._keys)
        used = {group.array_no: group for group in groups}
        for array_no in range(max(used, default=-1) + 1):
            group = used.get(array_no)
            self._keys.append(_UNUSED if group is None else self._key(group))
        key_count = len(self._keys) - first_key
        return _Envelope(tuple(reader.problems), reader.time_us, first_key, key_count)

    def _key(self, group: _Group) -> tuple[int, ...]:
        codes = (
            -1 if name is None else known.setdefault(name, len(known))
            for name, known in zip(group.names, self._names, strict=True)
        )
        return (*codes, group.flow_no, group.group_no)


class _Reader:
    """Reads one record whose arrays of tuples are marks; faults are reported by place."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce
        self._record: dict[str, object] = {}
        self.problems: list[tuple[ProblemCode, str]] = []
        self.time_us: int | None = scan.NO_TIME

    def groups(self, record: dict[str, object]) -> Iterator[_Group]:
        """Each array of tuples that stands where one should."""
        self._record = record
        category = record.get("category")
        properties = _object(record.get("properties"))
        if category is None:
            # Where it is missing the shape decides: Azure's metrics, for one, never have it.
            if "flowRecords" in record:
                category = VNET_CATEGORY
            elif properties is not None and "flows" in properties:
                category = NSG_CATEGORY
        if category == VNET_CATEGORY:
            yield from self._vnet_groups(_object(record.get("flowRecords")))
        elif category == NSG_CATEGORY:
            yield from self._nsg_groups(properties)
        else:
            self.report(ProblemCode.FOREIGN_CATEGORY, f"category {shown(category)}")

    def report(self, code: ProblemCode, detail: str) -> None:
        """Note a problem of the record."""
        self.problems.append((code, detail))

    def _nsg_groups(self, properties: dict[str, object] | None) -> Iterator[_Group]:
        if properties is None:
            self.report(ProblemCode.RECORD_MALFORMED, "properties is not an object")
            return
        self._check_version("Version", properties.get("Version"), _NSG_VERSIONS)
        acl_id = self._name(self._record, "resourceId", "")
        record_mac = self._name(self._record, "macAddress", "")
        self._read_time()
        for flow_no, flow, place in self._objects(properties, "flows", "properties"):
            rule = self._rule(flow, place)
            for group_no, group, inner in self._objects(flow, "flows", place):
                array_no = self._tuples(group, inner)
                mac = self._name(group, "mac", inner) or record_mac
                if array_no is not None:
                    yield _Group(array_no, (rule, acl_id, None, None, mac), flow_no, group_no)

    def _vnet_groups(self, flow_records: dict[str, object] | None) -> Iterator[_Group]:
        if flow_records is None:
            self.report(ProblemCode.RECORD_MALFORMED, "flowRecords is not an object")
            return
        record = self._record
        self._check_version("flowLogVersion", record.get("flowLogVersion"), _VNET_VERSIONS)
        flow_log_id = self._name(record, "flowLogResourceID", "")
        flow_log_id = flow_log_id or self._name(record, "flowLogGUID", "")
        target_resource_id = self._name(record, "targetResourceID", "")
        mac = self._name(record, "macAddress", "")
        self._read_time()
        for flow_no, flow, place in self._objects(flow_records, "flows", "flowRecords"):
            acl_id = self._name(flow, "aclID", place)
            for group_no, group, inner in self._objects(flow, "flowGroups", place):
                rule = self._rule(group, inner)
                array_no = self._tuples(group, inner)
                if array_no is not None:
                    names = (rule, acl_id, flow_log_id, target_resource_id, mac)
                    yield _Group(array_no, names, flow_no, group_no)

    def _objects(
        self, parent: dict[str, object], key: str, place: str
    ) -> Iterator[tuple[int, dict[str, object], str]]:
        """The objects of the array `key`, each with its place in it, as number and in words."""
        value = parent.get(key)
        if not isinstance(value, list):
            self._no_array(key, value, place)
            return
        for number, item in enumerate(cast(list[object], value)):
            element = _object(item)
            inner = f"{place}.{key}[{number}]"
            if element is None:
                self.report(ProblemCode.GROUP_MALFORMED, f"{inner} is {shown(item)}")
            else:
                yield number, element, inner

    def _tuples(self, group: dict[str, object], place: str) -> int | None:
        """Which of the record's arrays of tuples stands here."""
        value = group.get("flowTuples")
        if isinstance(value, str) and value.startswith(self._nonce):
            return int(value.removeprefix(self._nonce))
        self._no_array("flowTuples", value, place)
        return None

    def _no_array(self, key: str, value: object, place: str) -> None:
        self.report(ProblemCode.GROUP_MALFORMED, f"{place}.{key} is {shown(value)}, not an array")

    def _rule(self, parent: dict[str, object], place: str) -> str | None:
        if parent.get("rule") is None:
            self.report(ProblemCode.GROUP_MALFORMED, f"{place} has no rule")
        return self._name(parent, "rule", place)

    def _name(self, parent: dict[str, object], key: str, place: str) -> str | None:
        """A name or id as logged; null where there is none, which many blobs do with some."""
        value = parent.get(key)
        if value is None:
            return None
        if isinstance(value, str) and len(value) <= _LONGEST_NAME:
            return value
        code = ProblemCode.GROUP_MALFORMED if place else ProblemCode.RECORD_MALFORMED
        what = "is longer than any name" if isinstance(value, str) else f"is {shown(value)}"
        self.report(code, f"{place}.{key} {what}".lstrip("."))
        return None

    def _check_version(self, key: str, value: object, known: tuple[int, ...]) -> None:
        if type(value) is not int or value not in known:
            self.report(ProblemCode.UNKNOWN_VERSION, f"{key} {shown(value)}")

    def _read_time(self) -> None:
        value = self._record.get("time")
        if value == self._nonce:
            self.time_us = None
            return
        match = _RECORD_TIME.fullmatch(value) if isinstance(value, str) else None
        if match is not None:
            try:
                time = datetime.fromisoformat(match[1])
            except ValueError:
                pass  # no such day or hour: reported below
            else:
                fraction = (match[2] or "").ljust(6, "0")[:6]
                self.time_us = (time - _EPOCH) // _MICROSECOND + int(fraction)
                return
        self.report(ProblemCode.RECORD_TIME_UNREADABLE, f"time {shown(value)}")


def _object(value: object) -> dict[str, object] | None:
    return cast(dict[str, object], value) if isinstance(value, dict) else None
