"""What assets are handed: the pipeline over the configured lake, and how failures are told.

Belongs here: the resource and the translation of our failures into Dagster's. No logic.
"""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from flow_pipeline.errors import BlobUnreadable, FlowPipelineError, SourceUnreachable
from flow_pipeline.pipeline import Pipeline
from flow_pipeline.settings import load_settings

# Only these may pass by themselves; whatever else is wrong stays wrong.
_TRANSPORT = (SourceUnreachable, BlobUnreadable)


class PipelineResource(dg.ConfigurableResource[None]):
    """The pipeline, opened from the settings when a step begins."""

    transport_retries: int = 3
    seconds_between_retries: int = 60

    @contextmanager
    def opened(self) -> Generator[Pipeline]:
        """Open the pipeline; a failure of ours becomes one of Dagster's, without a stack trace."""
        try:
            yield Pipeline.open(load_settings())
        except _TRANSPORT as error:
            if self.transport_retries:
                raise dg.RetryRequested(
                    max_retries=self.transport_retries,
                    seconds_to_wait=self.seconds_between_retries,
                ) from error
            raise dg.Failure(description=str(error), allow_retries=False) from None
        except FlowPipelineError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
