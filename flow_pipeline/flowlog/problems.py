"""What can be wrong with a blob as a whole, or with a part of it that is larger than a tuple.

Belongs here: the closed list of problems and the bounded list that keeps them. What is wrong with a
single tuple is a `RejectReason` of the schema.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KEPT_PROBLEMS = 20
_LONGEST_DETAIL = 200


class ProblemCode(StrEnum):
    """What is wrong; a problem adds no tuples, and takes away none that could be read."""

    NOT_A_FLOW_LOG = "not_a_flow_log"
    CUT_OFF = "cut_off"
    UNREADABLE_JSON = "unreadable_json"
    TRAILING_DATA = "trailing_data"
    FOREIGN_CATEGORY = "foreign_category"
    UNKNOWN_VERSION = "unknown_version"
    RECORD_MALFORMED = "record_malformed"
    GROUP_MALFORMED = "group_malformed"
    RECORD_TIME_UNREADABLE = "record_time_unreadable"


@dataclass(frozen=True)
class BlobProblem:
    """One problem. `detail` is at most 200 characters; `record_no` is null outside records."""

    code: str
    detail: str
    record_no: int | None


class ProblemLog:
    """Counts every problem and keeps the first `KEPT_PROBLEMS`; a blob may have millions."""

    def __init__(self) -> None:
        self.kept: list[BlobProblem] = []
        self.count = 0

    def add(self, code: ProblemCode, detail: str, record_no: int | None = None) -> None:
        """Note one problem; `detail` is cut to its longest length."""
        self.count += 1
        if len(self.kept) < KEPT_PROBLEMS:
            self.kept.append(BlobProblem(code.value, detail[:_LONGEST_DETAIL], record_no))


def shown(value: object) -> str:
    """A value out of a blob, safe and short enough for a detail: text quoted, the rest by kind."""
    if isinstance(value, str):
        return repr(value[:80])
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return "an object" if isinstance(value, dict) else "an array"
