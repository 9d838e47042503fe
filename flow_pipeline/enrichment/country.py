"""The country of an address, from the bundled database or the user's own.

Belongs here: telling what a database of countries is, and looking addresses up in it. How the
bundled file is made is scripts/build_country_db.py; which addresses are looked up is the caller's
affair.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geoip2.errors import AddressNotFoundError
from geoip2.models import City, Country, Enterprise
from maxminddb import InvalidDatabaseError

from flow_pipeline.enrichment.asn import AutonomousSystem
from flow_pipeline.enrichment.mmdb import Mmdb

BUNDLED_COUNTRY_DB = Path(__file__).parent / "data" / "country.mmdb"

# DB-IP writes a code of its own for addresses without a country.
_UNKNOWN = "ZZ"
_REMEDY = "Correct FLOW_COUNTRY_DB, or leave it out to use the bundled database"


class CountryDatabase(Mmdb):
    """An open country database; a context manager, or `close()` it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "The country database", _REMEDY)
        self._find = self._finder()

    def country_of(self, address: str) -> str | None:
        """The ISO 3166-1 alpha-2 code of a canonical IPv4 or IPv6 address.

        None for an address that the database does not know; the bundled one knows none that is
        private or reserved. Raises ReferenceDataError when the file turns out damaged.
        """
        return self.country_and_system_of(address)[0]

    def country_and_system_of(self, address: str) -> tuple[str | None, AutonomousSystem]:
        """The country, and the autonomous system where the database has it (Enterprise)."""
        if not self.can_hold(address):
            return None, AutonomousSystem(None, None)
        try:
            found = self._find(address)
        except AddressNotFoundError:
            return None, AutonomousSystem(None, None)
        except InvalidDatabaseError as error:
            raise self.damaged(error) from None
        country = found.country.iso_code
        traits = found.traits
        return None if country == _UNKNOWN else country, AutonomousSystem(
            traits.autonomous_system_number, traits.autonomous_system_organization
        )

    def _finder(self) -> Callable[[str], Country | City | Enterprise]:
        """The reader's method for its type; geoip2 refuses the others."""
        if "Country" in self.type:
            return self.reader.country
        if "City" in self.type:
            return self.reader.city
        if "Enterprise" in self.type:
            return self.reader.enterprise
        raise self.of_wrong_type("country", "Country, City or Enterprise")


def open_country_database(path: Path | None) -> CountryDatabase:
    """Open the database at `path` (FLOW_COUNTRY_DB), or the bundled one.

    Any MaxMind, DB-IP or other `.mmdb` of the types Country, City or Enterprise will do. Raises
    ReferenceDataError for a file that is missing, damaged, or of another type.
    """
    return CountryDatabase(path or BUNDLED_COUNTRY_DB)
