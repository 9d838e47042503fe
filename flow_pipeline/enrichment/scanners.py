"""Research and commercial scanners: who looks at every address of the internet, and says so.

Belongs here: FLOW_SCANNERS, a list of prefixes with names. None comes with the program: no list was
found whose licence allows it (docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flow_pipeline.enrichment.prefixes import PrefixList, PrefixTable, read_prefix_list

_SETTING = "FLOW_SCANNERS"
_COLUMNS = ("prefix", "name")


class Scanners:
    """The scanners that a user knows; the longest prefix that holds an address names it."""

    def __init__(self, listed: PrefixList | None) -> None:
        self.version = listed.version if listed else None
        self.count = len(listed.rows) if listed else 0
        self._table = PrefixTable(
            (prefix, row["name"]) for prefix, row in (listed.rows if listed else ())
        )

    def scanner_of(self, address: str) -> str | None:
        """The name of the scanner that a canonical address belongs to."""
        return self._table.longest(address)


def read_scanners(path: Path | None) -> Scanners:
    """Read FLOW_SCANNERS, if it is set. Raises ReferenceDataError naming the lines at fault."""
    return Scanners(read_prefix_list(path, _SETTING, _COLUMNS, _fault_of) if path else None)


def _fault_of(row: Mapping[str, str]) -> str | None:
    return None if row["name"] else "the name is empty"
