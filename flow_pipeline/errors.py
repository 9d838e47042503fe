"""The failures a user can meet, each with the culprit, what was expected, and the way out.

    FlowPipelineError
    ├── SettingError            a setting makes no sense
    ├── SourceError             a source of blobs
    │   ├── SourceUnreachable     the network or the endpoint
    │   ├── SourceDenied          the credential
    │   ├── ContainerMissing      the account is there, the container is not
    │   ├── BlobChanged           the blob changed while it was read
    │   ├── BlobGone              the blob was deleted between listing and reading
    │   └── BlobUnreadable        the transport failed in the middle of a blob
    ├── ReferenceDataError      a country database or a threat feed
    ├── LakeError               the lake's directory or its tables
    │   ├── LakeVersionError      written by another version of this program
    │   └── LakeBusy              another writer won, again and again
    ├── HistoryError            Dagster's history of runs
    ├── ModelError              dbt could not build a table
    └── QueryError              a question that SQL could not answer

Belongs here: what a user should read instead of a stack trace. A defect of ours is no member of
the family: it shows its stack trace, so that it can be mended.
"""


class FlowPipelineError(Exception):
    """Base of all failures that are shown to a user as one message, without a stack trace.

    `culprit` names what is at fault, `expected` what should have been there, `remedy` what to do.
    """

    def __init__(self, culprit: str, expected: str, remedy: str) -> None:
        self.culprit = culprit
        self.expected = expected
        self.remedy = remedy
        super().__init__(f"{culprit}. {expected}. {remedy}.")


class SettingError(FlowPipelineError):
    """A setting makes no sense; raised before anything is read."""

    def __init__(self, name: str, found: str, expected: str, remedy: str) -> None:
        self.name = name
        super().__init__(f"{name}: {found}", f"Expected {expected}", remedy)


class SourceError(FlowPipelineError):
    """A source of blobs, or one blob of it, could not be read."""


class SourceUnreachable(SourceError):
    """The endpoint does not answer, or a folder does not exist."""


class SourceDenied(SourceError):
    """The endpoint answers and refuses the credential."""


class ContainerMissing(SourceError):
    """The account answers, but has no container of flow logs."""


class BlobChanged(SourceError):
    """The blob's ETag changed between listing and reading, more often than we try again."""


class BlobGone(SourceError):
    """The blob was listed and then deleted before it was read."""


class BlobUnreadable(SourceError):
    """The transport failed in the middle of a blob, retries included."""


class ReferenceDataError(FlowPipelineError):
    """A country database or a threat feed could not be used."""


class LakeError(FlowPipelineError):
    """The lake's directory or one of its tables could not be used."""


class LakeVersionError(LakeError):
    """The lake was written by a version of this program that lays it out differently."""


class LakeBusy(LakeError):
    """Other writers changed the same partition again and again while this one tried."""


class HistoryError(FlowPipelineError):
    """Dagster's history of runs could not be read or written."""


class ModelError(FlowPipelineError):
    """dbt could not build or check a table."""


class QueryError(FlowPipelineError):
    """A question could not be answered."""
