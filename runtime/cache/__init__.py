"""Results of earlier runs, in memory and on disk.

A result has up to two names. Its *key* is a Merkle hash of the node and everything upstream of it, known
before anything runs. Its *input digest* is made of the node and the values that it read: when two different
upstreams lead to the same values, the input digest is the same and the node need not run again (early
cut-off).
"""

from run_graph.runtime.cache.memory import DEFAULT_BYTES, MemoryCache, size_of
from run_graph.runtime.cache.protocol import Entry, NoCache, ResultCache

__all__ = ["DEFAULT_BYTES", "Entry", "MemoryCache", "NoCache", "ResultCache", "size_of"]
