"""A process that lands, for tests of several at once: delta-rs does not survive a fork.

    python lake_writer.py LAKE FOLDER GO land HOUR [HOUR ...]
    python lake_writer.py LAKE FOLDER GO grow HOUR NIC TIMES

It says `ready`, waits until the file GO is there, and says `done` at the end. `grow` writes one
more tuple into its own NIC's blob before each landing.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

from flow_pipeline.flowlog.folder_source import FolderSource
from flow_pipeline.lake import Lake
from flow_pipeline.landing import land_hour


def main(lake_dir: str, folder: str, go: str, action: str, *arguments: str) -> None:
    say("ready")
    while not Path(go).exists():
        time.sleep(0.001)
    lake = Lake.open(Path(lake_dir))
    source = FolderSource(Path(folder))
    if action == "land":
        for hour in arguments:
            land_hour(lake, [source], datetime.fromisoformat(hour))
    else:
        hour, nic, times = arguments
        blob = next(Path(folder).rglob(f"h={hour[11:13]}/m=00/macAddress={nic}/PT1H.json"))
        for _ in range(int(times)):
            grow(blob)
            land_hour(lake, [source], datetime.fromisoformat(hour))
    say("done")


def grow(blob: Path) -> None:
    """Repeat the last tuple; the file is replaced in one step, as Azure commits a block list."""
    content = blob.read_text()
    last = content.rindex('"', 0, content.rindex('"]}]}]}'))
    end = content.rindex('"]}]}]}')
    grown = blob.with_name("growing")
    grown.write_text(f"{content[: end + 1]}, {content[last : end + 1]}{content[end + 1 :]}")
    grown.replace(blob)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
