"""Results of earlier runs.

A result has up to two names. Its *key* is a Merkle hash of the node and everything above it, known before
anything runs. Its *content* is the node and the values that it read: two ways to the same values have the
same content, and the node need not run again (early cut-off).
"""

from run_graph.runtime.cache.memory import DEFAULT_BYTES, MemoryCache, size_of
from run_graph.runtime.cache.protocol import NoCache, ResultCache

__all__ = ["DEFAULT_BYTES", "MemoryCache", "NoCache", "ResultCache", "size_of"]
