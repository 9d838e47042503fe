"""Files in MaxMind's format: opening one, and telling which data it holds and of when.

Belongs here: what databases of countries and of autonomous systems have in common.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from geoip2.database import Reader
from maxminddb import InvalidDatabaseError

from flow_pipeline.errors import ReferenceDataError

_IP_VERSION_6 = 6


class Mmdb:
    """An open database; a context manager, or `close()` it.

    `version` changes whenever the data do: type, build date and a digest of the file. `built_at` is
    naive UTC. `attribution` is one line that the file says of itself; show it where its data show.
    """

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        """`what` the database is, and the way out, are for messages.

        Raises ReferenceDataError for a file that is missing or damaged.
        """
        self.path = path
        self._what = what
        self._remedy = remedy
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self.reader = Reader(path)
        except OSError as error:
            raise ReferenceDataError(
                f"{what} {path} cannot be read: {error.strerror}",
                "Expected a readable .mmdb file",
                remedy,
            ) from None
        except (InvalidDatabaseError, ValueError) as error:
            raise self.damaged(error) from None
        metadata = self.reader.metadata()
        self.type = metadata.database_type
        self.built_at = datetime.fromtimestamp(metadata.build_epoch, UTC).replace(tzinfo=None)
        self.version = f"{self.type} {self.built_at:%Y-%m-%d} {digest[:16]}"
        self.attribution = metadata.description.get("en") or self.type
        self._knows_ipv6 = metadata.ip_version == _IP_VERSION_6

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def can_hold(self, address: str) -> bool:
        """Whether the database holds addresses of this kind at all; geoip2 refuses the others."""
        return self._knows_ipv6 or ":" not in address

    def close(self) -> None:
        """Let go of the file."""
        self.reader.close()

    def damaged(self, error: Exception) -> ReferenceDataError:
        """What to say of a file that turns out not to be whole."""
        return ReferenceDataError(
            f"{self._what} {self.path} is no whole .mmdb file: {error}",
            "Expected a file in the MaxMind DB format",
            self._remedy,
        )

    def of_wrong_type(self, told: str, expected: str) -> ReferenceDataError:
        """What to say of a database of something else; it is closed."""
        self.close()
        return ReferenceDataError(
            f"The database {self.path} is of the type {self.type}, which tells no {told}",
            f"Expected the type {expected}",
            self._remedy,
        )
