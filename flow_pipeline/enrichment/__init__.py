"""What is known of an address: its country, and which threat feeds list it.

Nothing in here knows of Dagster, dbt or the lake.
"""
