"""The user's allow-list: prefixes that are known, each with the reason why.

Belongs here: reading the file, and saying of each bad line what is wrong. What an allow-listed
address looks like in tables is SQL in the dbt project.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address, ip_network
from pathlib import Path

from flow_pipeline.errors import SettingError

SETTING = "FLOW_ALLOW_LIST"
_HEADS = ["prefix", "reason"]
_SHOWN = 10


@dataclass(frozen=True)
class AllowedPrefix:
    """An address or CIDR in canonical text, and why its traffic is known."""

    prefix: str
    reason: str


def read_allow_list(path: Path) -> tuple[AllowedPrefix, ...]:
    """The prefixes of a CSV with the columns `prefix` and `reason`, in its order.

    Raises SettingError that names each bad line and what is wrong with it: a list that is taken in
    part would show as attacks what somebody has vouched for.
    """
    reader = csv.reader(_text(path).splitlines(), skipinitialspace=True)
    found: dict[str, AllowedPrefix] = {}
    lines: dict[str, int] = {}
    bad: list[str] = []
    try:
        heads = [cell.strip().lower() for cell in next(reader, [])]
        if heads != _HEADS:
            raise _unusable(f"{path} line 1: its columns are {', '.join(heads)[:80]!r}")
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            prefix, why_not = _prefix(cells)
            if prefix in lines:
                why_not = f"{prefix} stands in line {lines[prefix]} already"
            if why_not:
                bad.append(f"line {reader.line_num}: {why_not}")
            else:
                lines[prefix] = reader.line_num
                found[prefix] = AllowedPrefix(prefix, cells[1])
    except csv.Error as error:
        raise _unusable(f"{path} line {reader.line_num}: {error}") from None
    if bad:
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise _unusable(f"{path} {'; '.join(bad[:_SHOWN])}{more}")
    return tuple(found.values())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _unusable(f"{path} is not UTF-8") from None


def _prefix(cells: list[str]) -> tuple[str, str | None]:
    """The prefix of a row in canonical text, and what is wrong with the row."""
    if len(cells) != len(_HEADS):
        return "", f"{len(cells)} values instead of two (a reason with commas stands in quotes)"
    text, reason = cells
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return "", f"{text[:80]!r} is no address or prefix"
    if network.prefixlen == 0:
        return "", f"{text} is everything"
    bare = text.partition("/")[0]
    if "/" in text and ip_address(bare) != network.network_address:
        return "", f"{text} has bits behind its length; {network} is meant, or {bare}"
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        return "", f"{text} is an IPv4 prefix in IPv6's form; write it as IPv4"
    if not reason:
        return "", f"{text} has no reason"
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network), None


def _unusable(found: str) -> SettingError:
    return SettingError(
        SETTING,
        found,
        "a CSV in UTF-8 with the columns prefix,reason and one address or CIDR a line",
        "Correct these lines, or leave the setting out",
    )
