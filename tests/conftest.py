"""What every test stands on: no setting of this machine, no file of this checkout.

Belongs here: what all tests share. Servers and the lake of the integration tests are made in
`integration/conftest.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# A shared machine may stop for a moment; that is no failure of the code.
hypothesis.settings.register_profile("flow-pipeline", deadline=None)
hypothesis.settings.register_profile("flow-pipeline-ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("flow-pipeline-ci" if os.environ.get("CI") else "flow-pipeline")


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The developer's FLOW_ and DAGSTER_ variables and `.env` must not decide what a test finds."""
    for name in os.environ:
        if name.upper().startswith(("FLOW_", "DAGSTER_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The top of the checkout, which is not the working directory of a test."""
    return Path(__file__).resolve().parent.parent
