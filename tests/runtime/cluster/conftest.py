"""A cluster of two worker processes for all tests here, on a scheduler of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from run_graph.runtime.cluster.local import LocalCluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two workers with 1 GB for weights each. A test that kills one waits until it is back."""
    from run_graph.runtime.cluster.local import LocalCluster
    from run_graph.runtime.cluster.start import silence_dask

    silence_dask()
    with LocalCluster(2, memory_limit=2 * 10**9) as running:
        yield running
