"""What integration tests share: the emulator Azurite on this machine, and the models' SQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_pipeline.lake import Lake
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


@pytest.fixture(scope="session")
def compiled(project_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each model's SQL as dbt compiles it, to be run on rows that a test draws."""
    root = tmp_path_factory.mktemp("compiled")
    Lake.open(root / "lake")
    project = str(project_dir / "dbt_project")
    subprocess.run(
        [
            str(Path(sys.executable).with_name("dbt")), "compile", "--project-dir", project,
            "--profiles-dir", project, "--target-path", str(root / "target"),
            "--log-path", str(root), "--quiet",
        ],
        env={**os.environ, "FLOW_LAKE": str(root / "lake"), "FLOW_SOURCES": str(root)},
        check=True,
    )  # fmt: skip
    models = root / "target/compiled/flow_pipeline/models"
    # One directory below; what tests are compiled to lies deeper.
    return {path.stem: path.read_text() for path in models.glob("*/*.sql")}
