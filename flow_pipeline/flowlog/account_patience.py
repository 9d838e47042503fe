"""How a storage account is waited for: time-outs, what is tried again, and after how long.

Belongs here: the retries of single requests. What a failure means to a user that outlasted them is
told by `account_source`.
"""

from __future__ import annotations

from typing import Any

from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import RetryPolicy

from flow_pipeline.settings import Patience

# A service that asks for more than this is not waited for: a run that says why it failed is better
# than one that seems to hang.
LONGEST_WAIT_SECONDS = 120
# What the storage client says to a retry policy about an account's second region, which is never
# read: it lags behind the first.
_OF_THE_SECOND_REGION = ("hosts", "location_mode", "retry_to_secondary")


def connection_options(patience: Patience) -> dict[str, Any]:
    """What a storage client is told of time-outs and retries.

    The first retry comes at once, the others after 2, 4, 8 … pauses. With the default patience a
    host that refuses or is not known is given up after six seconds, a busy service (429, 503) that
    names no time after a minute, one that stays silent after five.
    """
    retries = _Retries(
        retry_total=8,
        retry_connect=3,
        retry_read=4,
        retry_status=6,
        retry_backoff_factor=patience.pause_seconds,
    )
    return {
        "connection_timeout": min(5.0, patience.silence_seconds),
        "read_timeout": patience.silence_seconds,
        "retry_policy": retries,
    }


class _Retries(RetryPolicy[Any, Any]):
    """The retries of Azure's core library in a storage client.

    The storage library's own do not look at Retry-After, and take 429 for a final answer.
    """

    def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send, and try again as long as it may help; a hook sees the last answer only."""
        options = request.context.options
        for option in _OF_THE_SECOND_REGION:
            options.pop(option, None)
        # The storage library forgets the hook when the first try comes to no answer at all.
        hook = options.pop("raw_response_hook", None)
        response = super().send(request)
        if hook is not None:
            hook(response)
        # The storage library reads it from every response, to ask the same region again.
        response.http_response.location_mode = None
        return response

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Whether an answer is one that may be another when it is asked for again."""
        if (self.get_retry_after(response) or 0) > LONGEST_WAIT_SECONDS:
            return False
        return super().is_retry(settings, response)

    def get_retry_after(self, response: PipelineResponse[Any, Any]) -> float | None:
        """Seconds that the service asks to wait; None if it does not say, or not in a way we read.

        The library raises ValueError for a time that is none.
        """
        try:
            return super().get_retry_after(response)
        except ValueError:
            return None
