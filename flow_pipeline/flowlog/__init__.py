"""The flow logs themselves: their columns, where they lie, how they are read and decoded.

Nothing in here knows of Dagster, dbt or the lake.
"""
