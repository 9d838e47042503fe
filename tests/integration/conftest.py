"""A real Azure Storage endpoint for the integration tests: the emulator Azurite on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.emulator import Azurite, NoEmulator, emulator, free_port


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """The emulator, empty and in memory; tests share it, so each cleans up its containers."""
    try:
        with emulator(tmp_path_factory.mktemp("azurite")) as running:
            yield running
    except NoEmulator as failure:
        pytest.fail(str(failure), pytrace=False)


@pytest.fixture
def unused_port() -> int:
    """A port of this machine on which nothing listens."""
    return free_port()
