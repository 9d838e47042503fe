"""Realistic flow logs for the demonstration, the tests and measurements, without an Azure account.

story      every number of the day: machines, habits, ports, countries
draws      random numbers that are the same everywhere
addresses  who takes part, and who of them is on the threat list
traffic    what they do: rows
blobs      rows as Azure writes them
generate   a folder of them
upload     a storage account of them, growing; imported by itself, for it needs Azure's client
"""

from flow_pipeline.sample.blobs import BLOB_HEAD, BLOB_TAIL, Block, Layout, SampleBlob
from flow_pipeline.sample.generate import SampleSummary, generate, sample_blobs
from flow_pipeline.sample.story import DEFAULT_FLOWS, DEFAULT_SEED

__all__ = [
    "BLOB_HEAD",
    "BLOB_TAIL",
    "DEFAULT_FLOWS",
    "DEFAULT_SEED",
    "Block",
    "Layout",
    "SampleBlob",
    "SampleSummary",
    "generate",
    "sample_blobs",
]
