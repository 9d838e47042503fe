"""The user's own networks: names for what the logs do not name.

Belongs here: FLOW_NETWORKS, the list of prefixes of virtual networks, subnets, sites and own public
addresses. What a flow between two of them is called is SQL in the dbt project.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from flow_pipeline.enrichment.prefixes import PrefixList, PrefixTable, read_prefix_list

_SETTING = "FLOW_NETWORKS"
_COLUMNS = ("prefix", "name", "kind", "region")


class NetworkKind(StrEnum):
    """What a prefix of the user's is."""

    VNET = "vnet"
    SUBNET = "subnet"
    SITE = "site"
    P2S = "p2s"
    PUBLIC = "public"


class Network(NamedTuple):
    """The network that an address is in. `vnet` names the virtual network, itself or around it."""

    name: str
    kind: NetworkKind
    region: str | None
    vnet: str | None


class Networks:
    """The user's networks; the longest prefix that holds an address names it."""

    def __init__(self, listed: PrefixList | None) -> None:
        self.version = listed.version if listed else None
        self.count = len(listed.rows) if listed else 0
        self._table = PrefixTable(
            (prefix, _of_row(row)) for prefix, row in (listed.rows if listed else ())
        )

    def network_of(self, address: str) -> Network | None:
        """The network of a canonical address.

        A subnet is in the virtual network of the longest prefix around it, and in its region
        where its own line names none.
        """
        matches = self._table.matches(address)
        found = next(matches, None)
        if found is None or found.kind is not NetworkKind.SUBNET:
            return found
        around = next((each for each in matches if each.kind is NetworkKind.VNET), None)
        if around is None:
            return found
        return found._replace(vnet=around.name, region=found.region or around.region)


def read_networks(path: Path | None) -> Networks:
    """Read FLOW_NETWORKS, if it is set. Raises ReferenceDataError naming the lines at fault."""
    return Networks(read_prefix_list(path, _SETTING, _COLUMNS, _fault_of) if path else None)


def _fault_of(row: Mapping[str, str]) -> str | None:
    if not row["name"]:
        return "the name is empty"
    if row["kind"].lower() not in list(NetworkKind):
        return f"the kind is {row['kind']!a}, not one of {', '.join(NetworkKind)}"
    return None


def _of_row(row: Mapping[str, str]) -> Network:
    kind = NetworkKind(row["kind"].lower())
    vnet = row["name"] if kind is NetworkKind.VNET else None
    return Network(row["name"], kind, row["region"].lower() or None, vnet)
