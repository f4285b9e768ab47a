"""Forward passes of the networks, on weights in memory; no files and no memory management."""
