"""The landing as assets: the containers, and the tuples read from them.

Belongs here: the assets and their checks. What landing does belongs to `flow_pipeline.landing`.
"""

import dagster as dg

from flow_pipeline.defs.markdown import code
from flow_pipeline.defs.resources import PipelineResource
from flow_pipeline.defs.time_partitions import HOURS, hours_in, key_of
from flow_pipeline.flowlog.schema import CONTAINERS
from flow_pipeline.landing import LandedHour
from flow_pipeline.ledger import Verified, verify_hours

BLOBS = dg.AssetKey(["flow_logs", "blobs"])
FLOW_RECORDS = dg.AssetKey(["flow_logs", "flow_records"])
_FAULTS_SHOWN = 50

blobs = dg.AssetSpec(
    BLOBS,
    description="The flow logs as Azure writes them: one JSON blob per network interface and hour, "
    f"in the containers {', '.join(f'`{name}`' for name in CONTAINERS)} of each storage account, "
    "or in a folder.",
    group_name="sources",
    kinds={"azure", "json"},
    owners=["team:network"],
)


@dg.asset(
    key=FLOW_RECORDS,
    deps=[blobs],
    partitions_def=HOURS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="landing",
    kinds={"python", "parquet", "deltalake"},
    owners=["team:network"],
    description="Every flow tuple of a written hour, decoded or rejected, with the manifest of the "
    "blobs in the file's footer (`landed_tuples`; `flow_records`, `rejected_tuples` and "
    "`landed_blobs` are views of it). A green hour was looked at and is current.",
    check_specs=[
        dg.AssetCheckSpec(
            "ledger_balances",
            asset=FLOW_RECORDS,
            blocking=True,
            description="For each blob: bytes read = bytes listed; tuples read = landed + rejected "
            "= its rows in the file, in one piece, by reject reason and by event hour.",
        ),
        dg.AssetCheckSpec(
            "columns_exact",
            asset=FLOW_RECORDS,
            blocking=True,
            description="Landed files have the columns of `flow_records`, and no others.",
        ),
        dg.AssetCheckSpec(
            "everything_decoded",
            asset=FLOW_RECORDS,
            description="No tuple was rejected and no blob was damaged or foreign; a warning.",
        ),
    ],
)
def flow_records(context: dg.AssetExecutionContext, pipeline: PipelineResource):
    """Land the written hours of the run."""
    with pipeline.opened() as opened:
        landed = opened.land(hours_in(context))
        verified = verify_hours(opened.lake, [hour.hour for hour in landed])
    for hour in landed:
        context.add_asset_metadata(
            _metadata(hour), asset_key=FLOW_RECORDS, partition_key=key_of(hour.hour)
        )
    odd = [hour for hour in landed if hour.rejected or hour.problems]
    return dg.MaterializeResult(
        asset_key=FLOW_RECORDS,
        metadata={
            "blobs_read": sum(h.blobs_read for h in landed),
            "blobs_read_on": sum(h.blobs_read_on for h in landed),
            "bytes_read": sum(h.bytes_read for h in landed),
        },
        check_results=[
            _check("ledger_balances", verified, verified.discrepancies, _balance(verified)),
            _check(
                "columns_exact",
                verified,
                verified.other_columns,
                f"{verified.files:,} files have the columns of flow_records",
            ),
            dg.AssetCheckResult(
                asset_key=FLOW_RECORDS,
                check_name="everything_decoded",
                passed=not odd,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{sum(hour.rejected for hour in odd):,} tuples rejected, "
                f"{sum(map(_problems, odd)):,} problems of blobs and records",
                metadata={"report": dg.MetadataValue.md(_report(odd))},
            ),
        ],
    )


def _metadata(hour: LandedHour) -> dict[str, object]:
    metadata: dict[str, object] = {
        "dagster/partition_row_count": hour.tuples,
        "blobs": hour.blobs,
        "blobs_read": hour.blobs_read,
        "blobs_read_on": hour.blobs_read_on,
        "bytes_read": hour.bytes_read,
        "bytes": hour.size,
        "rejected": hour.rejected,
        "problems": _problems(hour),
        "changed": hour.changed,
    }
    if hour.rejected or hour.problems:
        metadata["report"] = dg.MetadataValue.md(_report([hour]))
    return metadata


def _report(hours: list[LandedHour]) -> str:
    """Rejects by reason and problems by blob, as Markdown; names are hostile, so they are code."""
    lines = []
    for hour in hours:
        for manifest in hour.manifests:
            for blob in manifest.blobs:
                found = [f"{n} x {reason}" for reason, n in blob.rejects.items()]
                found += [f"{p.code}: {p.detail}" for p in blob.problems]
                lines += [f"- {code(blob.blob)}: {code(what)}" for what in found]
    return "\n".join(lines[:200]) or "Nothing."


def _problems(hour: LandedHour) -> int:
    return sum(blob.problem_count for manifest in hour.manifests for blob in manifest.blobs)


def _balance(verified: Verified) -> str:
    """What the ledger says in one line."""
    return (
        f"{verified.blobs:,} blobs: {verified.bytes_read:,} of {verified.bytes_listed:,} bytes "
        f"read; {verified.tuples:,} tuples = {verified.decoded:,} rows decoded + "
        f"{verified.rejected:,} rejected"
    )


def _check(name: str, verified: Verified, faults: list[str], told: str) -> dg.AssetCheckResult:
    """One line that says what was found, the sums behind it, and the first faults one by one."""
    shown = faults[:_FAULTS_SHOWN]
    more = [f"and {len(faults) - len(shown):,} more"] if len(faults) > len(shown) else []
    return dg.AssetCheckResult(
        asset_key=FLOW_RECORDS,
        check_name=name,
        passed=not faults,
        description="; ".join([*shown, *more]) or told,
        metadata={
            "files": verified.files,
            "blobs": verified.blobs,
            "bytes_listed": verified.bytes_listed,
            "bytes_read": verified.bytes_read,
            "tuples": verified.tuples,
            "decoded": verified.decoded,
            "rejected": verified.rejected,
            "faults": len(faults),
            "report": dg.MetadataValue.md(
                "\n".join(f"- {line}" for line in [*map(code, shown), *more]) or "Nothing."
            ),
        },
    )
