"""The country of an address, from the bundled database or the user's own.

Belongs here: opening a database, telling what it is, and looking addresses up. How the bundled file
is made is scripts/build_country_db.py; which addresses are looked up is the caller's affair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from geoip2.database import Reader
from geoip2.errors import AddressNotFoundError
from geoip2.models import City, Country, Enterprise
from maxminddb import InvalidDatabaseError

from flow_pipeline.errors import ReferenceDataError

BUNDLED_COUNTRY_DB = Path(__file__).parent / "data" / "country.mmdb"


# DB-IP writes a code of its own for addresses without a country.
_UNKNOWN = "ZZ"
_IP_VERSION_6 = 6


class CountryDatabase:
    """An open country database; a context manager, or `close()` it.

    `version` changes whenever the data do: type, build date and a digest of the file. `built_at` is
    naive UTC. `attribution` is one line that the file says of itself; show it where its data show.
    """

    def __init__(self, path: Path, reader: Reader, digest: str) -> None:
        metadata = reader.metadata()
        self.path = path
        self.built_at = datetime.fromtimestamp(metadata.build_epoch, UTC).replace(tzinfo=None)
        self.version = f"{metadata.database_type} {self.built_at:%Y-%m-%d} {digest[:16]}"
        self.attribution = metadata.description.get("en") or metadata.database_type
        self._reader = reader
        self._knows_ipv6 = metadata.ip_version == _IP_VERSION_6
        self._find = _finder(path, reader)

    def __enter__(self) -> CountryDatabase:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def country_of(self, address: str) -> str | None:
        """The ISO 3166-1 alpha-2 code of a canonical IPv4 or IPv6 address.

        None for an address that the database does not know; the bundled one knows none that is
        private or reserved. Raises ReferenceDataError when the file turns out damaged.
        """
        if not self._knows_ipv6 and ":" in address:
            return None
        try:
            country = self._find(address).country.iso_code
        except AddressNotFoundError:
            return None
        except InvalidDatabaseError as error:
            raise _damaged(self.path, error) from None
        return None if country == _UNKNOWN else country

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()


def open_country_database(path: Path | None) -> CountryDatabase:
    """Open the database at `path` (FLOW_COUNTRY_DB), or the bundled one.

    Any MaxMind, DB-IP or other `.mmdb` of the types Country, City or Enterprise will do. Raises
    ReferenceDataError for a file that is missing, damaged, or of another type.
    """
    path = path or BUNDLED_COUNTRY_DB
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        reader = Reader(path)
    except OSError as error:
        raise ReferenceDataError(
            f"The country database {path} cannot be read: {error.strerror}",
            "Expected a readable .mmdb file",
            _REMEDY,
        ) from None
    except (InvalidDatabaseError, ValueError) as error:
        raise _damaged(path, error) from None
    try:
        return CountryDatabase(path, reader, digest)
    except ReferenceDataError:
        reader.close()
        raise


_REMEDY = "Correct FLOW_COUNTRY_DB, or leave it out to use the bundled database"


def _finder(path: Path, reader: Reader) -> Callable[[str], Country | City | Enterprise]:
    """The reader's method for its type; geoip2 refuses the others."""
    database_type = reader.metadata().database_type
    if "Country" in database_type:
        return reader.country
    if "City" in database_type:
        return reader.city
    if "Enterprise" in database_type:
        return reader.enterprise
    raise ReferenceDataError(
        f"The database {path} is of the type {database_type}, which tells no country",
        "Expected the type Country, City or Enterprise",
        _REMEDY,
    )


def _damaged(path: Path, error: Exception) -> ReferenceDataError:
    return ReferenceDataError(
        f"The country database {path} is no whole .mmdb file: {error}",
        "Expected a file in the MaxMind DB format",
        _REMEDY,
    )
