"""For authors of nodes: run a single node in a test (:class:`NodeBench`)."""

from run_graph.runtime.testing.bench import NodeBench

__all__ = ["NodeBench"]
