"""Prefixes of addresses: which of many an address is in, and a user's list of them in a CSV file.

Belongs here: the one table that networks, scanners, Azure's ranges and classes of addresses are
looked up in, and reading a list of prefixes so that every fault is told by its line. What a prefix
means belongs to the module of that kind.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import Generic, TypeVar

from flow_pipeline.errors import ReferenceDataError

IPV4_BITS = 32
IPV6_BITS = 128
# A list with more faults than these is of another kind, and one line of it says so as well.
_FAULTS_SHOWN = 10
_LONGEST_SHOWN = 60

Value = TypeVar("Value")


class PrefixTable(Generic[Value]):
    """Values by prefix; an address finds those of all prefixes that it is in, the longest first.

    A look costs one probe of a dict for each length of prefix that occurs.
    """

    def __init__(self, entries: Iterable[tuple[str, Value]]) -> None:
        """`entries`: canonical ADDRESS[/LENGTH] with no bits behind its length, and its value.

        Of entries with one prefix the last stays.
        """
        # Bits of an address -> bits that a prefix leaves open -> the bits that it fixes -> value.
        found: dict[int, dict[int, dict[int, Value]]] = {IPV4_BITS: {}, IPV6_BITS: {}}
        for prefix, value in entries:
            address, _, length = prefix.partition("/")
            bits, number = address_number(address)
            shift = bits - int(length) if length else 0
            found[bits].setdefault(shift, {})[number >> shift] = value
        self._by_length = {
            bits: sorted(by_shift.items(), key=lambda item: item[0])
            for bits, by_shift in found.items()
        }

    def matches(self, address: str) -> Iterator[Value]:
        """The values of the prefixes that hold a canonical address, the most specific first."""
        bits, number = address_number(address)
        for shift, by_prefix in self._by_length[bits]:
            value = by_prefix.get(number >> shift)
            if value is not None:
                yield value

    def longest(self, address: str) -> Value | None:
        """The value of the most specific prefix that holds a canonical address."""
        return next(self.matches(address), None)


def address_number(address: str) -> tuple[int, int]:
    """How many bits a canonical address has, and the address as a number."""
    if ":" in address:
        return IPV6_BITS, int.from_bytes(inet_pton(AF_INET6, address))
    return IPV4_BITS, int.from_bytes(inet_pton(AF_INET, address))


@dataclass(frozen=True)
class PrefixList:
    """A user's list: each prefix, canonical, with the other fields of its line.

    `version` is the file's name and a digest of its content.
    """

    version: str
    rows: tuple[tuple[str, Mapping[str, str]], ...]


def read_prefix_list(
    path: Path,
    setting: str,
    columns: Sequence[str],
    fault_of: Callable[[Mapping[str, str]], str | None],
) -> PrefixList:
    """Read a CSV file whose first line names `columns`, the first of which is `prefix`.

    Spaces around fields do not count, nor empty lines and those that begin with `#`. `fault_of`
    says what is wrong with a line's fields, or None. Prefixes may overlap. Raises
    ReferenceDataError that names each line at fault: a malformed prefix, one that came before, a
    field too few or too many, or what `fault_of` says.
    """
    content = _content_of(path, setting)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(path, setting, "it is not UTF-8", columns) from None
    numbered = [
        (line_no, line)
        for line_no, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not numbered:
        raise _unreadable(path, setting, "it has no line", columns)
    header = [name.strip().lower() for name in _fields(numbered[0][1]) or ()]
    if header != list(columns):
        line_no, line = numbered[0]
        raise _unreadable(path, setting, f"line {line_no} is {_shown(line)}", columns)
    faults: list[str] = []
    rows: list[tuple[str, Mapping[str, str]]] = []
    lines: dict[str, int] = {}
    for line_no, line in numbered[1:]:
        fields = _fields(line)
        if fields is None or len(fields) != len(columns):
            told = "not CSV" if fields is None else f"{len(fields)} fields, not {len(columns)}"
            faults.append(f"line {line_no}: {told}")
            continue
        row = dict(zip(columns, fields, strict=True))
        prefix, fault = canonical_prefix(row["prefix"])
        fault = fault or fault_of(row)
        if fault is None and prefix in lines:
            fault = f"{prefix} is on line {lines[prefix]} already"
        if fault is not None:
            faults.append(f"line {line_no}: {fault}")
            continue
        lines[prefix] = line_no
        rows.append((prefix, row))
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        told = "; ".join(faults[:_FAULTS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        raise ReferenceDataError(
            f"{setting}: {path}: {told}",
            "Expected each prefix once, as ADDRESS/LENGTH with no bits behind its length",
            "Correct these lines, or leave the setting out",
        )
    digest = hashlib.sha256(content).hexdigest()[:16]
    return PrefixList(f"{path.name} {digest}", tuple(rows))


def canonical_prefix(text: str) -> tuple[str, str | None]:
    """A prefix in canonical text and None, or what was given and what is wrong with it."""
    try:
        if "/" not in text:
            return _canonical_address(ip_address(text)), None
        network = ip_network(text, strict=False)
    except ValueError:
        return text, f"{_shown(text)} is no prefix"
    if isinstance(network, IPv6Network) and "%" in text:
        return text, f"{_shown(text)} has a zone"
    address = text.partition("/")[0]
    if ip_address(address) != network.network_address:
        return text, f"{_shown(text)} has bits behind its length; {network} has none"
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address), None
    return str(network), None


def _canonical_address(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address) and address.scope_id:
        raise ValueError("an address of one link is no prefix")
    return str(address)


def _content_of(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReferenceDataError(
            f"{setting}: {path} cannot be read: {error.strerror}",
            "Expected a readable CSV file",
            f"Correct {setting}, or leave it out",
        ) from None


def _fields(line: str) -> list[str] | None:
    try:
        [fields] = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        return None
    return [field.strip() for field in fields]


def _unreadable(path: Path, setting: str, found: str, columns: Sequence[str]) -> ReferenceDataError:
    return ReferenceDataError(
        f"{setting}: {path} is no such list: {found}",
        f"Expected a CSV file whose first line is {','.join(columns)}",
        f"Correct the file, or leave {setting} out",
    )


def _shown(text: str) -> str:
    """What stands in a file, so that it breaks no line and no terminal."""
    return ascii(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")
