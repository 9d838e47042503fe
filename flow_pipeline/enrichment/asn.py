"""The autonomous system of an address: who routes it, from a database that the user has.

Belongs here: telling what such a database is, and looking addresses up in it. None comes with the
program.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from geoip2.errors import AddressNotFoundError
from geoip2.models import ASN
from maxminddb import InvalidDatabaseError

from flow_pipeline.enrichment.mmdb import Mmdb

_REMEDY = "Correct FLOW_ASN_DB, or leave it out to go without autonomous systems"


class AutonomousSystem(NamedTuple):
    """The number of a system and the name of the organisation that it belongs to."""

    number: int | None
    organisation: str | None


class AsnDatabase(Mmdb):
    """An open database of autonomous systems; a context manager, or `close()` it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "The ASN database", _REMEDY)
        self._find = self._finder()

    def system_of(self, address: str) -> AutonomousSystem:
        """The system of a canonical address, as far as the database knows it.

        Raises ReferenceDataError when the file turns out damaged.
        """
        if not self.can_hold(address):
            return AutonomousSystem(None, None)
        try:
            found = self._find(address)
        except AddressNotFoundError:
            return AutonomousSystem(None, None)
        except InvalidDatabaseError as error:
            raise self.damaged(error) from None
        return AutonomousSystem(
            found.autonomous_system_number, found.autonomous_system_organization
        )

    def _finder(self) -> Callable[[str], ASN]:
        """The reader's method for its type; geoip2 refuses the others."""
        if "GeoLite2-ASN" in self.type:
            return self.reader.asn
        if "GeoIP2-ISP" in self.type:
            return self.reader.isp
        raise self.of_wrong_type("autonomous system", "GeoLite2-ASN or GeoIP2-ISP, or DB-IP's ASN")


def open_asn_database(path: Path | None) -> AsnDatabase | None:
    """Open the database at `path` (FLOW_ASN_DB), if one is set.

    Raises ReferenceDataError for a file that is missing, damaged, or of another type.
    """
    return None if path is None else AsnDatabase(path)
