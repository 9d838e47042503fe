"""The public addresses of the day: drawn by country from the bundled database, listed or not.

Belongs here: who takes part. What they do is traffic.py. Networks are IPv4 prefixes of 24 bits,
written as whole numbers (address >> 8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import maxminddb
import numpy as np

from flow_pipeline.enrichment.country import BUNDLED_COUNTRY_DB
from flow_pipeline.sample.draws import Draws, Ints, apportion
from flow_pipeline.sample.story import (
    DECOY_NETWORKS,
    DECOYS,
    DENIED_HABITS,
    MOST_FLOWS_WITH_NEW_SOURCES,
    PLATFORM_NETWORKS,
    RDP_BRUTE_FORCE,
    RESEARCH,
    RESEARCH_NETWORKS,
    SERVICES,
    Habit,
)

# Enough networks of the smallest country that the story names.
_NETWORKS_DRAWN = 60_000
_FEWEST_SOURCES = 4
# Blocks of 2^24 addresses held by armed forces or by one firm: no telescope sees much of them, and
# a random draw would make attackers of their holders.
_SILENT = frozenset(
    {6, 7, 9, 11, 17, 19, 21, 22, 25, 26, 28, 29, 30, 33, 48, 53, 55, 56, 57, 214, 215}
)

CountryOf = Callable[[str], str | None]


@dataclass
class AddressBook:
    """Every public address of the day; the rows of the traffic name them by their number.

    `sources` gives the numbers by habit, `services` by service, in the order of SERVICES.
    """

    texts: list[str] = field(default_factory=list[str])
    countries: list[str | None] = field(default_factory=list[str | None])
    sources: dict[str, Ints] = field(default_factory=dict[str, Ints])
    services: list[Ints] = field(default_factory=list[Ints])
    listed_addresses: list[str] = field(default_factory=list[str])
    listed_networks: list[str] = field(default_factory=list[str])

    def add(self, text: str, country: str | None) -> int:
        """Enter an address and give its number."""
        self.texts.append(text)
        self.countries.append(country)
        return len(self.texts) - 1

    def is_listed(self) -> list[bool]:
        """By number: whether the threat list holds the address, itself or in a network."""
        addresses = set(self.listed_addresses)
        networks = {_network(entry.partition("/")[0]) for entry in self.listed_networks}
        return [text in addresses or _network(text) in networks for text in self.texts]


def draw_addresses(flows: int, seed: int, attackers: Sequence[str] = ()) -> AddressBook:
    """Draw the sources and destinations of a day with so many flows, and the threat list.

    `attackers` are IPv4 addresses that take the place of drawn ones, spread over the habits, as
    their busiest sources; those for which there is no place are left out.
    """
    attackers = list(dict.fromkeys(attackers))
    # The plain reader: `CountryDatabase` builds an object for each answer, at four times the cost.
    with maxminddb.open_database(BUNDLED_COUNTRY_DB) as database:

        def country_of(text: str) -> str | None:
            record: Any = database.get(text)
            return record["country"]["iso_code"] if record else None

        atlas = _Atlas(Draws(seed, "networks"), country_of)
        book = AddressBook()
        habits = (RDP_BRUTE_FORCE, *DENIED_HABITS, RESEARCH)
        # The researchers are who they are; everybody else can be replaced.
        replaced = {
            habit.name: list(attackers[place :: len(habits) - 1])
            for place, habit in enumerate(habits[:-1])
        }
        atlas.reserve(attackers)
        for habit in habits:
            draws = Draws(seed, f"sources of {habit.name}")
            wanted = max(_FEWEST_SOURCES, _scaled(habit.sources, flows))
            if habit is RESEARCH:
                found = list(atlas.members(RESEARCH_NETWORKS, wanted, draws))
            else:
                spread = habit.sources_per_network
                found = list(atlas.hosts_by_country(habit.countries, wanted, draws, spread))
            numbers = [book.add(text, country) for text, country in found]
            shuffled = np.asarray(numbers, dtype=np.int64)[draws.order(len(numbers))]
            for number, text in zip(shuffled.tolist(), replaced.get(habit.name, ()), strict=False):
                book.texts[number] = text
                book.countries[number] = country_of(text)
            book.sources[habit.name] = shuffled
            _list_part(book, habit, draws)
        for place, service in enumerate(SERVICES):
            draws = Draws(seed, f"addresses of service {place}")
            book.services.append(_service_addresses(book, service.networks, country_of, draws))
        _list_decoys(book, atlas, flows, Draws(seed, "decoys"))
        return book


def _scaled(per_million: int, flows: int) -> int:
    return per_million * min(flows, MOST_FLOWS_WITH_NEW_SOURCES) // 1_000_000


def _network(text: str) -> str:
    return text.rpartition(".")[0]


def _list_part(book: AddressBook, habit: Habit, draws: Draws) -> None:
    """Put the habit's share of sources on the threat list, one by one or by whole networks."""
    texts = [book.texts[number] for number in book.sources[habit.name].tolist()]
    if habit.listed_by_network:
        networks = list(dict.fromkeys(_network(text) for text in texts))
        chosen = draws.order(len(networks)).tolist()[: len(networks) * habit.listed_percent // 100]
        book.listed_networks += [f"{networks[index]}.0/24" for index in chosen]
    else:
        chosen = draws.order(len(texts)).tolist()[: len(texts) * habit.listed_percent // 100]
        book.listed_addresses += [texts[index] for index in chosen]


def _service_addresses(
    book: AddressBook, networks: Sequence[str], country_of: CountryOf, draws: Draws
) -> Ints:
    """A handful of addresses of each network; the platform's own belong to no country."""
    numbers: list[int] = []
    for network in map(IPv4Network, networks):
        hosts = draws.order(network.num_addresses).tolist()[:12]
        for host in sorted(hosts):
            text = str(network[host])
            is_platform = str(network) in PLATFORM_NETWORKS
            numbers.append(book.add(text, None if is_platform else country_of(text)))
    return np.asarray(numbers, dtype=np.int64)


def _list_decoys(book: AddressBook, atlas: _Atlas, flows: int, draws: Draws) -> None:
    """Fill the list with what never appears, half again as varied as the sources."""
    wanted = max(_FEWEST_SOURCES, _scaled(DECOYS, flows))
    decoys = atlas.hosts_by_country(RDP_BRUTE_FORCE.countries, wanted, draws)
    book.listed_addresses += [text for text, _ in decoys]
    seen = {_network(text) for text in book.texts}
    free = [text for text in atlas.networks() if text not in seen]
    chosen = draws.order(len(free)).tolist()[:DECOY_NETWORKS]
    book.listed_networks += [f"{free[index]}.0/24" for index in chosen]


class _Atlas:
    """Public networks by country, drawn from the whole of IPv4, and addresses not yet given out."""

    def __init__(self, draws: Draws, country_of: CountryOf) -> None:
        self._country_of = country_of
        self._given: set[str] = set()
        self._by_country: dict[str, list[str]] = {}
        drawn = np.unique(draws.between((1 << 16, (224 << 16) - 1), _NETWORKS_DRAWN))
        for network in drawn[draws.order(len(drawn))].tolist():
            if network >> 16 in _SILENT:
                continue
            text = f"{network >> 16}.{network >> 8 & 255}.{network & 255}"
            country = country_of(f"{text}.1")
            if country is not None:
                self._by_country.setdefault(country, []).append(text)

    def networks(self) -> Iterator[str]:
        """Every network, as the text of its first three bytes."""
        for networks in self._by_country.values():
            yield from networks

    def reserve(self, texts: Sequence[str]) -> None:
        """Never give these out."""
        self._given.update(texts)

    def hosts_by_country(
        self, weights: Mapping[str, int], count: int, draws: Draws, per_network: int = 1
    ) -> Iterator[tuple[str, str]]:
        """Addresses and their countries, shared out by weight, so many of a network in a row."""
        parts = apportion(count, list(weights.values()))
        for country, part in zip(weights, parts, strict=True):
            for text in self._hosts(country, part, per_network, draws):
                yield text, country

    def members(
        self, networks: Sequence[str], count: int, draws: Draws
    ) -> Iterator[tuple[str, str | None]]:
        """Addresses of the networks, by turns."""
        parts = apportion(count, [1] * len(networks))
        for network, part in zip(map(IPv4Network, networks), parts, strict=True):
            hosts = draws.order(network.num_addresses - 2).tolist()[:part]
            for host in hosts:
                text = str(network[host + 1])
                yield text, self._country_of(text)

    def _hosts(self, country: str, count: int, per_network: int, draws: Draws) -> Iterator[str]:
        networks = self._by_country[country]
        place = int(draws.below(len(networks), 1)[0])
        found = 0
        tried = 0
        while found < count:
            for last_byte in draws.between((1, 254), count - found).tolist():
                network = networks[(place + tried // per_network) % len(networks)]
                tried += 1
                text = f"{network}.{last_byte}"
                # A network may be split between countries.
                if text in self._given or self._country_of(text) != country:
                    continue
                self._given.add(text)
                found += 1
                yield text
