"""What Dagster is told: assets, checks, jobs, the schedule. Thin adapters without logic.

Must not be put here: anything that could be tested without Dagster.
"""
