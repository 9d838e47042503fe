"""Azure flow logs, from the blobs to the day's top ports, sources and targets."""
