"""What Dagster is told: assets, checks, jobs, the schedule. Thin adapters without logic.

Must not be put here: anything that could be tested without Dagster.
"""

import warnings

import dagster as dg

# Backfill policies and mappings of time windows are "beta" in Dagster, and what this rests on; the
# version is pinned, and a user can do nothing about it.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
