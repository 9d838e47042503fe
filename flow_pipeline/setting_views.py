"""What the settings say, as views that other views rest on.

Belongs here: turning settings into the rows of `allow_list` and `threat_feeds`. Whatever rests on
them follows a setting at once, for all history, and no stored file changes.
"""

from __future__ import annotations

from flow_pipeline.enrichment.feed_fetch import feed_name
from flow_pipeline.lake_views import SETTING_VIEWS, rows_select
from flow_pipeline.settings import Settings


def setting_views(settings: Settings) -> dict[str, str]:
    """The views, name to query. Raises SettingError if a file that a setting names is no good."""
    rows = {
        "allow_list": [(allowed.prefix, allowed.reason) for allowed in settings.allowed()],
        "threat_feeds": [
            (feed_name(location), rank)
            for rank, location in enumerate(settings.feed_locations, start=1)
        ],
    }
    return {name: rows_select(columns, rows[name]) for name, columns in SETTING_VIEWS.items()}
