"""Where a run on a cluster begins. Importing this module does not import distributed."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from run_graph.runtime.cluster.errors import ClusterError

if TYPE_CHECKING:
    from run_graph.runtime.cluster.link import Link
    from run_graph.runtime.engine.protocol import ExecutorFactory


def require_distributed() -> None:
    """Raise ClusterError unless dask.distributed is installed."""
    if importlib.util.find_spec("distributed") is None:
        raise ClusterError(
            "a cluster needs the optional package distributed; install it with "
            "`uv sync --extra cluster`, or `pip install 'run-graph[cluster]'`"
        )


def on_cluster(address: str, *, any_device: bool = False) -> ExecutorFactory:
    """What runs plans on the dask cluster whose scheduler has this address, for ``Session(executor=...)``.

    Parameters
    ----------
    address : str
    any_device : bool
        Whether workers with another device or number format than this machine's are used. Their results are
        not the same to the bit; they are kept apart from those of this machine.

    Raises
    ------
    ClusterError
        If distributed is not installed. A run raises it if the cluster cannot be used.
    """
    require_distributed()
    silence_dask()
    from functools import partial

    from run_graph.runtime.cluster.executor import ClusterExecutor

    return partial(ClusterExecutor, connect=partial(_connected, address, any_device))


@contextmanager
def local_cluster(workers: int, memory_limit: int | None = None, low_ram: bool = False) -> Iterator[str]:
    """A scheduler and worker processes on this machine for as long as the context lasts.

    Parameters
    ----------
    workers : int
        How many processes.
    memory_limit : int, optional
        Bytes for the weights of all of them together. Default: what the machine can spare.
    low_ram : bool
        Whether each holds one model at a time.

    Yields
    ------
    str
        The scheduler's address.

    Raises
    ------
    ClusterError
        If distributed is not installed, or no worker can be started.
    """
    require_distributed()
    silence_dask()
    from run_graph.runtime.cluster.local import LocalCluster

    with LocalCluster(workers, memory_limit, low_ram) as cluster:
        yield cluster.address


def silence_dask() -> None:
    """Let dask log nothing: what the user should know is said in our words."""
    import distributed  # noqa: F401  # sets its levels when it is imported

    for name in ("distributed", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.startswith("distributed.") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)


def _connected(address: str, any_device: bool, run: str) -> Link:
    from run_graph.runtime.cache.environment import environment_facts
    from run_graph.runtime.cluster.link import Link

    link = Link(address, run, environment_facts(), any_device)
    link.open()
    return link
