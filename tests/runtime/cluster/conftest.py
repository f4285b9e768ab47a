"""A cluster of two worker processes for all tests here, on a scheduler of its own."""

from collections.abc import Iterator

import pytest

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from run_graph.runtime.cluster.local import LocalCluster
from run_graph.runtime.cluster.start import silence_dask


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two workers with 1 GB for weights each. A test that kills one waits until it is back."""
    silence_dask()
    with LocalCluster(2, memory_limit=2 * 10**9) as running:
        yield running
