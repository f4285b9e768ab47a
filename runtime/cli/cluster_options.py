"""``--cluster`` and ``--workers``: the heavy stages of a run on other processes or machines."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from run_graph.runtime.cli.options import ClusterOptions
    from run_graph.runtime.engine.protocol import ExecutorFactory

_MOST = 64  # worker processes on one machine


def add_cluster_arguments(parser: ArgumentParser) -> None:
    """Add the options of :class:`runtime.cli.options.ClusterOptions`."""
    group = parser.add_argument_group("several processes or machines")
    group.add_argument(
        "--cluster",
        type=address_argument,
        metavar="tcp://HOST:8786",
        help="run the stages that compute with models on the workers of this dask scheduler; "
        "`run-graph worker ADDRESS` starts a worker",
    )
    group.add_argument(
        "--any-device",
        action="store_true",
        help="with --cluster: use workers whose chip or number format is not this machine's, too; their "
        "pictures differ in the last bits",
    )
    group.add_argument(
        "--workers",
        type=_number,
        metavar="N",
        help="run them in N processes on this machine, which share the memory for models",
    )


def check_machines(machines: ClusterOptions, parser: ArgumentParser) -> None:
    """Refuse options that do not fit together."""
    if machines.cluster and machines.workers:
        parser.error("--workers starts processes on this machine; leave it out with --cluster")
    if machines.any_device and not machines.cluster:
        parser.error("--any-device is about the workers of a cluster; give --cluster too")


def address_argument(text: str) -> str:
    """The address of a scheduler."""
    if not re.fullmatch(r"[a-z]+://\S+", text):
        raise ArgumentTypeError(f"{text!r} is not an address, such as tcp://192.168.1.5:8786")
    return text


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= _MOST:
        raise ArgumentTypeError(f"{text!r} is not a number of processes, from 1 to {_MOST}")
    return int(text)


@contextmanager
def chosen_executor(
    machines: ClusterOptions, memory_limit: int | None, low_ram: bool
) -> Iterator[ExecutorFactory]:
    """What runs plans where the options say; worker processes share ``memory_limit``. Raises ClusterError."""
    if machines.cluster is None and machines.workers is None:
        from run_graph.runtime.engine.executor import Executor

        yield Executor
        return
    from run_graph.runtime.cluster.start import local_cluster, on_cluster

    if machines.cluster is not None:
        yield on_cluster(machines.cluster, any_device=machines.any_device)
        return
    assert machines.workers is not None
    with local_cluster(machines.workers, memory_limit, low_ram) as address:
        yield on_cluster(address)
