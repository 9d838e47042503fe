"""What addresses are looked up in, and the look-up itself, as assets.

Belongs here: the assets. Looking up belongs to `flow_pipeline.address_lookup`, feeds to
`flow_pipeline.threat_history`.
"""

import dagster as dg

from flow_pipeline.defs.landing import FLOW_RECORDS
from flow_pipeline.defs.resources import PipelineResource
from flow_pipeline.defs.time_partitions import HOURS, hours_in, key_of

THREAT_ENTRIES = dg.AssetKey(["flow_logs", "threat_entries"])
IP_LOOKUP = dg.AssetKey(["flow_logs", "ip_lookup"])

threat_feeds = dg.AssetSpec(
    ["flow_logs", "threat_feeds"],
    description="The lists of malicious addresses that `FLOW_THREAT_FEEDS` names.",
    group_name="sources",
    owners=["team:security"],
)
country_database = dg.AssetSpec(
    ["flow_logs", "country_database"],
    description="The bundled country database (IPFire Location database, CC BY-SA 4.0), or the "
    "one that `FLOW_COUNTRY_DB` names.",
    group_name="sources",
    owners=["team:security"],
)


@dg.asset(
    key=THREAT_ENTRIES,
    deps=[threat_feeds],
    group_name="enrichment",
    kinds={"python", "parquet", "deltalake"},
    owners=["team:security"],
    description="The history of the threat feeds: what each listed, from when to when. A feed that "
    "cannot be read keeps its last good state. This table cannot be rebuilt.",
    check_specs=[
        dg.AssetCheckSpec(
            "every_feed_was_read",
            asset=THREAT_ENTRIES,
            description="Each feed gave a good list when it was asked last, every line of it. One "
            "that is down, empty, no list, or suddenly ten times smaller keeps its last good "
            "state; a warning.",
        )
    ],
)
def threat_entries(pipeline: PipelineResource):
    """Ask every feed, and record what changed."""
    with pipeline.opened() as opened:
        feeds = opened.refresh_feeds()
    failed = {feed.feed: feed.failure for feed in feeds if feed.failure}
    ignored = {feed.feed: feed.ignored for feed in feeds if feed.ignored}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(feed.entries for feed in feeds),
            "feeds": [feed.feed for feed in feeds],
            "changed": [feed.feed for feed in feeds if feed.changed],
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="every_feed_was_read",
                passed=not failed and not ignored,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"failed": failed, "ignored_lines": ignored},
            )
        ],
    )


@dg.asset(
    key=IP_LOOKUP,
    deps=[FLOW_RECORDS, THREAT_ENTRIES, country_database],
    partitions_def=HOURS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="enrichment",
    kinds={"python", "parquet", "deltalake"},
    owners=["team:security"],
    description="What was known of every distinct address in a written hour's flows: its class, "
    "country, Azure region, network and so on, and the threat feed that listed it, from when to "
    "when.",
)
def ip_lookup(context: dg.AssetExecutionContext, pipeline: PipelineResource):
    """Look up the addresses of the written hours of the run."""
    with pipeline.opened() as opened:
        looked_up = opened.look_up(hours_in(context))
    for hour in looked_up:
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": hour.addresses,
                "listed": hour.listed,
                "bytes": hour.size,
                "changed": hour.changed,
            },
            asset_key=IP_LOOKUP,
            partition_key=key_of(hour.hour),
        )
    return dg.MaterializeResult(asset_key=IP_LOOKUP)
