"""The same logs read from a storage account and from a folder make the same tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import pytest
from azure.storage.blob import BlobServiceClient

from flow_pipeline.partitions import HOUR
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.sample import SampleBlob, sample_blobs
from flow_pipeline.sample.upload import upload_growing
from tests.integration.lakes import (
    ask,
    bring_up_to_date,
    file_names,
    pipeline_over,
    tables_of,
    write_blobs,
)
from tests.integration.plain_count import LoggedFlow, flows_in

pytestmark = pytest.mark.integration

START = datetime(2025, 11, 1)
END = START + 3 * HOUR


class Azurite(Protocol):
    """What these tests need of the emulator."""

    endpoint: str
    account: str
    key: str

    @property
    def service(self) -> BlobServiceClient: ...


@dataclass(frozen=True)
class SameLogs:
    """One set of blobs in an account, where it grew, and in a folder."""

    from_account: Pipeline
    from_folder: Pipeline
    logged: list[LoggedFlow]
    grows: SampleBlob
    tuples_while_growing: int
    files_while_growing: dict[str, list[str]]


@pytest.fixture(scope="module")
def same_logs(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SameLogs]:
    folder = tmp_path_factory.mktemp("same-logs")
    # Both containers: the day is logged by the virtual network and by the NSG.
    early: list[SampleBlob] = [
        *(b for b in sample_blobs(date(2025, 11, 1), 2_000) if b.written_hour < END),
        *(b for b in sample_blobs(date(2025, 11, 1), 1_000, layout="nsg2") if b.written_hour < END),
    ]
    write_blobs(folder / "logs", early)
    from_folder = pipeline_over(folder / "lake-of-folder", folder / "logs")
    assert bring_up_to_date(from_folder, START, END).failures == ()

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(f"FLOW_CREDENTIAL_{azurite.account.upper()}", azurite.key)
        from_account = pipeline_over(folder / "lake-of-account", azurite.endpoint)
        # Twenty minutes into its last hour the account is read for the first time.
        upload_growing(azurite.service, early[:-1], commit="at the end")
        upload_growing(azurite.service, early[-1:], minutes=20)
        assert bring_up_to_date(from_account, START, END).failures == ()
        tuples_while_growing = ask(from_account, "select count(*) from fct_flows")[0][0]
        files_while_growing = file_names(from_account, "landed_tuples", "fct_flows")
        upload_growing(azurite.service, early[-1:])
        assert bring_up_to_date(from_account, START, END).failures == ()

    yield SameLogs(
        from_account,
        from_folder,
        flows_in(folder / "logs"),
        early[-1],
        tuples_while_growing,
        files_while_growing,
    )
    for container in {blob.container for blob in early}:
        azurite.service.delete_container(container)


def test_an_account_and_a_folder_give_the_same_tables(same_logs: SameLogs) -> None:
    in_account = ask(same_logs.from_account, "select count(*) from fct_flows")
    assert in_account == [(len(same_logs.logged),)]
    assert tables_of(same_logs.from_account) == tables_of(same_logs.from_folder)


def test_each_row_names_where_it_was_read_and_no_secret(
    same_logs: SameLogs, azurite: Azurite
) -> None:
    sources = ask(same_logs.from_account, "select distinct source from fct_flows order by all")
    assert len(sources) == 2
    assert all(source.startswith(azurite.endpoint) for (source,) in sources)
    written = [p for p in same_logs.from_account.lake.root.rglob("*") if p.is_file()]
    assert not [p for p in written if azurite.key.encode() in p.read_bytes()]


def test_a_blob_that_grew_touches_its_own_hours_only(same_logs: SameLogs) -> None:
    assert same_logs.tuples_while_growing < len(same_logs.logged)
    after = file_names(same_logs.from_account, "landed_tuples", "fct_flows")
    before = same_logs.files_while_growing
    # The container and written hour of the blob are one file; its flows are in these hours.
    written = "/y=2025/m=11/d=01/h=02/"
    touched = {
        flow.event_hour.hour
        for flow in same_logs.logged
        if flow.blob.startswith(same_logs.grows.container) and written in flow.blob
    }
    assert {name for name in after if after[name] != before[name]} == {
        "landed_tuples/written_date=2025-11-01/written_hour=2",
        *(f"fct_flows/date=2025-11-01/hour={hour}" for hour in touched),
    }
