"""All that is known of an address but threats: one question to classes, databases and lists.

Belongs here: putting together what the other modules of this package say of an address, and which
of them goes before another. What a feed says, and when, belongs to `threat_feeds`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

from flow_pipeline.enrichment.address_class import AddressClass, class_of
from flow_pipeline.enrichment.asn import AsnDatabase, open_asn_database
from flow_pipeline.enrichment.azure_ranges import AzureRanges, open_azure_ranges
from flow_pipeline.enrichment.country import CountryDatabase, open_country_database
from flow_pipeline.enrichment.networks import Networks, read_networks
from flow_pipeline.enrichment.scanners import Scanners, read_scanners
from flow_pipeline.settings import Settings

# Raise it when the same reference data would give other facts.
_RULES = 1


class Facts(NamedTuple):
    """What is known of an address; the fields are columns of `ip_lookup`, in their order."""

    address_class: str
    country: str | None
    asn: int | None
    organisation: str | None
    azure_region: str | None
    azure_service: str | None
    scanner: str | None
    network: str | None
    network_kind: str | None
    network_region: str | None
    vnet: str | None


@dataclass(frozen=True)
class FactVersions:
    """What facts rest on; the fields are columns of `ip_lookup`. None is what is not set."""

    country_db: str
    asn_db: str | None
    azure_ranges: str
    scanner_list: str | None
    network_list: str | None


@dataclass(frozen=True)
class AddressFacts:
    """The reference data, open."""

    countries: CountryDatabase
    systems: AsnDatabase | None
    azure: AzureRanges
    scanners: Scanners
    networks: Networks

    @property
    def versions(self) -> FactVersions:
        """What each column rests on."""
        return FactVersions(
            country_db=self.countries.version,
            asn_db=self.systems.version if self.systems else None,
            azure_ranges=self.azure.version,
            scanner_list=self.scanners.version,
            network_list=self.networks.version,
        )

    @property
    def version(self) -> str:
        """An id of all of it: other reference data give another."""
        applied = json.dumps([_RULES, asdict(self.versions)], sort_keys=True)
        return hashlib.sha256(applied.encode()).hexdigest()[:16]

    def facts_of(self, address: str) -> Facts:
        """What is known of a canonical address.

        An address of Azure has a region instead of a country: the country of its registrant says
        where Microsoft is, not where the machine is. The platform's addresses have neither, for
        they are on every machine's own host.
        """
        address_class = class_of(address)
        place = self.azure.place_of(address) if address_class is AddressClass.PUBLIC else None
        if place is not None:
            address_class = AddressClass.AZURE
        country, system = self.countries.country_and_system_of(address)
        if self.systems is not None:
            system = self.systems.system_of(address)
        if address_class is AddressClass.AZURE_PLATFORM:
            system = system._replace(number=None, organisation=None)
        if address_class in (AddressClass.AZURE, AddressClass.AZURE_PLATFORM):
            country = None
        network = self.networks.network_of(address)
        return Facts(
            address_class=address_class.value,
            country=country,
            asn=system.number,
            organisation=system.organisation,
            azure_region=place.region if place else None,
            azure_service=place.service if place else None,
            scanner=self.scanners.scanner_of(address),
            network=network.name if network else None,
            network_kind=network.kind.value if network else None,
            network_region=network.region if network else None,
            vnet=network.vnet if network else None,
        )


@contextmanager
def open_address_facts(settings: Settings) -> Generator[AddressFacts]:
    """The reference data that the settings name.

    Raises ReferenceDataError for the first that cannot be used, by line and reason where it is a
    list.
    """
    with ExitStack() as opened:
        countries = opened.enter_context(open_country_database(settings.country_db))
        systems = open_asn_database(settings.asn_db)
        if systems is not None:
            opened.enter_context(systems)
        yield AddressFacts(
            countries,
            systems,
            open_azure_ranges(settings.service_tags),
            read_scanners(settings.scanners),
            read_networks(settings.networks),
        )
